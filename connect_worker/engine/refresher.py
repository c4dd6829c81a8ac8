"""A look: follow a notice, by asking Connect as a poll does, for one request or for its kind.

What the notification said is not believed: a request that does not wait, is another product's or is
not there is not in the answer, and nothing happens. One that was seen before begins nothing twice.
"""

from __future__ import annotations

from typing import Final

from connect_worker.domain.kinds import ChangeHint
from connect_worker.domain.retry import as_account_paused, classify_account_error
from connect_worker.engine.error_handling import describe, record_account_error
from connect_worker.engine.metrics import metric_labels
from connect_worker.engine.poller import NO_PROCESSOR, UNDER_WAY, Listed, poll, sight
from connect_worker.engine.runtime import Runtime
from connect_worker.exceptions import Message
from connect_worker.logger import LogEvent, logger

#: When a kind is looked at again that was looked at, or is being looked at, a moment ago.
SOON_SECONDS: Final = 2.0
#: Looks at one request in a row, while notifications about it come.
MOST_LOOKS: Final = 3


def refresh(engine: Runtime, notice: ChangeHint) -> str:
    """Enqueue what a notice is about, if it is new; return what was found, for people.

    A look that is lost, or that Connect does not answer, is repeated by a sweep.

    Raises:
        LedgerUnavailable: Nothing can be noted down, so nothing is enqueued.
    """
    if not engine.registry.of_kind(notice.kind):
        engine.ledger.acknowledge_hint(notice, engine.ledger.hint_mark(notice))
        return NO_PROCESSOR
    if not notice.request_id:
        return _look_at_kind(engine, notice)
    found = ""
    for _ in range(MOST_LOOKS):
        mark = engine.ledger.hint_mark(notice)
        if not mark:
            return found or "nothing to do: somebody has looked"
        found, is_answered = _look_at_one(engine, notice)
        if not is_answered or engine.ledger.acknowledge_hint(notice, mark):
            return found
    engine.ledger.defer_hint(notice, seconds=SOON_SECONDS)
    return found


def _look_at_kind(engine: Runtime, notice: ChangeHint) -> str:
    """Poll, however short ago the last poll was, but not more often than each two seconds.

    Notifications of a busy account would otherwise have its whole list read all the time.
    """
    mark = engine.ledger.hint_mark(notice)
    if not mark:
        return "nothing to do: somebody has polled"
    lock = f"looked:{notice.kind}"
    if not engine.ledger.lock(lock, owner=mark, seconds=SOON_SECONDS):
        engine.ledger.defer_hint(notice, seconds=SOON_SECONDS)
        return "polled a moment ago; again soon"
    polled = poll(engine, notice.kind, is_asked_for=True)
    # Another poll may have read before the change that the notice tells of. What met a pause or
    # trouble is repeated by a sweep, as a lost look is.
    if polled.problem == UNDER_WAY or not (
        polled.problem or engine.ledger.acknowledge_hint(notice, mark)
    ):
        engine.ledger.defer_hint(notice, seconds=SOON_SECONDS)
    return str(polled)


def _look_at_one(engine: Runtime, notice: ChangeHint) -> tuple[str, bool]:
    """Return what was found, and whether that is an answer."""
    gate = engine.ledger.breaker()
    seen_at = engine.ledger.now()
    if gate.open_until > seen_at:
        return f"paused: {gate.reason}", False
    try:
        with metric_labels(notice.kind):
            new, problems = sight(engine, notice.kind, Listed(), seen_at, notice.request_id)
    except Message as error:
        trouble = classify_account_error(error)
        if trouble is None and as_account_paused(error) is None:
            raise
        if trouble is not None:
            record_account_error(engine, trouble)
        return describe(error), False
    logger.info(LogEvent("refresh.completed", request=notice.request_id, kind=notice.kind, new=new))
    # A list that is refused is no better when it is asked for sooner than by the next poll.
    return "; ".join(problems) or ("new" if new else "nothing new"), True

"""A poll: read what waits in Connect, note it in the ledger, wake workers for what is new."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from connect_worker.domain.kinds import status_of
from connect_worker.domain.retry import as_account_paused, classify_account_error
from connect_worker.domain.states import PendingRequest, PollReport, RequestKey, RequestKind, State
from connect_worker.engine.error_handling import describe, record_account_error
from connect_worker.engine.fetch import fetch
from connect_worker.engine.job_runner import keep_seconds
from connect_worker.engine.metrics import metric_labels
from connect_worker.engine.runtime import Runtime
from connect_worker.exceptions import LedgerUnavailable, Message, NotFound
from connect_worker.logger import LogEvent, logger

# Products that the account does not have: said aloud, since a poll just finds nothing.

#: How often all workers together ask.
EVERY_SECONDS = 3600.0


def check_products(engine: Runtime) -> None:
    """Ask Connect for each named product and log those it doesn't know; hourly, by one worker."""
    if not engine.products:
        return
    if not engine.ledger.lock("products", owner=engine.worker, seconds=EVERY_SECONDS):
        return
    for product in engine.products:
        try:
            engine.connect.get(f"products/{product}")
        except NotFound:
            logger.error(
                LogEvent(
                    "product.unknown",
                    product=product,
                    remedy="the account has no such product: check CONNECT_PRODUCTS",
                )
            )
        except Message as error:
            # Whatever ails the account, the poll before has said so.
            logger.debug(LogEvent("product.check_failed", product=product, error=error))


#: What is said of a kind that these workers do not process.
NO_PROCESSOR = "no processor for this kind"
#: What is said when two of a kind meet.
UNDER_WAY = "another poll of this kind is under way"
#: How many sightings go to the ledger at once.
BATCH = 500


@dataclass(frozen=True, slots=True)
class PollResult:
    """What a poll found."""

    seen: int = 0
    new: int = 0
    #: Why it was not made, or broke off; "" when it is complete.
    problem: str = ""

    def __str__(self) -> str:
        return self.problem or f"{self.seen} waiting, {self.new} new"


@dataclass(slots=True)
class Listed:
    """What is remembered of the lists that were read."""

    count: int = 0
    #: The parked requests that no list has had, by id.
    parked: dict[str, RequestKey] = field(default_factory=dict)

    def noting(self, rows: Iterable[PendingRequest]) -> Iterator[PendingRequest]:
        """Pass on what is listed. The ledger knows what comes twice."""
        for sighting in rows:
            self.count += 1
            self.parked.pop(sighting.ref.id, None)
            yield sighting


def poll(engine: Runtime, kind: RequestKind, *, is_asked_for: bool = False) -> PollResult:
    """Read every page of what waits for this kind's processors and enqueue what is new.

    Polls may overlap, break off or be lost: sighting a request twice enqueues it once, and the next
    poll finds what this one missed. One that a person asks for is made whenever the last one was.

    Raises:
        LedgerUnavailable: Nothing can be noted down, so nothing is enqueued.
    """
    began = engine.ledger.now()
    if not engine.registry.of_kind(kind):
        return _note(engine, kind, began, PollResult(problem=NO_PROCESSOR))
    gate = engine.ledger.breaker()
    if gate.open_until > began:
        return _note(engine, kind, began, PollResult(problem=f"paused: {gate.reason}"))
    owner = f"{engine.worker}:{uuid.uuid4().hex[:8]}"
    # Scheduled polls pile up while none is served; one of them is enough.
    seconds = engine.poll_seconds.get(kind, 0.0) / 2
    is_new = seconds and engine.ledger.lock(f"polled:{kind}", owner=owner, seconds=seconds)
    if seconds and not is_new and not is_asked_for:
        return PollResult(problem="polled a moment ago")
    if not engine.ledger.lock(f"poll:{kind}", owner=owner, seconds=engine.lease_seconds):
        return PollResult(problem=UNDER_WAY)
    try:
        with metric_labels(kind):
            found = _try(engine, kind)
        return _note(engine, kind, began, found)
    except LedgerUnavailable:
        raise
    except Exception as error:
        _note(engine, kind, began, PollResult(problem=describe(error)))
        raise
    finally:
        engine.ledger.unlock(f"poll:{kind}", owner=owner)


def _note(engine: Runtime, kind: RequestKind, began: float, polled: PollResult) -> PollResult:
    """Tell the people who ask the ledger how the poll ended."""
    seconds = max(0.0, engine.ledger.now() - began)
    engine.ledger.record_poll(
        kind, PollReport(seconds=seconds, seen=polled.seen, new=polled.new, problem=polled.problem)
    )
    return polled


def _try(engine: Runtime, kind: RequestKind) -> PollResult:
    """Poll; trouble with the account pauses it for all workers."""
    try:
        return _poll(engine, kind)
    except Message as error:
        met = as_account_paused(error)
        if met is not None:
            return PollResult(problem=f"paused: {met.reason}")
        trouble = classify_account_error(error)
        if trouble is None:
            raise
        record_account_error(engine, trouble)
        logger.error(LogEvent("poll.failed", kind=kind, error=describe(error)))
        return PollResult(problem=describe(error))


def _poll(engine: Runtime, kind: RequestKind) -> PollResult:
    seen_at = engine.ledger.now()
    # Of what is listed only these are remembered: a list may be long.
    listed = Listed(parked={ref.id: ref for ref in engine.ledger.parked(kind)})
    new, problems = sight(engine, kind, listed, seen_at)
    if engine.ledger.breaker().failures:
        # Connect can be read; where posts wait, one of them tells whether it takes them too.
        engine.ledger.reset_breaker(forget=not _posts_wait(engine))
    _look_after_parked(engine, listed.parked.values(), seen_at)
    check_products(engine)
    logger.info(LogEvent("poll.completed", kind=kind, seen=listed.count, new=new))
    return PollResult(seen=listed.count, new=new, problem="; ".join(problems))


def _posts_wait(engine: Runtime) -> bool:
    return any(states[State.DECIDED] for states in engine.ledger.counts().values())


def sight(
    engine: Runtime, kind: RequestKind, listed: Listed, seen_at: float, request_id: str = ""
) -> tuple[int, list[str]]:
    """Enqueue what is new of what waits for this kind's processors, or the request with this id.

    Returns how many are new, and what was wrong with the list of some processor. `listed` takes
    note of all.
    """
    new, problems = 0, []
    for processor in engine.registry.of_kind(kind):
        try:
            rows = processor.list_pending(engine.connect, now=seen_at, request_id=request_id)
            new += _enqueue(engine, rows, listed, seen_at)
        except LedgerUnavailable:
            raise
        except Exception as error:
            # A processor's filters are user code; what is wrong with them concerns no other one.
            if classify_account_error(error) is not None or as_account_paused(error) is not None:
                raise
            problems.append(describe(error))
            logger.exception(LogEvent("poll.list_rejected", kind=kind, automation=str(processor)))
    return new, problems


def _enqueue(
    engine: Runtime, rows: Iterable[PendingRequest], listed: Listed, seen_at: float
) -> int:
    """Enqueue what is new of one processor's list; return how many that are."""
    new = 0
    for batch in _batches(listed.noting(rows)):
        refs = engine.ledger.register(
            batch, seen_at=seen_at, requeue_seconds=engine.requeue_seconds
        )
        engine.publisher.publish(refs)
        new += len(refs)
    return new


def _batches(sightings: Iterator[PendingRequest]) -> Iterator[list[PendingRequest]]:
    while batch := list(islice(sightings, BATCH)):
        yield batch


def _look_after_parked(engine: Runtime, unlisted: Iterable[RequestKey], seen_at: float) -> None:
    """End the cycles of parked requests that somebody has decided in Connect meanwhile."""
    for ref in unlisted:
        try:
            status = status_of(fetch(engine.connect, ref))
        except Message as error:
            if classify_account_error(error) is not None or as_account_paused(error) is not None:
                raise
            # One that can't be read concerns no other one.
            logger.warning(LogEvent("poll.check_failed", request=ref.id, error=describe(error)))
            continue
        if _may_wait(engine, ref, status):
            continue
        keep = keep_seconds(engine, ref, status)
        if engine.ledger.mark_decided_elsewhere(ref, status, seen_at=seen_at, keep_seconds=keep):
            logger.info(LogEvent("request.decided_elsewhere", request=ref.id, status=status))


def _may_wait(engine: Runtime, ref: RequestKey, status: str) -> bool:
    return any(
        processor.awaits({"status": status}) for processor in engine.registry.of_kind(ref.kind)
    )

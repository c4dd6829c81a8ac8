"""Contract of change hints: added once, kept until a worker has refreshed, never lost."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest
import redis

from connect_worker.domain.kinds import ChangeHint, HintResult
from connect_worker.domain.states import RequestKind
from connect_worker.engine.ports import Ledger
from connect_worker.ledger.codec import MAX_HINTS
from connect_worker.ledger.redis import RedisLedger
from tests.support.ledger_factories import LONG

Elapse = Callable[[float], None]
ONE = ChangeHint(RequestKind.FULFILLMENT, "PR-5852-1608-0000")
OTHER = ChangeHint(RequestKind.TIER_CONFIG, "TCR-000-000-000")
WHOLE = ChangeHint(RequestKind.FULFILLMENT)
_digests = count()


def hear(
    ledger: Ledger,
    notice: ChangeHint = ONE,
    *,
    digest: str = "",
    remember_seconds: float = LONG,
    requeue_seconds: float = LONG,
) -> tuple[HintResult, ChangeHint]:
    return ledger.add_hint(
        notice,
        digest=digest or f"d{next(_digests)}",
        remember_seconds=remember_seconds,
        requeue_seconds=requeue_seconds,
    )


def late(ledger: Ledger, *, requeue_seconds: float = LONG) -> list[ChangeHint]:
    return ledger.stale_hints(limit=100, requeue_seconds=requeue_seconds)


def test_the_first_notification_is_new_and_the_next_ones_are_known(ledger: Ledger) -> None:
    assert hear(ledger) == (HintResult.NEW, ONE)
    assert hear(ledger) == (HintResult.KNOWN, ONE)
    assert hear(ledger, OTHER) == (HintResult.NEW, OTHER)
    assert hear(ledger, WHOLE) == (HintResult.NEW, WHOLE)


def test_a_notification_that_comes_again_changes_nothing(ledger: Ledger) -> None:
    hear(ledger, digest="same")
    mark = ledger.hint_mark(ONE)
    assert hear(ledger, digest="same") == (HintResult.REPLAYED, ONE)
    assert ledger.hint_mark(ONE) == mark
    assert ledger.acknowledge_hint(ONE, mark)
    assert hear(ledger, digest="same") == (HintResult.REPLAYED, ONE)
    assert ledger.hint_mark(ONE) == ""


def test_a_notification_is_forgotten_after_its_time(ledger: Ledger, elapse: Elapse) -> None:
    hear(ledger, digest="same", remember_seconds=0.05)
    ledger.acknowledge_hint(ONE, ledger.hint_mark(ONE))
    elapse(0.1)
    assert hear(ledger, digest="same") == (HintResult.NEW, ONE)


def test_after_an_answer_the_next_notification_is_new(ledger: Ledger) -> None:
    hear(ledger)
    assert ledger.acknowledge_hint(ONE, ledger.hint_mark(ONE))
    assert ledger.hint_mark(ONE) == ""
    assert hear(ledger) == (HintResult.NEW, ONE)


def test_an_answer_from_before_the_last_notification_is_none(ledger: Ledger) -> None:
    hear(ledger)
    mark = ledger.hint_mark(ONE)
    hear(ledger)
    assert not ledger.acknowledge_hint(ONE, mark)
    assert ledger.hint_mark(ONE) not in ("", mark)


def test_an_old_answer_does_not_stand_for_a_later_notice(ledger: Ledger) -> None:
    hear(ledger)
    mark = ledger.hint_mark(ONE)
    ledger.acknowledge_hint(ONE, mark)
    hear(ledger)
    assert not ledger.acknowledge_hint(ONE, mark)


def test_an_answer_may_be_repeated(ledger: Ledger) -> None:
    hear(ledger)
    mark = ledger.hint_mark(ONE)
    assert ledger.acknowledge_hint(ONE, mark)
    assert ledger.acknowledge_hint(ONE, mark)


def test_what_nobody_answers_is_named_again_and_again(ledger: Ledger, elapse: Elapse) -> None:
    hear(ledger, requeue_seconds=0.05)
    assert late(ledger) == []
    elapse(0.1)
    assert late(ledger, requeue_seconds=0.05) == [ONE]
    assert late(ledger) == []
    elapse(0.1)
    assert late(ledger) == [ONE]
    ledger.acknowledge_hint(ONE, ledger.hint_mark(ONE))
    elapse(0.1)
    assert late(ledger) == []


def test_notifications_that_go_on_coming_do_not_put_the_look_off(
    ledger: Ledger, elapse: Elapse
) -> None:
    hear(ledger, requeue_seconds=0.05)
    elapse(0.1)
    hear(ledger, requeue_seconds=LONG)
    assert late(ledger) == [ONE]


def test_a_look_that_is_put_off_is_named_at_its_time(ledger: Ledger, elapse: Elapse) -> None:
    hear(ledger)
    ledger.defer_hint(ONE, seconds=0.05)
    assert late(ledger) == []
    elapse(0.1)
    assert late(ledger) == [ONE]


def test_putting_off_what_was_answered_does_nothing(ledger: Ledger, elapse: Elapse) -> None:
    hear(ledger)
    ledger.acknowledge_hint(ONE, ledger.hint_mark(ONE))
    ledger.defer_hint(ONE, seconds=0)
    elapse(0.01)
    assert late(ledger) == []


def test_of_too_many_requests_only_the_kind_is_kept(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(MAX_HINTS):
        assert (
            hear(ledger, ChangeHint(RequestKind.FULFILLMENT, f"PR-{number}"))[0] is HintResult.NEW
        )
    assert hear(ledger, ChangeHint(RequestKind.FULFILLMENT, "PR-one-more")) == (
        HintResult.NEW,
        WHOLE,
    )
    assert hear(ledger, ChangeHint(RequestKind.FULFILLMENT, "PR-two-more")) == (
        HintResult.KNOWN,
        WHOLE,
    )
    assert hear(ledger, ChangeHint(RequestKind.FULFILLMENT, "PR-0"))[0] is HintResult.KNOWN


def test_a_call_that_is_repeated_for_a_lost_reply_is_no_replay(
    client: redis.Redis, account: str
) -> None:
    scripts = RedisLedger(client, account=account)._scripts
    args = (str(ONE), ONE.kind, "this call", 1000, 1000, 10)
    assert scripts.run("add_hint", *args, key="notification:d") == ["new", str(ONE)]
    assert scripts.run("add_hint", *args, key="notification:d") == ["new", str(ONE)]


@pytest.mark.parametrize("text", ["", "fulfillment:", "orders", "fulfillment:TCR-1", "usage:PR-1"])
def test_what_is_no_hint_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match="is not a change hint"):
        ChangeHint.parse(text)

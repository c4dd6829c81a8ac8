"""Contract of a person's pauses: which claims they hold back, and who goes on afterwards."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from connect_worker.domain.states import Claim, ClaimDenied, Limit, Limits, RequestKey, State
from connect_worker.engine.ports import Ledger
from connect_worker.ledger.memory import MemoryLedger
from connect_worker.ledger.redis import RedisLedger
from tests.support.ledger_factories import (
    APPROVE,
    LONG,
    OTHER,
    PR,
    TCR,
    Clock,
    assert_consistent,
    look,
    posting,
    running,
    see,
    take,
    woken,
)

Elapse = Callable[[float], None]
LIMITS: Limits = {"": Limit("one", 1)}


def ask(ledger: Ledger, ref: RequestKey = PR, *, owner: str = "w1") -> Claim | ClaimDenied:
    return ledger.claim(ref, owner=owner, lease_seconds=LONG)


@pytest.mark.parametrize("name", ["all", "fulfillment", "PRD-1"])
def test_a_paused_request_waits_without_using_an_attempt_and_comes_back(
    ledger: Ledger, name: str
) -> None:
    see(ledger, product="PRD-1")
    ledger.pause(name, reason="the vendor's system is down")
    assert ask(ledger) is ClaimDenied.OPERATOR_PAUSE
    assert ask(ledger, owner="w2") is ClaimDenied.OPERATOR_PAUSE
    entry = look(ledger)
    assert (entry.state, entry.attempt, entry.fence) == (State.QUEUED, 0, 0)
    assert entry.paused_by == name
    assert woken(ledger) == []
    assert ledger.resume(name) == 1
    assert look(ledger).paused_by == ""
    assert woken(ledger) == [PR]
    assert take(ledger).attempt == 1


@pytest.mark.parametrize("name", ["tier-config", "PRD-2"])
def test_a_pause_of_others_holds_nothing_back(ledger: Ledger, name: str) -> None:
    see(ledger, product="PRD-1")
    ledger.pause(name)
    assert take(ledger).attempt == 1
    assert ledger.resume(name) == 0


def test_a_request_without_a_product_is_held_by_no_products_pause(ledger: Ledger) -> None:
    see(ledger)
    ledger.pause("PRD-1")
    assert take(ledger).attempt == 1


def test_a_stored_decision_is_posted_all_the_same(ledger: Ledger) -> None:
    ledger.reschedule(posting(ledger), State.DECIDED, delay_seconds=0)
    ledger.pause("all")
    claim = take(ledger, owner="w2")
    assert claim.decision == APPROVE
    ledger.complete(claim, "approved", keep_seconds=LONG)


def test_what_runs_already_goes_on_to_its_end(ledger: Ledger) -> None:
    claim = running(ledger)
    ledger.pause("all")
    assert ask(ledger) == claim
    assert ledger.renew_lease(claim)
    ledger.decide(claim, APPROVE)
    ledger.complete(claim, "approved", keep_seconds=LONG)


def test_a_retry_that_is_due_is_held(ledger: Ledger) -> None:
    ledger.reschedule(running(ledger), State.RETRY, delay_seconds=0, error="e")
    ledger.pause("all")
    assert ask(ledger, owner="w2") is ClaimDenied.OPERATOR_PAUSE
    assert (look(ledger).state, look(ledger).attempt) == (State.RETRY, 1)
    ledger.resume("all")
    assert take(ledger, owner="w2").attempt == 2


def test_what_is_seen_during_a_pause_waits_for_its_end(ledger: Ledger) -> None:
    ledger.pause("all")
    assert see(ledger) == [PR]
    assert ask(ledger) is ClaimDenied.OPERATOR_PAUSE


def test_a_request_that_two_pauses_hold_waits_for_both(ledger: Ledger) -> None:
    see(ledger)
    ledger.pause("all")
    ledger.pause("fulfillment")
    assert ask(ledger) is ClaimDenied.OPERATOR_PAUSE
    assert ledger.resume("all") == 1
    assert woken(ledger) == [PR]
    assert ask(ledger) is ClaimDenied.OPERATOR_PAUSE
    assert ledger.resume("fulfillment") == 1
    assert take(ledger).attempt == 1


def test_whom_no_resume_woke_a_sweep_finds_within_the_hour(
    memory_ledger: MemoryLedger, clock: Clock
) -> None:
    see(memory_ledger)
    memory_ledger.pause("all")
    ask(memory_ledger)
    clock.step(3599)
    assert woken(memory_ledger) == []
    clock.step(1)
    assert woken(memory_ledger) == [PR]
    assert ask(memory_ledger) is ClaimDenied.OPERATOR_PAUSE
    assert woken(memory_ledger) == []


def test_the_account_s_pause_and_a_persons_are_two_things(ledger: Ledger) -> None:
    see(ledger)
    ledger.trip_breaker(seconds=LONG, reason="503", failed=True)
    ledger.pause("all")
    assert ask(ledger) is ClaimDenied.OPERATOR_PAUSE
    ledger.resume("all")
    assert ask(ledger) is ClaimDenied.BREAKER_OPEN


def test_a_held_request_is_no_probe(ledger: Ledger, elapse: Elapse) -> None:
    see(ledger, PR)
    see(ledger, TCR, cycle="a")
    ledger.trip_breaker(seconds=0.01, reason="503", failed=True)
    elapse(0.02)
    ledger.pause("fulfillment")
    assert ask(ledger) is ClaimDenied.OPERATOR_PAUSE
    assert take(ledger, TCR, owner="w2").is_half_open_probe


def test_a_held_request_leaves_the_line_for_a_slot(ledger: Ledger) -> None:
    see(ledger, PR, OTHER)
    assert isinstance(ledger.claim(PR, owner="a", lease_seconds=LONG, limits=LIMITS), Claim)
    full = ledger.claim(OTHER, owner="b", lease_seconds=LONG, limits=LIMITS)
    assert full is ClaimDenied.CONCURRENCY_LIMIT
    ledger.pause("all")
    held = ledger.claim(OTHER, owner="b", lease_seconds=LONG, limits=LIMITS)
    assert held is ClaimDenied.OPERATOR_PAUSE
    ledger.resume("all")
    full = ledger.claim(OTHER, owner="b", lease_seconds=LONG, limits=LIMITS)
    assert full is ClaimDenied.CONCURRENCY_LIMIT
    assert look(ledger, OTHER).paused_by == ""


def test_a_held_request_that_left_pending_is_not_woken(ledger: Ledger, elapse: Elapse) -> None:
    see(ledger)
    ledger.pause("all")
    ask(ledger)
    elapse(0.01)
    assert ledger.mark_decided_elsewhere(PR, "failed", seen_at=ledger.now(), keep_seconds=LONG)
    assert ledger.resume("all") == 0
    assert woken(ledger) == []


def test_the_pauses_in_force_are_told(ledger: Ledger) -> None:
    assert ledger.pauses() == {}
    before = ledger.now()
    see(ledger, product="PRD-1")
    ledger.pause("PRD-1", reason="maintenance: back at 9")
    ledger.pause("usage")
    ask(ledger)
    found = ledger.pauses()
    assert set(found) == {"PRD-1", "usage"}
    assert (found["PRD-1"].reason, found["PRD-1"].held) == ("maintenance: back at 9", 1)
    assert (found["usage"].reason, found["usage"].held) == ("", 0)
    assert before <= found["usage"].since <= ledger.now()
    ledger.resume("PRD-1")
    assert set(ledger.pauses()) == {"usage"}


def test_many_go_on_in_batches(
    redis_ledger: RedisLedger, client: redis.Redis, account: str
) -> None:
    refs = [RequestKey(PR.kind, f"PR-{number:04}") for number in range(1200)]
    see(redis_ledger, *refs)
    redis_ledger.pause("all")
    assert {ask(redis_ledger, ref) for ref in refs} == {ClaimDenied.OPERATOR_PAUSE}
    assert_consistent(client, account)
    assert redis_ledger.resume("all") == 1200
    assert (
        len(redis_ledger.take_due(limit=2000, requeue_seconds=LONG, max_attempts=8).publish) == 1200
    )
    assert_consistent(client, account)


def test_a_record_deleted_by_hand_is_not_woken(
    redis_ledger: RedisLedger, client: redis.Redis, account: str
) -> None:
    see(redis_ledger, requeue_seconds=0)
    redis_ledger.pause("all")
    ask(redis_ledger)
    client.delete(f"connect-worker:{{{account}}}:request:{PR}")
    redis_ledger.resume("all")
    assert woken(redis_ledger) == []
    assert client.zcard(f"connect-worker:{{{account}}}:due") == 0

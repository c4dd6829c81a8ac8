"""Contract of limits: who may be inside a processor, who waits in line, and who comes next."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from connect_worker.domain.states import (
    Claim,
    ClaimDenied,
    Limit,
    Limits,
    RequestKey,
    RequestKind,
    State,
)
from connect_worker.engine.ports import Ledger
from connect_worker.ledger.redis import RedisLedger
from tests.support.ledger_factories import APPROVE, LONG, Clock, assert_consistent, look, see, woken

Elapse = Callable[[float], None]

FEW = Limit("vendor.Purchases", 2)
ONE = Limit("vendor.Others", 1)
LIMITS: Limits = {"PRD-1": FEW, "PRD-2": None, "": ONE}


def ref(number: int) -> RequestKey:
    return RequestKey(RequestKind.FULFILLMENT, f"PR-0000-0000-{number:04d}")


@pytest.fixture
def arrive(ledger: Ledger, elapse: Elapse) -> Callable[..., list[RequestKey]]:
    """Sight so many requests of a product, one after the other."""
    arrived: list[RequestKey] = []

    def make(count: int = 1, product: str = "PRD-1") -> list[RequestKey]:
        refs = []
        for _ in range(count):
            elapse(0.002)
            refs.append(ref(len(arrived)))
            arrived.append(refs[-1])
            see(ledger, refs[-1], product=product)
        return refs

    return make


Arrive = Callable[..., list[RequestKey]]


def ask(
    ledger: Ledger, ref: RequestKey, *, lease_seconds: float = LONG, limits: Limits = LIMITS
) -> Claim | ClaimDenied:
    return ledger.claim(ref, owner=f"w-{ref.id}", lease_seconds=lease_seconds, limits=limits)


def inside(ledger: Ledger, ref: RequestKey, *, lease_seconds: float = LONG) -> Claim:
    claim = ask(ledger, ref, lease_seconds=lease_seconds)
    assert isinstance(claim, Claim), claim
    return claim


def released(ledger: Ledger, limit: str = "") -> list[RequestKey]:
    return ledger.take_from_slot_queue(limit, requeue_seconds=LONG)


def test_no_more_than_the_limit_get_in(ledger: Ledger, arrive: Arrive) -> None:
    refs = arrive(5)
    claims = [ask(ledger, item) for item in refs]
    assert [isinstance(claim, Claim) for claim in claims] == [True, True, False, False, False]
    assert claims[2:] == [ClaimDenied.CONCURRENCY_LIMIT] * 3
    assert {claim.limit for claim in claims if isinstance(claim, Claim)} == {FEW.name}


def test_a_refusal_costs_no_attempt_and_no_fence(ledger: Ledger, arrive: Arrive) -> None:
    *first, late = arrive(3)
    for item in first:
        inside(ledger, item)
    before = look(ledger, late)
    assert ask(ledger, late) is ClaimDenied.CONCURRENCY_LIMIT
    assert look(ledger, late) == before
    assert (before.state, before.attempt, before.fence) == (State.QUEUED, 0, 0)


def test_each_limit_has_its_own_slots(ledger: Ledger, arrive: Arrive) -> None:
    for item in arrive(2):
        inside(ledger, item)
    first, second = arrive(2, product="PRD-3")
    assert inside(ledger, first).limit == ONE.name
    assert ask(ledger, second) is ClaimDenied.CONCURRENCY_LIMIT


def test_a_request_without_a_product_is_one_of_all_others(ledger: Ledger, arrive: Arrive) -> None:
    first, second = arrive(2, product="")
    assert inside(ledger, first).limit == ONE.name
    assert ask(ledger, second) is ClaimDenied.CONCURRENCY_LIMIT


def test_a_product_without_a_limit_needs_no_slot(ledger: Ledger, arrive: Arrive) -> None:
    for item in arrive(4, product="PRD-2"):
        assert inside(ledger, item).limit == ""


def test_without_limits_nobody_is_refused(ledger: Ledger, arrive: Arrive) -> None:
    for item in arrive(4):
        assert isinstance(ask(ledger, item, limits={}), Claim)


ENDS: dict[str, Callable[[Ledger, Claim], object]] = {
    "decide": lambda ledger, claim: ledger.decide(claim, APPROVE),
    "settle": lambda ledger, claim: ledger.complete(claim, "approved", keep_seconds=LONG),
    "supersede": lambda ledger, claim: ledger.supersede(claim, "failed", keep_seconds=LONG),
    "retry": lambda ledger, claim: ledger.reschedule(claim, State.RETRY, delay_seconds=0),
    "snoozed": lambda ledger, claim: ledger.reschedule(claim, State.SNOOZED, delay_seconds=9),
    "park": lambda ledger, claim: ledger.park(claim, "broken"),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_whatever_takes_it_out_of_running_frees_the_slot(
    ledger: Ledger, arrive: Arrive, end: Callable[[Ledger, Claim], object]
) -> None:
    first, second, third, fourth = arrive(4)
    claim = inside(ledger, first)
    inside(ledger, second)
    assert [ask(ledger, item) for item in (third, fourth)] == [ClaimDenied.CONCURRENCY_LIMIT] * 2
    end(ledger, claim)
    end(ledger, claim)
    assert released(ledger, FEW.name) == [third], "as many as there is room for"
    assert inside(ledger, third).limit == FEW.name
    assert ask(ledger, fourth) is ClaimDenied.CONCURRENCY_LIMIT


def test_posting_a_stored_decision_needs_no_slot(ledger: Ledger, arrive: Arrive) -> None:
    first, *others = arrive(3)
    claim = inside(ledger, first)
    ledger.decide(claim, APPROVE)
    ledger.reschedule(claim, State.DECIDED, delay_seconds=0)
    for other in others:
        inside(ledger, other)
    assert inside(ledger, first).limit == ""


def test_nobody_is_released_while_there_is_no_room(ledger: Ledger, arrive: Arrive) -> None:
    refs = arrive(4)
    for item in refs:
        ask(ledger, item)
    assert released(ledger) == []


def test_those_whose_cycles_began_first_are_released_first(ledger: Ledger, arrive: Arrive) -> None:
    first, second, *waiting = arrive(6)
    claims = [inside(ledger, item) for item in (first, second)]
    for item in reversed(waiting):
        ask(ledger, item)
    for claim in claims:
        ledger.park(claim, "broken")
    assert released(ledger, FEW.name) == waiting[:2]
    # Their messages are on their way; a surplus one would find no room and get in line again.
    assert released(ledger, FEW.name) == waiting[2:]
    assert released(ledger, FEW.name) == []


def test_who_was_released_and_finds_no_room_is_at_the_head_of_the_line_again(
    ledger: Ledger, arrive: Arrive
) -> None:
    first, second, third, fourth, late = arrive(5)
    claims = [inside(ledger, item) for item in (first, second)]
    for item in (third, fourth):
        ask(ledger, item)
    ledger.park(claims[0], "broken")
    assert released(ledger) == [third]
    inside(ledger, late)
    assert ask(ledger, third) is ClaimDenied.CONCURRENCY_LIMIT
    ledger.park(claims[1], "broken")
    assert released(ledger) == [third]


def test_all_limits_are_looked_at_when_none_is_named(ledger: Ledger, arrive: Arrive) -> None:
    few, others = arrive(3), arrive(2, product="PRD-3")
    claims = [ask(ledger, item) for item in (*few, *others)]
    for claim in claims:
        if isinstance(claim, Claim):
            ledger.park(claim, "broken")
    assert sorted(released(ledger), key=str) == [few[2], others[1]]


def test_a_limit_that_nobody_has_claimed_with_has_no_line(ledger: Ledger) -> None:
    assert released(ledger) == []
    assert released(ledger, "nobody") == []


def test_a_message_that_was_lost_is_sent_again_by_a_sweep(
    ledger: Ledger, arrive: Arrive, elapse: Elapse
) -> None:
    first, second, third = arrive(3)
    claim = inside(ledger, first)
    inside(ledger, second)
    ask(ledger, third)
    ledger.park(claim, "broken")
    assert ledger.take_from_slot_queue(requeue_seconds=0.02) == [third]
    elapse(0.03)
    assert woken(ledger) == [third]


def test_a_dead_workers_slot_is_free_when_its_lease_ends(
    ledger: Ledger, arrive: Arrive, elapse: Elapse
) -> None:
    first, second, third = arrive(3)
    inside(ledger, first, lease_seconds=0.5)
    inside(ledger, second)
    assert ask(ledger, third) is ClaimDenied.CONCURRENCY_LIMIT
    elapse(0.51)
    assert released(ledger) == [third]
    inside(ledger, third)
    assert woken(ledger) == [first]
    assert ask(ledger, first) is ClaimDenied.CONCURRENCY_LIMIT


def test_a_heartbeat_holds_the_slot(ledger: Ledger, arrive: Arrive, elapse: Elapse) -> None:
    *first, late = arrive(3)
    claims = [inside(ledger, item, lease_seconds=0.5) for item in first]
    for _ in range(3):
        elapse(0.25)
        assert all(ledger.renew_lease(claim) for claim in claims)
    assert ask(ledger, late) is ClaimDenied.CONCURRENCY_LIMIT


def test_a_claim_asked_for_again_holds_the_same_slot(
    ledger: Ledger, arrive: Arrive, elapse: Elapse
) -> None:
    first, second, third = arrive(3)
    claim = inside(ledger, first, lease_seconds=0.5)
    elapse(0.3)
    assert inside(ledger, first, lease_seconds=0.5) == claim
    inside(ledger, second)
    elapse(0.3)
    assert ask(ledger, third) is ClaimDenied.CONCURRENCY_LIMIT


def test_who_is_in_line_can_be_decided_elsewhere(ledger: Ledger, arrive: Arrive) -> None:
    first, second, third = arrive(3)
    claim = inside(ledger, first)
    inside(ledger, second)
    ask(ledger, third)
    assert ledger.mark_decided_elsewhere(
        third, "approved", seen_at=ledger.now() + 1, keep_seconds=LONG
    )
    ledger.park(claim, "broken")
    assert released(ledger) == []


def test_a_new_cycle_does_not_inherit_the_place_in_line(
    ledger: Ledger, elapse: Elapse, arrive: Arrive
) -> None:
    tcrs = [RequestKey(RequestKind.TIER_CONFIG, f"TCR-{number}") for number in range(4)]
    see(ledger, *tcrs, cycle="a", product="PRD-1")
    first, *_, third, fourth = (ask(ledger, tcr) for tcr in tcrs)
    assert third is fourth is ClaimDenied.CONCURRENCY_LIMIT
    elapse(0.002)
    assert see(ledger, tcrs[2], cycle="b", product="PRD-1", seen_at=ledger.now() + 1) == [tcrs[2]]
    assert isinstance(first, Claim)
    ledger.park(first, "broken")
    assert released(ledger) == [tcrs[3]], "and leaves none behind that takes up room"
    inside(ledger, tcrs[2])


def test_a_limit_can_be_raised_and_taken_away(ledger: Ledger, arrive: Arrive) -> None:
    refs = arrive(6)
    for item in refs[:4]:
        ask(ledger, item)
    more: Limits = {"PRD-1": Limit(FEW.name, 3)}
    assert isinstance(ask(ledger, refs[4], limits=more), Claim)
    assert ask(ledger, refs[5], limits=more) is ClaimDenied.CONCURRENCY_LIMIT
    assert isinstance(ask(ledger, refs[5], limits={}), Claim)
    assert isinstance(ask(ledger, refs[2], limits={}), Claim)
    for item in refs[:2]:
        ledger.park(inside(ledger, item), "broken")
    assert released(ledger) == [refs[3]]


def test_during_a_pause_nobody_is_released(ledger: Ledger, arrive: Arrive) -> None:
    first, second, third = arrive(3)
    claim = inside(ledger, first)
    inside(ledger, second)
    ask(ledger, third)
    ledger.park(claim, "broken")
    ledger.trip_breaker(seconds=60, reason="429", failed=False)
    assert released(ledger) == []
    ledger.reset_breaker()
    assert released(ledger) == [third]


def test_who_finds_no_room_is_no_probe(ledger: Ledger, arrive: Arrive, elapse: Elapse) -> None:
    refs, others = arrive(3), arrive(1, product="PRD-2")
    for item in refs[:2]:
        inside(ledger, item)
    ledger.trip_breaker(seconds=0.01, reason="401", failed=True)
    elapse(0.02)
    assert ask(ledger, refs[2]) is ClaimDenied.CONCURRENCY_LIMIT
    assert inside(ledger, others[0]).is_half_open_probe, "the place of the probe is free still"


def test_messages_to_those_in_line_become_ever_rarer(memory_ledger: Ledger, clock: Clock) -> None:
    """Ten thousand in line must not fill the queue at each sweep."""
    refs = [ref(number) for number in range(3)]
    see(memory_ledger, *refs, product="PRD-1", requeue_seconds=60)
    claims = [ask(memory_ledger, item) for item in refs]
    sent = []
    for minute in range(1, 61):
        clock.step(60)
        for claim in claims:
            if isinstance(claim, Claim):
                memory_ledger.claim(claim.ref, owner=claim.owner, lease_seconds=LONG, limits=LIMITS)
        found = memory_ledger.take_due(limit=9, requeue_seconds=60, max_attempts=9).publish
        sent += [minute] * found.count(refs[2])
        if refs[2] in found:
            assert ask(memory_ledger, refs[2]) is ClaimDenied.CONCURRENCY_LIMIT
    assert sent == [1, 3, 7, 15, 31]


def test_slots_and_lines_agree_with_the_records(
    redis_ledger: RedisLedger, client: redis.Redis, account: str
) -> None:
    ledger = redis_ledger
    refs = [ref(number) for number in range(9)]
    see(ledger, *refs, product="PRD-1")
    claims = [ask(ledger, item) for item in refs]
    assert_consistent(client, account)
    prefix = f"connect-worker:{{{account}}}:"
    members = [client.zcard(f"{prefix}{name}:{FEW.name}") for name in ("slots", "slot_queue")]
    assert members == [2, 7]
    assert isinstance(claims[0], Claim)
    ledger.decide(claims[0], APPROVE)
    released(ledger)
    ask(ledger, refs[2])
    ask(ledger, refs[3])
    assert_consistent(client, account)
    client.delete(f"{prefix}request:{refs[3]}")
    ledger.complete(claims[0], "approved", keep_seconds=LONG)
    assert isinstance(claims[1], Claim)
    ledger.park(claims[1], "broken")
    assert released(ledger) == [], "a record that was deleted by hand was the next"
    assert released(ledger) == [refs[4]]

"""The client repeats a command whose reply was lost; nothing happens twice for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from connect_worker.domain.states import (
    Claim,
    Limit,
    Limits,
    PendingRequest,
    PollReport,
    RequestKind,
    State,
)
from connect_worker.ledger.redis import RedisLedger, connect
from connect_worker.ledger.scripts import NAMES, source
from tests.support.ledger_factories import (
    APPROVE,
    LONG,
    OTHER,
    PR,
    assert_consistent,
    look,
    posting,
    running,
    see,
    take,
)
from tests.support.lossy_relay import LossyRelay, lossy_relay

Prepare = Callable[[RedisLedger], Claim | None]
Act = Callable[[RedisLedger, Claim], object]
LIMITS: Limits = {"": Limit("one", 1)}


@pytest.fixture
def relay(redis_url: str) -> Iterator[LossyRelay]:
    server = Path(redis_url.removeprefix("unix://"))
    with lossy_relay(server.parent, server) as relay:
        yield relay


@pytest.fixture
def far_ledger(relay: LossyRelay, account: str) -> Iterator[RedisLedger]:
    with connect(f"unix://{relay.server_address!s}") as client:
        for name in NAMES:
            # Else the reply that gets lost may be the one that asks for a script's text.
            client.script_load(source(name))
        yield RedisLedger(client, account=account)


def parked(ledger: RedisLedger) -> Claim:
    claim = posting(ledger)
    ledger.park(claim, "broken")
    return claim


def queued(ledger: RedisLedger) -> None:
    see(ledger)


def held(ledger: RedisLedger) -> None:
    see(ledger)
    ledger.pause("all")
    ledger.claim(PR, owner="w1", lease_seconds=LONG)


def crowded(ledger: RedisLedger) -> None:
    """One is inside, and `PR` comes too late."""
    see(ledger, OTHER, PR)
    ledger.claim(OTHER, owner="other", lease_seconds=LONG, limits=LIMITS)


def take_slot(ledger: RedisLedger) -> str:
    found = ledger.claim(PR, owner="w1", lease_seconds=LONG, limits=LIMITS)
    return found.limit if isinstance(found, Claim) else found.value


def put_back(state: State) -> Act:
    return lambda ledger, claim: ledger.reschedule(
        claim, state, delay_seconds=LONG, error="e", attempt_used=False
    )


# fmt: off
CALLS: dict[str, tuple[Prepare, Act, object]] = {
    "claim": (queued, lambda ledger, _: take(ledger).attempt, 1),
    "claim of a slot": (queued, lambda ledger, _: take_slot(ledger), "one"),
    "claim without a slot": (crowded, lambda ledger, _: take_slot(ledger), "concurrency_limit"),
    "renew_lease": (running, lambda ledger, claim: ledger.renew_lease(claim), True),
    "decide": (running, lambda ledger, claim: ledger.decide(claim, APPROVE), None),
    "record_step": (posting, lambda ledger, claim: ledger.record_step(claim, "s", 1), None),
    "complete": (posting, lambda ledger, claim: ledger.complete(claim, "a", keep_seconds=9), None),
    "supersede": (posting, lambda ledger, claim: ledger.supersede(
        claim, "a", keep_seconds=9), None),
    "retry": (posting, put_back(State.RETRY), None),
    "snoozed": (running, put_back(State.SNOOZED), None),
    "decided": (posting, put_back(State.DECIDED), None),
    "park": (running, lambda ledger, claim: ledger.park(claim, "e"), None),
    "mark_decided_elsewhere": (queued, lambda ledger, _: ledger.mark_decided_elsewhere(
        PR, "failed", seen_at=ledger.now() + 1, keep_seconds=9), True),
    "rerun": (parked, lambda ledger, _: ledger.rerun(PR), True),
    "repost": (parked, lambda ledger, _: ledger.repost(PR), True),
    "discard": (parked, lambda ledger, _: ledger.discard(PR, keep_seconds=9), True),
    "trip_breaker": (queued, lambda ledger, _: ledger.trip_breaker(
        seconds=0, reason="503", failed=True).failures, 1),
    "record_poll": (queued, lambda ledger, _: ledger.record_poll(
        RequestKind.USAGE, PollReport(seen=1)), None),
    "pause": (queued, lambda ledger, _: ledger.pause("all", reason="r"), None),
    "resume": (held, lambda ledger, _: ledger.resume("all"), 0),
    "reset_breaker": (queued, lambda ledger, _: ledger.reset_breaker(), None),
    "lock": (queued, lambda ledger, _: ledger.lock("l", owner="a", seconds=9), True),
    "unlock": (queued, lambda ledger, _: ledger.unlock("l", owner="a"), None),
}
# fmt: on


@pytest.mark.parametrize("call", CALLS)
def test_a_call_whose_reply_is_lost_has_its_effect_once(
    relay: LossyRelay,
    far_ledger: RedisLedger,
    client: redis.Redis,
    account: str,
    call: str,
) -> None:
    twin = RedisLedger(client, account=f"{account}-twin")
    prepare, act, answer = CALLS[call]
    far_claim, twin_claim = prepare(far_ledger), prepare(twin)
    relay.lose = 1
    # `queued` gives no claim, and the calls after it ask for none.
    assert act(far_ledger, far_claim) == answer  # type: ignore[arg-type]
    assert relay.lost == 1
    act(twin, twin_claim)  # type: ignore[arg-type]
    assert facts(far_ledger) == facts(twin)
    assert_consistent(client, account)


def facts(ledger: RedisLedger) -> object:
    entry = look(ledger)
    return (
        (entry.state, entry.cycle, entry.fence, entry.attempt, entry.decision, entry.steps),
        (entry.error, entry.outcome, ledger.counts(), ledger.outcomes(), ledger.breaker().failures),
    )


def test_a_sighting_whose_reply_is_lost_begins_one_cycle_that_a_sweep_publishes(
    relay: LossyRelay, far_ledger: RedisLedger
) -> None:
    seen_at = far_ledger.now()
    relay.lose = 1
    assert far_ledger.register([PendingRequest(PR)], seen_at=seen_at, requeue_seconds=0) == []
    assert far_ledger.counts()[RequestKind.FULFILLMENT][State.QUEUED] == 1
    assert far_ledger.take_due(limit=9, requeue_seconds=9, max_attempts=9).publish == [PR]


def test_a_sweep_whose_reply_is_lost_finds_the_same_again_later(
    relay: LossyRelay, far_ledger: RedisLedger
) -> None:
    see(far_ledger, requeue_seconds=0)
    relay.lose = 1
    assert far_ledger.take_due(limit=9, requeue_seconds=0.001, max_attempts=9).publish in ([], [PR])
    assert relay.lost == 1
    while not far_ledger.take_due(limit=9, requeue_seconds=0.001, max_attempts=9).publish:
        assert look(far_ledger).state is State.QUEUED


def test_a_turn_whose_reply_is_lost_is_wasted_and_no_more(
    relay: LossyRelay, far_ledger: RedisLedger
) -> None:
    relay.lose = 1
    assert 9 < far_ledger.acquire_call(calls_per_second=0.1).wait_seconds <= 10
    assert relay.lost == 1
    assert 19 < far_ledger.acquire_call(calls_per_second=0.1).wait_seconds <= 20


def test_who_was_let_out_of_line_by_a_lost_reply_is_woken_by_a_sweep(
    relay: LossyRelay, far_ledger: RedisLedger
) -> None:
    crowded(far_ledger)
    take_slot(far_ledger)
    claim = far_ledger.claim(OTHER, owner="other", lease_seconds=LONG, limits=LIMITS)
    assert isinstance(claim, Claim)
    far_ledger.park(claim, "broken")
    relay.lose = 1
    assert far_ledger.take_from_slot_queue("one", requeue_seconds=0.001) == []
    assert relay.lost == 1
    while not far_ledger.take_due(limit=9, requeue_seconds=9, max_attempts=9).publish:
        assert look(far_ledger).state is State.QUEUED
    assert take_slot(far_ledger) == "one"

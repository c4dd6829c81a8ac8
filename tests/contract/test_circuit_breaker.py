"""Contract of the account's circuit breaker, and of the named locks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from connect_worker.domain.states import (
    BreakerState,
    Claim,
    ClaimDenied,
    RequestKey,
    RequestKind,
    State,
)
from connect_worker.engine.ports import Ledger
from tests.support.ledger_factories import (
    LONG,
    OTHER,
    PR,
    TCR,
    claim_of,
    posting,
    record_of,
    register,
    running,
    take_due,
)

Elapse = Callable[[float], None]


def ask(ledger: Ledger, ref: RequestKey = PR, *, owner: str = "w1") -> Claim | ClaimDenied:
    return ledger.claim(ref, owner=owner, lease_seconds=LONG)


def test_the_breaker_is_closed_at_first(ledger: Ledger) -> None:
    assert ledger.breaker() == BreakerState()


def test_a_closed_gate_says_how_long_and_why(ledger: Ledger) -> None:
    closed = ledger.trip_breaker(seconds=30, reason="429", failed=False)
    assert closed == ledger.breaker()
    assert closed.open_until == pytest.approx(ledger.now() + 30, abs=5)
    assert (closed.reason, closed.failures) == ("429", 0)


def test_a_pause_is_never_shortened(ledger: Ledger) -> None:
    first = ledger.trip_breaker(seconds=60, reason="long", failed=False)
    assert ledger.trip_breaker(seconds=1, reason="short", failed=False) == first


def test_a_pause_can_be_lengthened(ledger: Ledger) -> None:
    ledger.trip_breaker(seconds=1, reason="short", failed=False)
    assert ledger.trip_breaker(seconds=60, reason="long", failed=False).reason == "long"


def test_a_closed_gate_refuses_every_claim_and_moves_it_to_the_gates_end(ledger: Ledger) -> None:
    register(ledger, requeue_seconds=0)
    gate = ledger.trip_breaker(seconds=60, reason="429", failed=False)
    assert ask(ledger) is ClaimDenied.BREAKER_OPEN
    entry = record_of(ledger)
    assert (entry.state, entry.attempt, entry.fence) == (State.QUEUED, 0, 0)
    assert gate.open_until <= entry.due <= gate.open_until + 2
    assert take_due(ledger) == []


def test_paused_requests_do_not_all_come_back_in_the_same_moment(ledger: Ledger) -> None:
    refs = [RequestKey(RequestKind.USAGE, f"LST-{number}") for number in range(50)]
    register(ledger, *refs)
    ledger.trip_breaker(seconds=60, reason="429", failed=False)
    assert {ask(ledger, ref) for ref in refs} == {ClaimDenied.BREAKER_OPEN}
    assert len({record_of(ledger, ref).due for ref in refs}) > 30


def test_paused_requests_are_woken_after_the_gates_end(ledger: Ledger, elapse: Elapse) -> None:
    register(ledger, requeue_seconds=0)
    gate = ledger.trip_breaker(seconds=0.02, reason="429", failed=False)
    assert ask(ledger) is ClaimDenied.BREAKER_OPEN
    elapse(record_of(ledger).due - gate.open_until + 0.03)
    assert take_due(ledger) == [PR]
    assert claim_of(ledger).fence == 1


def test_a_worker_keeps_its_claim_while_the_gate_is_closed(ledger: Ledger) -> None:
    claim = posting(ledger)
    ledger.trip_breaker(seconds=60, reason="429", failed=False)
    assert ledger.renew_lease(claim)
    assert claim_of(ledger).fence == claim.fence
    ledger.reschedule(claim, State.DECIDED, delay_seconds=60)


def test_after_a_429_the_gate_opens_by_itself_for_all(ledger: Ledger, elapse: Elapse) -> None:
    register(ledger, PR, OTHER)
    ledger.trip_breaker(seconds=0.02, reason="429", failed=False)
    elapse(0.03)
    assert ledger.breaker() == BreakerState()
    assert not claim_of(ledger, PR).is_half_open_probe
    assert not claim_of(ledger, OTHER, owner="w2").is_half_open_probe


def test_after_a_failure_one_claim_probes_and_the_others_wait(
    ledger: Ledger, elapse: Elapse
) -> None:
    register(ledger, PR, OTHER, TCR)
    ledger.trip_breaker(seconds=0.02, reason="401", failed=True)
    elapse(0.03)
    assert claim_of(ledger, PR).is_half_open_probe
    assert ask(ledger, OTHER, owner="w2") is ClaimDenied.BREAKER_OPEN
    assert ask(ledger, TCR, owner="w3") is ClaimDenied.BREAKER_OPEN
    assert ledger.now() < record_of(ledger, OTHER).due <= ledger.now() + 2.5
    gate = ledger.breaker()
    assert (gate.reason, gate.failures) == ("401", 1)
    assert 0 < gate.open_until <= ledger.now()


def test_the_probe_that_asks_again_is_still_the_probe(ledger: Ledger, elapse: Elapse) -> None:
    register(ledger)
    ledger.trip_breaker(seconds=0.01, reason="401", failed=True)
    elapse(0.02)
    assert claim_of(ledger) == claim_of(ledger)
    assert claim_of(ledger).is_half_open_probe


def test_the_probe_that_asks_again_keeps_the_others_waiting(ledger: Ledger, elapse: Elapse) -> None:
    register(ledger, PR, OTHER)
    ledger.trip_breaker(seconds=0.01, reason="503", failed=True)
    elapse(0.02)
    claim_of(ledger, PR, lease_seconds=0.2)
    claim_of(ledger, PR)
    elapse(0.21)
    assert ledger.claim(OTHER, owner="w2", lease_seconds=LONG) is ClaimDenied.BREAKER_OPEN


def test_resetting_the_breaker_lets_all_pass_and_forgets_the_failures(
    ledger: Ledger, elapse: Elapse
) -> None:
    register(ledger, PR, OTHER)
    ledger.trip_breaker(seconds=0.01, reason="401", failed=True)
    elapse(0.02)
    assert claim_of(ledger, PR).is_half_open_probe
    ledger.reset_breaker()
    ledger.reset_breaker()
    assert ledger.breaker() == BreakerState()
    assert not claim_of(ledger, OTHER, owner="w2").is_half_open_probe


def test_a_probe_that_fails_trips_the_breaker_again_and_counts(
    ledger: Ledger, elapse: Elapse
) -> None:
    register(ledger, PR, OTHER)
    ledger.trip_breaker(seconds=0.01, reason="503", failed=True)
    elapse(0.02)
    claim_of(ledger, PR)
    assert ledger.trip_breaker(seconds=0.01, reason="503", failed=True).failures == 2
    elapse(0.02)
    assert claim_of(ledger, OTHER, owner="w2").is_half_open_probe


def test_failures_can_be_counted_without_a_pause(ledger: Ledger) -> None:
    register(ledger, PR, OTHER)
    counted = [ledger.trip_breaker(seconds=0, reason="500", failed=True).failures for _ in "ab"]
    assert counted == [1, 2]
    assert ledger.breaker().open_until <= ledger.now()
    assert not ledger.breaker().needs_probe
    assert claim_of(ledger, PR).is_half_open_probe
    assert claim_of(ledger, OTHER, owner="w2").is_half_open_probe


def test_the_state_says_whether_the_next_claim_is_a_probe(ledger: Ledger, elapse: Elapse) -> None:
    register(ledger, PR)
    assert not ledger.trip_breaker(seconds=0, reason="500", failed=True).needs_probe
    tripped = ledger.trip_breaker(seconds=0.01, reason="500", failed=True)
    assert tripped.needs_probe
    elapse(0.02)
    assert ledger.breaker() == tripped
    claim_of(ledger, PR)
    assert ledger.breaker() == tripped, "the probe has not answered yet"
    ledger.reset_breaker(forget=False)
    assert (ledger.breaker().failures, ledger.breaker().needs_probe) == (2, False)
    ledger.trip_breaker(seconds=60, reason="500", failed=True)
    ledger.reset_breaker()
    assert ledger.breaker() == BreakerState()


def test_a_pause_that_connect_asked_for_needs_no_probe(ledger: Ledger) -> None:
    ledger.trip_breaker(seconds=0, reason="500", failed=True)
    assert not ledger.trip_breaker(seconds=60, reason="429", failed=False, asked=True).needs_probe
    assert ledger.trip_breaker(seconds=90, reason="500", failed=True).needs_probe


def test_a_pause_after_counted_failures_opens_with_one_probe(
    ledger: Ledger, elapse: Elapse
) -> None:
    register(ledger, PR, OTHER)
    ledger.trip_breaker(seconds=0, reason="500", failed=True)
    assert ledger.trip_breaker(seconds=0.01, reason="500", failed=False).failures == 1
    elapse(0.02)
    assert claim_of(ledger, PR).is_half_open_probe
    assert ask(ledger, OTHER, owner="w2") is ClaimDenied.BREAKER_OPEN


def test_the_breaker_can_be_reset_with_its_failures_kept(ledger: Ledger) -> None:
    register(ledger, PR, OTHER)
    ledger.trip_breaker(seconds=60, reason="500", failed=True)
    ledger.reset_breaker(forget=False)
    assert (ledger.breaker().failures, ledger.breaker().open_until) == (1, 0.0)
    assert claim_of(ledger, PR).is_half_open_probe
    assert claim_of(ledger, OTHER, owner="w2").is_half_open_probe
    assert ledger.trip_breaker(seconds=60, reason="500", failed=True).failures == 2


@pytest.mark.parametrize("forget", [True, False])
def test_a_success_does_not_end_the_pause_that_connect_asked_for(
    ledger: Ledger, forget: bool
) -> None:
    """The call that succeeded was sent before the one that met the 429."""
    ledger.trip_breaker(seconds=0, reason="500", failed=True)
    ledger.trip_breaker(seconds=60, reason="429", failed=False, asked=True)
    ledger.trip_breaker(seconds=300, reason="500", failed=True)
    ledger.reset_breaker(forget=forget)
    gate = ledger.breaker()
    assert (gate.reason, gate.failures) == ("429", 0 if forget else 1)
    assert gate.open_until == pytest.approx(ledger.now() + 60, abs=5)


def test_a_pause_that_connect_asked_for_is_over_in_its_time(ledger: Ledger, elapse: Elapse) -> None:
    ledger.trip_breaker(seconds=0.01, reason="429", failed=False, asked=True)
    ledger.trip_breaker(seconds=60, reason="401", failed=True)
    elapse(0.02)
    ledger.reset_breaker()
    assert ledger.breaker() == BreakerState()


def test_after_a_pause_that_connect_asked_for_nobody_probes_alone(
    ledger: Ledger, elapse: Elapse
) -> None:
    register(ledger, PR, OTHER)
    ledger.trip_breaker(seconds=0, reason="500", failed=True)
    ledger.trip_breaker(seconds=0.01, reason="429", failed=False, asked=True)
    elapse(0.02)
    assert claim_of(ledger, PR).is_half_open_probe
    assert claim_of(ledger, OTHER, owner="w2").is_half_open_probe


def test_resetting_a_closed_breaker_leaves_it_as_it_is(ledger: Ledger) -> None:
    ledger.reset_breaker(forget=False)
    assert ledger.breaker() == BreakerState()
    register(ledger)
    assert not claim_of(ledger).is_half_open_probe


def test_many_workers_that_fail_on_one_outage_count_once(ledger: Ledger) -> None:
    failures = [
        ledger.trip_breaker(seconds=60, reason="503", failed=True).failures for _ in range(16)
    ]
    assert failures == [1] * 16


def test_a_failure_while_a_429_lasts_counts(ledger: Ledger) -> None:
    ledger.trip_breaker(seconds=60, reason="429", failed=False)
    assert ledger.trip_breaker(seconds=1, reason="401", failed=True).failures == 1


def test_a_probe_whose_lease_ends_is_followed_by_another(ledger: Ledger, elapse: Elapse) -> None:
    register(ledger, PR, OTHER)
    ledger.trip_breaker(seconds=0.01, reason="401", failed=True)
    elapse(0.02)
    assert claim_of(ledger, PR, lease_seconds=0.02).is_half_open_probe
    elapse(0.03)
    assert claim_of(ledger, OTHER, owner="w2").is_half_open_probe


def test_a_probe_that_is_given_up_is_followed_by_another(ledger: Ledger, elapse: Elapse) -> None:
    register(ledger, PR, OTHER)
    ledger.trip_breaker(seconds=0.01, reason="401", failed=True)
    elapse(0.02)
    ledger.reschedule(claim_of(ledger, PR), State.RETRY, delay_seconds=0)
    assert claim_of(ledger, OTHER, owner="w2").is_half_open_probe


def test_a_heartbeat_of_the_probe_keeps_the_others_waiting(ledger: Ledger, elapse: Elapse) -> None:
    register(ledger, PR, OTHER)
    ledger.trip_breaker(seconds=0.01, reason="401", failed=True)
    elapse(0.02)
    probe = claim_of(ledger, PR, lease_seconds=0.5)
    for _ in range(3):
        elapse(0.25)
        assert ledger.renew_lease(probe)
    assert ask(ledger, OTHER, owner="w2") is ClaimDenied.BREAKER_OPEN


def test_a_request_that_is_not_due_is_not_moved_by_the_breaker(ledger: Ledger) -> None:
    ledger.reschedule(running(ledger), State.RETRY, delay_seconds=500)
    due = record_of(ledger).due
    ledger.trip_breaker(seconds=60, reason="429", failed=False)
    assert ask(ledger, owner="w2") is ClaimDenied.NOT_DUE
    assert record_of(ledger).due == due


def test_a_lock_has_one_holder(ledger: Ledger) -> None:
    assert ledger.lock("poll:usage", owner="a", seconds=LONG)
    assert not ledger.lock("poll:usage", owner="b", seconds=LONG)
    assert ledger.lock("poll:fulfillment", owner="b", seconds=LONG)


def test_its_holder_may_take_a_lock_again(ledger: Ledger, elapse: Elapse) -> None:
    ledger.lock("sweep", owner="a", seconds=0.05)
    assert ledger.lock("sweep", owner="a", seconds=LONG)
    elapse(0.06)
    assert not ledger.lock("sweep", owner="b", seconds=LONG)


def test_a_lock_ends_by_itself(ledger: Ledger, elapse: Elapse) -> None:
    ledger.lock("sweep", owner="a", seconds=0.01)
    elapse(0.02)
    assert ledger.lock("sweep", owner="b", seconds=LONG)


def test_a_lock_is_given_back_by_its_holder_only(ledger: Ledger) -> None:
    ledger.lock("sweep", owner="a", seconds=LONG)
    ledger.unlock("sweep", owner="b")
    assert not ledger.lock("sweep", owner="b", seconds=LONG)
    ledger.unlock("sweep", owner="a")
    ledger.unlock("sweep", owner="a")
    assert ledger.lock("sweep", owner="b", seconds=LONG)

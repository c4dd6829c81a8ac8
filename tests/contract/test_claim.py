"""Contract of `claim` and `renew_lease`: who may work, and for how long."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from connect_worker.domain.states import ClaimDenied, State
from connect_worker.engine.ports import Ledger
from connect_worker.exceptions import LeaseLost
from tests.support.ledger_factories import (
    APPROVE,
    LONG,
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


def test_a_claim_carries_all_that_the_job_needs(ledger: Ledger) -> None:
    register(ledger, TCR, cycle="2024-01-01", product="PRD-1")
    claim = ledger.claim(TCR, owner="w1", lease_seconds=60)
    assert claim == claim_of(ledger, TCR, owner="w1", lease_seconds=60)
    assert (claim.ref, claim.cycle, claim.fence) == (TCR, "2024-01-01", 1)
    assert (claim.owner, claim.attempt, claim.lease_seconds) == ("w1", 1, 60)
    assert (claim.product, claim.decision, claim.steps) == ("PRD-1", None, {})
    assert not claim.is_half_open_probe


def test_a_claimed_request_is_running_under_its_lease(ledger: Ledger) -> None:
    running(ledger, lease_seconds=60)
    entry = record_of(ledger)
    assert (entry.state, entry.owner) == (State.RUNNING, "w1")
    assert entry.due == pytest.approx(ledger.now() + 60, abs=5)


def test_an_unknown_request_is_refused(ledger: Ledger) -> None:
    assert ledger.claim(PR, owner="w1", lease_seconds=1) is ClaimDenied.UNKNOWN


def test_a_second_worker_is_refused_while_the_lease_lives(ledger: Ledger) -> None:
    running(ledger)
    assert ledger.claim(PR, owner="w2", lease_seconds=LONG) is ClaimDenied.BUSY


def test_an_ended_lease_is_not_claimable_before_a_sweep_saw_it(
    ledger: Ledger, elapse: Elapse
) -> None:
    running(ledger, lease_seconds=0.01)
    elapse(0.02)
    assert ledger.claim(PR, owner="w2", lease_seconds=1) is ClaimDenied.BUSY
    assert ledger.claim(PR, owner="w1", lease_seconds=1) is ClaimDenied.BUSY
    assert take_due(ledger) == [PR]
    assert claim_of(ledger, owner="w2").attempt == 2


@pytest.mark.parametrize("state", [State.RETRY, State.SNOOZED])
def test_a_request_put_back_is_refused_until_it_is_due(
    ledger: Ledger, elapse: Elapse, state: State
) -> None:
    ledger.reschedule(running(ledger), state, delay_seconds=0.05)
    assert ledger.claim(PR, owner="w2", lease_seconds=LONG) is ClaimDenied.NOT_DUE
    elapse(0.06)
    assert claim_of(ledger, owner="w2").fence == 2


def test_a_decision_put_back_is_refused_until_it_is_due(ledger: Ledger, elapse: Elapse) -> None:
    ledger.reschedule(posting(ledger), State.DECIDED, delay_seconds=0.05)
    assert ledger.claim(PR, owner="w2", lease_seconds=LONG) is ClaimDenied.NOT_DUE
    elapse(0.06)
    assert claim_of(ledger, owner="w2").decision == APPROVE


def test_parked_and_ended_requests_are_refused(ledger: Ledger) -> None:
    ledger.park(running(ledger), "broken")
    assert ledger.claim(PR, owner="w2", lease_seconds=1) is ClaimDenied.ENDED
    ledger.discard(PR, keep_seconds=LONG)
    assert ledger.claim(PR, owner="w2", lease_seconds=1) is ClaimDenied.ENDED


def test_every_run_of_the_processor_counts_an_attempt_and_a_fence(ledger: Ledger) -> None:
    register(ledger)
    for number in (1, 2, 3):
        claim = claim_of(ledger, owner=f"w{number}")
        assert (claim.attempt, claim.fence) == (number, number)
        ledger.reschedule(claim, State.RETRY, delay_seconds=0)


def test_posting_a_stored_decision_counts_no_attempt(ledger: Ledger) -> None:
    first = posting(ledger)
    ledger.record_step(first, "approve", {"status": 200})
    ledger.reschedule(first, State.DECIDED, delay_seconds=0)
    second = claim_of(ledger, owner="w2")
    assert (second.attempt, second.fence) == (1, 2)
    assert (second.decision, second.steps) == (APPROVE, {"approve": {"status": 200}})
    assert record_of(ledger).state is State.POSTING


def test_a_claim_asked_for_again_has_its_lease_from_then_on(ledger: Ledger, elapse: Elapse) -> None:
    running(ledger, lease_seconds=10)
    elapse(0.02)
    claim_of(ledger, lease_seconds=20)
    assert record_of(ledger).due == pytest.approx(ledger.now() + 20, abs=5)
    assert record_of(ledger).fence == 1


def test_a_heartbeat_renews_the_lease(ledger: Ledger, elapse: Elapse) -> None:
    claim = running(ledger, lease_seconds=0.5)
    for _ in range(3):
        elapse(0.25)
        assert ledger.renew_lease(claim)
    assert take_due(ledger) == []
    ledger.decide(claim, APPROVE)


def test_a_heartbeat_after_the_leases_end_is_refused(ledger: Ledger, elapse: Elapse) -> None:
    claim = running(ledger, lease_seconds=0.01)
    elapse(0.02)
    assert not ledger.renew_lease(claim)


def test_a_heartbeat_is_refused_when_a_sweep_took_the_request_away(
    ledger: Ledger, elapse: Elapse
) -> None:
    claim = running(ledger, lease_seconds=0.01)
    elapse(0.02)
    take_due(ledger)
    assert not ledger.renew_lease(claim)
    claim_of(ledger, owner="w2")
    assert not ledger.renew_lease(claim)


def test_a_heartbeat_of_a_claim_given_up_is_refused(ledger: Ledger) -> None:
    claim = running(ledger)
    ledger.reschedule(claim, State.RETRY, delay_seconds=0)
    assert not ledger.renew_lease(claim)


def test_every_write_of_a_claim_without_a_lease_is_refused(ledger: Ledger, elapse: Elapse) -> None:
    claim = running(ledger, lease_seconds=0.01)
    elapse(0.02)
    before = record_of(ledger)
    writes: list[Callable[[], None]] = [
        lambda: ledger.decide(claim, APPROVE),
        lambda: ledger.record_step(claim, "approve", {}),
        lambda: ledger.complete(claim, "approved", keep_seconds=LONG),
        lambda: ledger.supersede(claim, "failed", keep_seconds=LONG),
        lambda: ledger.reschedule(claim, State.RETRY, delay_seconds=0),
        lambda: ledger.reschedule(claim, State.DECIDED, delay_seconds=0),
        lambda: ledger.park(claim, "broken"),
    ]
    for write in writes:
        with pytest.raises(LeaseLost, match="PR-5852-1608-0000"):
            write()
    assert record_of(ledger) == before


def test_an_older_fence_is_refused_even_for_the_same_owner(ledger: Ledger) -> None:
    old = running(ledger)
    ledger.reschedule(old, State.RETRY, delay_seconds=0)
    new = claim_of(ledger, owner=old.owner)
    with pytest.raises(LeaseLost):
        ledger.decide(old, APPROVE)
    ledger.decide(new, APPROVE)


def test_a_claim_of_a_forgotten_request_is_refused(ledger: Ledger, elapse: Elapse) -> None:
    claim = running(ledger)
    ledger.complete(claim, "approved", keep_seconds=0.01)
    elapse(0.02)
    with pytest.raises(LeaseLost):
        ledger.complete(claim, "approved", keep_seconds=0.01)

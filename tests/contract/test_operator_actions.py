"""Contract of what an operator may do with a parked request: rerun, repost, discard."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from connect_worker.domain.states import RequestKind, State
from connect_worker.engine.ports import Ledger
from connect_worker.exceptions import LeaseLost
from tests.support.ledger_factories import (
    APPROVE,
    LONG,
    PR,
    claim_of,
    posting,
    record_of,
    register,
    running,
    take_due,
)

Elapse = Callable[[float], None]


def parked_with_a_decision(ledger: Ledger) -> None:
    claim = posting(ledger)
    ledger.record_step(claim, "params", {"status": 200})
    ledger.park(claim, "400 VAL_001")


def test_rerun_starts_the_same_cycle_over_and_keeps_its_steps(ledger: Ledger) -> None:
    parked_with_a_decision(ledger)
    assert ledger.rerun(PR)
    assert record_of(ledger).state is State.QUEUED
    assert ledger.parked(RequestKind.FULFILLMENT) == []
    claim = claim_of(ledger, owner="w2")
    assert (claim.cycle, claim.attempt, claim.fence) == ("1", 1, 2)
    assert (claim.decision, claim.steps) == (None, {"params": {"status": 200}})


@pytest.mark.parametrize(("forget_steps", "kept"), [(False, 2), (True, 1)])
def test_rerun_forgets_the_processors_steps_only_when_it_is_asked_to(
    ledger: Ledger, forget_steps: bool, kept: int
) -> None:
    claim = running(ledger)
    ledger.record_step(claim, "params", 1)
    ledger.record_step(claim, "step:1:tenant", 2)
    ledger.park(claim, "InvalidStep")
    assert ledger.rerun(PR, forget_steps=forget_steps)
    entry = record_of(ledger)
    assert (len(entry.steps), len(entry.step_times)) == (kept, kept - 1)
    assert "params" in entry.steps


def test_a_rerun_request_is_published_by_the_next_sweep(ledger: Ledger) -> None:
    parked_with_a_decision(ledger)
    ledger.rerun(PR)
    assert take_due(ledger) == [PR]


def test_repost_posts_the_kept_decision(ledger: Ledger) -> None:
    parked_with_a_decision(ledger)
    assert ledger.repost(PR)
    assert record_of(ledger).state is State.DECIDED
    assert take_due(ledger) == [PR]
    claim = claim_of(ledger, owner="w2")
    assert (claim.decision, claim.attempt) == (APPROVE, 1)
    assert ledger.parked(RequestKind.FULFILLMENT) == []


def test_without_a_decision_there_is_nothing_to_repost(ledger: Ledger) -> None:
    ledger.park(running(ledger), "broken")
    assert not ledger.repost(PR)
    assert record_of(ledger).state is State.PARKED


def test_discard_ends_the_cycle_without_an_outcome(ledger: Ledger) -> None:
    parked_with_a_decision(ledger)
    assert ledger.discard(PR, keep_seconds=LONG)
    entry = record_of(ledger)
    assert (entry.state, entry.outcome, entry.error) == (State.DISCARDED, "", "400 VAL_001")
    assert ledger.parked(RequestKind.FULFILLMENT) == []
    assert ledger.outcomes()[RequestKind.FULFILLMENT] == {}


def test_a_discarded_record_is_forgotten_when_its_time_is_over(
    ledger: Ledger, elapse: Elapse
) -> None:
    parked_with_a_decision(ledger)
    ledger.discard(PR, keep_seconds=0.01)
    elapse(0.02)
    assert ledger.get_record(PR) is None


def test_a_discarded_request_can_be_rerun_after_all(ledger: Ledger, elapse: Elapse) -> None:
    parked_with_a_decision(ledger)
    ledger.discard(PR, keep_seconds=1)
    assert ledger.rerun(PR)
    elapse(1.1)
    assert claim_of(ledger, owner="w2").cycle == "1"
    assert ledger.counts()[RequestKind.FULFILLMENT][State.DISCARDED] == 0


@pytest.mark.parametrize("act", ["rerun", "repost", "discard"])
def test_a_person_changes_parked_requests_only(ledger: Ledger, act: str) -> None:
    def change() -> bool:
        if act == "discard":
            return ledger.discard(PR, keep_seconds=LONG)
        return ledger.rerun(PR) if act == "rerun" else ledger.repost(PR)

    assert not change()
    register(ledger)
    assert not change()
    claim = claim_of(ledger)
    assert not change()
    ledger.decide(claim, APPROVE)
    assert not change()
    ledger.reschedule(claim, State.DECIDED, delay_seconds=0)
    assert not change()
    ledger.complete(claim_of(ledger, owner="w2"), "approved", keep_seconds=LONG)
    assert not change()
    assert record_of(ledger).state is State.COMPLETED


def test_the_worker_that_parked_can_not_write_to_the_rerun(ledger: Ledger) -> None:
    claim = running(ledger)
    ledger.park(claim, "broken")
    ledger.rerun(PR)
    with pytest.raises(LeaseLost):
        ledger.decide(claim, APPROVE)

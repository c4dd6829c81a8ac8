"""Contract of what a claim may do: decide, record, and the five ways to end it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from connect_worker.domain.states import Claim, RequestKey, RequestKind, State
from connect_worker.engine.ports import Ledger
from connect_worker.exceptions import LeaseLost
from tests.support.ledger_factories import (
    APPROVE,
    LONG,
    OTHER,
    PR,
    TCR,
    claim_of,
    posting,
    record_of,
    register,
    running,
)

Elapse = Callable[[float], None]


def test_a_decision_is_stored_before_anything_is_posted(ledger: Ledger) -> None:
    claim = running(ledger)
    ledger.decide(claim, APPROVE)
    assert (record_of(ledger).state, record_of(ledger).decision) == (State.POSTING, APPROVE)


def test_the_same_decision_may_be_stored_twice_whatever_its_keys_order(ledger: Ledger) -> None:
    claim = running(ledger)
    ledger.decide(claim, {"a": 1, "b": [2, {"d": 3, "c": 4}]})
    ledger.decide(claim, {"b": [2, {"c": 4, "d": 3}], "a": 1})
    assert record_of(ledger).decision == {"a": 1, "b": [2, {"c": 4, "d": 3}]}


def test_a_second_different_decision_is_refused(ledger: Ledger) -> None:
    claim = posting(ledger)
    with pytest.raises(LeaseLost, match="another decision"):
        ledger.decide(claim, {"type": "fail"})
    assert record_of(ledger).decision == APPROVE


def test_null_is_no_decision(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="null"):
        ledger.decide(running(ledger), None)
    assert record_of(ledger).state is State.RUNNING


@pytest.mark.parametrize(
    "document",
    [
        {"text": "Straße 東京 🎉 \ud800"},
        {"big": 2**63, "small": 1e-300, "whole": 1.0, "none": None, "yes": True},
        {"empty": {}, "list": [], "nested": [[[]]], "": ""},
        {"newline": "a\nb\0c"},
        "text",
        0,
        False,
    ],
)
def test_any_json_document_comes_back_as_it_was_stored(ledger: Ledger, document: object) -> None:
    claim = running(ledger)
    ledger.decide(claim, document)
    ledger.record_step(claim, "step", document)
    ledger.reschedule(claim, State.DECIDED, delay_seconds=0)
    again = claim_of(ledger, owner="w2")
    # As text: True == 1 == 1.0 in Python, and they are three things in JSON.
    for stored in (again.decision, again.steps["step"]):
        assert json.dumps(stored, sort_keys=True) == json.dumps(document, sort_keys=True)


def test_a_stored_decision_does_not_change_with_the_callers_object(ledger: Ledger) -> None:
    claim = running(ledger)
    decision = {"params": ["a"]}
    ledger.decide(claim, decision)
    decision["params"].append("b")
    assert record_of(ledger).decision == {"params": ["a"]}


def test_a_steps_first_result_stays(ledger: Ledger) -> None:
    claim = posting(ledger)
    ledger.record_step(claim, "create", {"id": "UF-1"})
    ledger.record_step(claim, "create", {"id": "UF-2"})
    ledger.record_step(claim, "s", None)
    assert record_of(ledger).steps == {"create": {"id": "UF-1"}, "s": None}


def test_a_processors_step_is_noted_with_its_time(ledger: Ledger) -> None:
    claim = running(ledger)
    ledger.record_step(claim, "create", 1)
    ledger.record_step(claim, "step:1:tenant", 1)
    before = record_of(ledger).step_times["step:1:tenant"]
    ledger.record_step(claim, "step:1:tenant", 2)
    entry = record_of(ledger)
    assert entry.step_times == {"step:1:tenant": before}
    assert entry.first_seen <= before <= ledger.now()


def test_the_first_not_yet_of_a_cycle_is_remembered_until_a_person_reruns_it(
    ledger: Ledger, elapse: Callable[[float], None]
) -> None:
    claim = running(ledger)
    assert claim.snoozed_since == record_of(ledger).snoozed_since == 0
    ledger.reschedule(claim, State.SNOOZED, delay_seconds=0, attempt_used=False, not_yet=True)
    first = record_of(ledger).snoozed_since
    assert claim.ref == PR
    assert 0 < first <= ledger.now()
    elapse(0.005)
    for name in ("w2", "w3"):
        claim = claim_of(ledger, owner=name)
        assert (claim.snoozed_since, claim.attempt) == (first, 1)
        ledger.reschedule(claim, State.SNOOZED, delay_seconds=0, attempt_used=False, not_yet=True)
    ledger.park(claim_of(ledger, owner="w4"), "GaveUp")
    assert record_of(ledger).snoozed_since == first
    ledger.rerun(PR)
    assert record_of(ledger).snoozed_since == 0


def test_settling_ends_the_cycle_with_its_outcome(ledger: Ledger) -> None:
    claim = posting(ledger)
    ledger.complete(claim, "approved", keep_seconds=LONG)
    entry = record_of(ledger)
    assert (entry.state, entry.outcome, entry.owner, entry.due) == (
        State.COMPLETED, "approved", "", 0.0,
    )  # fmt: skip
    assert entry.decision == APPROVE
    assert ledger.outcomes()[RequestKind.FULFILLMENT] == {"approved": 1}


def test_a_completed_record_is_forgotten_when_its_time_is_over(
    ledger: Ledger, elapse: Elapse
) -> None:
    ledger.complete(posting(ledger), "approved", keep_seconds=0.05)
    assert record_of(ledger).state is State.COMPLETED
    elapse(0.06)
    assert ledger.get_record(PR) is None
    assert ledger.counts()[RequestKind.FULFILLMENT][State.COMPLETED] == 1


def test_an_error_of_an_earlier_attempt_is_not_shown_once_settled(ledger: Ledger) -> None:
    ledger.reschedule(running(ledger), State.RETRY, delay_seconds=0, error="reset")
    claim = claim_of(ledger, owner="w2")
    assert record_of(ledger).error == "reset"
    ledger.complete(claim, "approved", keep_seconds=LONG)
    assert record_of(ledger).error == ""


def test_superseding_ends_the_cycle_with_connects_status(ledger: Ledger) -> None:
    ledger.supersede(posting(ledger), "failed", keep_seconds=LONG)
    entry = record_of(ledger)
    assert (entry.state, entry.outcome) == (State.SUPERSEDED, "failed")
    assert ledger.outcomes()[RequestKind.FULFILLMENT] == {"failed": 1}


def test_a_retry_is_due_after_its_delay_and_shows_its_error(ledger: Ledger) -> None:
    ledger.reschedule(running(ledger), State.RETRY, delay_seconds=30, error="reset by peer")
    entry = record_of(ledger)
    assert (entry.state, entry.error, entry.attempt) == (State.RETRY, "reset by peer", 1)
    assert entry.due == pytest.approx(ledger.now() + 30, abs=5)
    assert entry.owner == ""


@pytest.mark.parametrize("state", [State.RETRY, State.SNOOZED])
def test_retry_and_waiting_drop_the_decision_and_keep_the_steps(
    ledger: Ledger, state: State
) -> None:
    claim = posting(ledger)
    ledger.record_step(claim, "params", {"status": 200})
    ledger.reschedule(claim, state, delay_seconds=0)
    again = claim_of(ledger, owner="w2")
    assert (again.decision, again.steps) == (None, {"params": {"status": 200}})
    ledger.decide(again, {"type": "fail"})


def test_not_yet_gives_the_attempt_back(ledger: Ledger) -> None:
    register(ledger)
    for number in (1, 2, 3):
        claim = claim_of(ledger, owner=f"w{number}")
        assert claim.attempt == 1
        ledger.reschedule(claim, State.SNOOZED, delay_seconds=0, attempt_used=False)
        assert record_of(ledger).attempt == 0


def test_a_claim_of_a_stored_decision_has_no_attempt_to_give_back(ledger: Ledger) -> None:
    ledger.reschedule(posting(ledger), State.DECIDED, delay_seconds=0)
    for number in (2, 3):
        claim = claim_of(ledger, owner=f"w{number}")
        ledger.reschedule(claim, State.DECIDED, delay_seconds=0, attempt_used=False)
    assert record_of(ledger).attempt == 1


def test_the_claim_that_decided_can_give_its_attempt_back(ledger: Ledger) -> None:
    ledger.reschedule(posting(ledger), State.DECIDED, delay_seconds=0, attempt_used=False)
    assert record_of(ledger).attempt == 0


def test_only_a_decision_can_be_put_back_as_decided(ledger: Ledger) -> None:
    claim = running(ledger)
    with pytest.raises(ValueError, match="no decision"):
        ledger.reschedule(claim, State.DECIDED, delay_seconds=0)
    assert record_of(ledger).state is State.RUNNING


@pytest.mark.parametrize("state", [State.QUEUED, State.PARKED, State.COMPLETED, State.RUNNING])
def test_a_claim_is_put_back_to_waiting_states_only(ledger: Ledger, state: State) -> None:
    with pytest.raises(ValueError, match=state.value):
        ledger.reschedule(running(ledger), state, delay_seconds=0)


def test_parking_keeps_the_decision_and_the_error(ledger: Ledger) -> None:
    ledger.park(posting(ledger), "400 VAL_001")
    entry = record_of(ledger)
    assert (entry.state, entry.error, entry.decision) == (State.PARKED, "400 VAL_001", APPROVE)
    assert (entry.owner, entry.due) == ("", 0.0)
    assert ledger.parked(RequestKind.FULFILLMENT) == [PR]


def test_a_long_error_is_clipped_and_a_strange_one_is_stored(ledger: Ledger) -> None:
    ledger.park(running(ledger), "\ud800" + "x" * 10_000)
    assert record_of(ledger).error.startswith("\\ud800xxx")
    assert len(record_of(ledger).error) < 1000


def test_parked_requests_come_oldest_first_and_by_kind(ledger: Ledger, elapse: Elapse) -> None:
    for ref in (OTHER, TCR, PR):
        ledger.park(running(ledger, ref), "broken")
        elapse(0.002)
    assert ledger.parked(RequestKind.FULFILLMENT) == [OTHER, PR]
    assert ledger.parked(RequestKind.TIER_CONFIG) == [TCR]
    assert ledger.parked(RequestKind.USAGE) == []


ENDINGS: dict[str, Callable[[Ledger, Claim], None]] = {
    "settle": lambda ledger, claim: ledger.complete(claim, "approved", keep_seconds=LONG),
    "supersede": lambda ledger, claim: ledger.supersede(claim, "failed", keep_seconds=LONG),
    "retry": lambda ledger, claim: ledger.reschedule(
        claim, State.RETRY, delay_seconds=0, attempt_used=False
    ),
    "snoozed": lambda ledger, claim: ledger.reschedule(claim, State.SNOOZED, delay_seconds=9),
    "decided": lambda ledger, claim: ledger.reschedule(claim, State.DECIDED, delay_seconds=9),
    "park": lambda ledger, claim: ledger.park(claim, "broken"),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_ending_called_twice_changes_nothing_more(
    ledger: Ledger, elapse: Elapse, ending: str
) -> None:
    claim = posting(ledger)
    ENDINGS[ending](ledger, claim)
    once = record_of(ledger), ledger.counts(), ledger.outcomes()
    elapse(0.002)
    ENDINGS[ending](ledger, claim)
    assert (record_of(ledger), ledger.counts(), ledger.outcomes()) == once


@pytest.mark.parametrize("first", ENDINGS)
@pytest.mark.parametrize("second", ENDINGS)
def test_a_claim_ends_in_one_way_only(ledger: Ledger, first: str, second: str) -> None:
    if first == second:
        return
    claim = posting(ledger)
    ENDINGS[first](ledger, claim)
    before = record_of(ledger)
    with pytest.raises(LeaseLost):
        ENDINGS[second](ledger, claim)
    assert record_of(ledger) == before


def test_settling_twice_with_two_outcomes_is_refused(ledger: Ledger) -> None:
    claim = posting(ledger)
    ledger.complete(claim, "approved", keep_seconds=LONG)
    with pytest.raises(LeaseLost):
        ledger.complete(claim, "failed", keep_seconds=LONG)


def test_a_repeated_ending_is_answered_when_the_next_cycle_has_begun(
    ledger: Ledger, elapse: Elapse
) -> None:
    claim = posting(ledger)
    ledger.complete(claim, "approved", keep_seconds=LONG)
    elapse(0.002)
    register(ledger)
    ledger.complete(claim, "approved", keep_seconds=LONG)
    assert (record_of(ledger).state, record_of(ledger).cycle) == (State.QUEUED, "2")
    assert ledger.outcomes()[RequestKind.FULFILLMENT] == {"approved": 1}


def test_counts_and_outcomes_name_every_kind(ledger: Ledger) -> None:
    register(ledger, PR, OTHER, TCR, RequestKey(RequestKind.USAGE, "LST-1"))
    ledger.complete(claim_of(ledger), "approved", keep_seconds=LONG)
    counts = ledger.counts()
    assert {kind: sum(states.values()) for kind, states in counts.items()} == {
        RequestKind.FULFILLMENT: 2,
        RequestKind.TIER_CONFIG: 1,
        RequestKind.USAGE_FILE: 0,
        RequestKind.USAGE: 1,
    }
    assert all(set(states) == set(State) for states in counts.values())
    assert counts[RequestKind.FULFILLMENT][State.COMPLETED] == 1
    assert set(ledger.outcomes()) == set(RequestKind)


def test_an_unknown_request_has_no_entry(ledger: Ledger) -> None:
    assert ledger.get_record(PR) is None

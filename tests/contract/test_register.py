"""Contract of `register`: when a cycle begins, and when it does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from connect_worker.domain.states import PendingRequest, RequestKey, RequestKind, State
from connect_worker.engine.ports import Ledger
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
    take_due,
)

Elapse = Callable[[float], None]


def settled(ledger: Ledger, ref: RequestKey = PR) -> None:
    ledger.complete(posting(ledger, ref), "approved", keep_seconds=LONG)


def test_a_new_request_is_queued_and_needs_a_message(ledger: Ledger) -> None:
    assert register(ledger, product="PRD-1") == [PR]
    entry = record_of(ledger)
    assert (entry.state, entry.cycle, entry.fence, entry.attempt) == (State.QUEUED, "1", 0, 0)
    assert (entry.product, entry.decision, entry.steps) == ("PRD-1", None, {})
    assert entry.first_seen == entry.changed == pytest.approx(ledger.now(), abs=5)


def test_a_known_request_needs_no_second_message(ledger: Ledger) -> None:
    register(ledger)
    assert register(ledger, PR, OTHER) == [OTHER]


def test_the_same_request_twice_on_a_page_begins_once(ledger: Ledger) -> None:
    assert register(ledger, PR, PR) == [PR]


def test_no_sighting_begins_nothing(ledger: Ledger) -> None:
    assert ledger.register([], seen_at=ledger.now(), requeue_seconds=1) == []


def test_more_requests_than_one_batch_all_begin_in_their_order(ledger: Ledger) -> None:
    refs = [RequestKey(RequestKind.USAGE, f"LST-{number}") for number in range(1203)]
    assert register(ledger, *refs) == refs
    assert register(ledger, *refs) == []
    assert ledger.counts()[RequestKind.USAGE][State.QUEUED] == 1203


def test_an_ended_cycle_seen_pending_later_begins_the_next(ledger: Ledger, elapse: Elapse) -> None:
    settled(ledger)
    elapse(0.002)
    assert register(ledger) == [PR]
    entry = record_of(ledger)
    assert (entry.state, entry.cycle, entry.attempt) == (State.QUEUED, "2", 0)
    assert (entry.decision, entry.steps, entry.outcome) == (None, {}, "")
    assert claim_of(ledger).fence == 2


def test_a_page_older_than_the_end_begins_nothing(ledger: Ledger, elapse: Elapse) -> None:
    register(ledger)
    asked_at = ledger.now()
    elapse(0.002)
    ledger.complete(claim_of(ledger), "approved", keep_seconds=LONG)
    assert register(ledger, seen_at=asked_at) == []
    assert record_of(ledger).state is State.COMPLETED


def test_a_new_cycle_does_not_expire_with_the_old_one(ledger: Ledger, elapse: Elapse) -> None:
    ledger.complete(running(ledger), "approved", keep_seconds=1)
    elapse(0.002)
    assert register(ledger) == [PR]
    elapse(1.1)
    assert record_of(ledger).cycle == "2"


def test_a_forgotten_request_counts_from_one_again(ledger: Ledger, elapse: Elapse) -> None:
    ledger.complete(running(ledger), "approved", keep_seconds=0.01)
    elapse(0.02)
    assert ledger.get_record(PR) is None
    assert register(ledger) == [PR]
    assert record_of(ledger).cycle == "1"


def test_an_ended_cycle_that_is_still_listed_is_not_forgotten(
    ledger: Ledger, elapse: Elapse
) -> None:
    register(ledger, TCR, cycle="a")
    ledger.complete(claim_of(ledger, TCR), "approved", keep_seconds=2)
    for _ in range(3):
        elapse(0.8)
        assert register(ledger, TCR, cycle="a") == []
    assert record_of(ledger, TCR).state is State.COMPLETED


def test_a_named_cycle_never_starts_again(ledger: Ledger, elapse: Elapse) -> None:
    assert register(ledger, TCR, cycle="2024-01-01") == [TCR]
    ledger.complete(claim_of(ledger, TCR), "inquired", keep_seconds=LONG)
    elapse(0.002)
    assert register(ledger, TCR, cycle="2024-01-01") == []


def test_another_name_begins_another_cycle(ledger: Ledger, elapse: Elapse) -> None:
    register(ledger, TCR, cycle="a")
    ledger.complete(claim_of(ledger, TCR), "inquired", keep_seconds=LONG)
    elapse(0.002)
    assert register(ledger, TCR, cycle="b") == [TCR]
    assert record_of(ledger, TCR).cycle == "b"


def test_an_earlier_name_never_starts_again(ledger: Ledger, elapse: Elapse) -> None:
    for cycle in "abc":
        assert register(ledger, TCR, cycle=cycle) == [TCR]
        elapse(0.002)
    assert [register(ledger, TCR, cycle=cycle) for cycle in "abc"] == [[], [], []]
    assert record_of(ledger, TCR).cycle == "c"


def test_another_name_waits_for_a_worker_under_a_live_lease(ledger: Ledger, elapse: Elapse) -> None:
    register(ledger, TCR, cycle="a")
    claim = claim_of(ledger, TCR)
    elapse(0.002)
    assert register(ledger, TCR, cycle="b") == []
    ledger.decide(claim, APPROVE)
    assert record_of(ledger, TCR).cycle == "a"


def test_another_name_does_not_wait_for_a_dead_worker(ledger: Ledger, elapse: Elapse) -> None:
    register(ledger, TCR, cycle="a")
    claim_of(ledger, TCR, lease_seconds=0.01)
    elapse(0.02)
    assert register(ledger, TCR, cycle="b") == [TCR]
    assert ledger.counts()[RequestKind.TIER_CONFIG][State.SUPERSEDED] == 1
    assert ledger.counts()[RequestKind.TIER_CONFIG][State.RUNNING] == 0


def test_another_name_takes_the_old_cycles_decision_with_it(ledger: Ledger, elapse: Elapse) -> None:
    register(ledger, TCR, cycle="a")
    claim = claim_of(ledger, TCR)
    ledger.decide(claim, APPROVE)
    ledger.record_step(claim, "approve", {"status": 200})
    ledger.reschedule(claim, State.DECIDED, delay_seconds=0)
    elapse(0.002)
    assert register(ledger, TCR, cycle="b") == [TCR]
    second = claim_of(ledger, TCR, owner="w2")
    assert (second.decision, second.steps, second.attempt, second.fence) == (None, {}, 1, 2)


def test_another_name_on_a_page_older_than_the_last_change_begins_nothing(
    ledger: Ledger, elapse: Elapse
) -> None:
    asked_at = ledger.now()
    elapse(0.002)
    register(ledger, TCR, cycle="new")
    assert register(ledger, TCR, cycle="old", seen_at=asked_at) == []
    assert record_of(ledger, TCR).cycle == "new"


def test_a_parked_request_with_another_name_is_no_longer_parked(
    ledger: Ledger, elapse: Elapse
) -> None:
    register(ledger, TCR, cycle="a")
    ledger.park(claim_of(ledger, TCR), "refused")
    elapse(0.002)
    register(ledger, TCR, cycle="b")
    assert ledger.parked(RequestKind.TIER_CONFIG) == []
    assert record_of(ledger, TCR).error == ""


def test_live_and_parked_cycles_are_left_alone(ledger: Ledger, elapse: Elapse) -> None:
    ledger.park(running(ledger), "broken")
    ledger.reschedule(running(ledger, OTHER), State.SNOOZED, delay_seconds=LONG)
    elapse(0.002)
    assert register(ledger, PR, OTHER) == []
    assert (record_of(ledger, PR).state, record_of(ledger, OTHER).state) == (
        State.PARKED,
        State.SNOOZED,
    )


def test_a_discarded_request_that_is_still_pending_stays_discarded(
    ledger: Ledger, elapse: Elapse
) -> None:
    ledger.park(running(ledger), "broken")
    ledger.discard(PR, keep_seconds=LONG)
    elapse(0.002)
    assert register(ledger) == []
    assert record_of(ledger).state is State.DISCARDED


def test_a_queued_request_is_looked_at_after_the_requeue_time(
    ledger: Ledger, elapse: Elapse
) -> None:
    register(ledger, requeue_seconds=0.05)
    assert take_due(ledger) == []
    elapse(0.06)
    assert take_due(ledger) == [PR]


def test_the_product_of_an_earlier_cycle_is_kept_where_a_poll_names_none(
    ledger: Ledger, elapse: Elapse
) -> None:
    ledger.register([PendingRequest(PR, product="PRD-1")], seen_at=ledger.now(), requeue_seconds=1)
    ledger.complete(claim_of(ledger), "approved", keep_seconds=LONG)
    elapse(0.002)
    register(ledger)
    assert claim_of(ledger, owner="w2").product == "PRD-1"

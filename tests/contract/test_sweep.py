"""Contract of `take_due` and `mark_decided_elsewhere`: what was lost on the way comes back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from connect_worker.domain.states import (
    Backlog,
    ClaimDenied,
    DueBatch,
    RequestKey,
    RequestKind,
    State,
)
from connect_worker.engine.ports import Ledger
from connect_worker.ledger.memory import MemoryLedger
from tests.support.ledger_factories import (
    APPROVE,
    LONG,
    OTHER,
    PR,
    TCR,
    Clock,
    claim_of,
    posting,
    record_of,
    register,
    running,
)

Elapse = Callable[[float], None]


def sweep(
    ledger: Ledger,
    *,
    requeue_seconds: float = LONG,
    max_attempts: int = 8,
    rescue_seconds: tuple[float, float] = (0.0, 0.0),
) -> DueBatch:
    return ledger.take_due(
        limit=1000,
        requeue_seconds=requeue_seconds,
        max_attempts=max_attempts,
        rescue_seconds=rescue_seconds,
    )


def test_nothing_due_takes_nothing(ledger: Ledger) -> None:
    running(ledger)
    register(ledger, OTHER)
    assert sweep(ledger) == DueBatch()


def test_a_retry_is_published_when_it_is_due(ledger: Ledger, elapse: Elapse) -> None:
    ledger.reschedule(running(ledger), State.RETRY, delay_seconds=0.05)
    assert sweep(ledger) == DueBatch()
    elapse(0.06)
    assert sweep(ledger) == DueBatch(publish=[PR])
    assert record_of(ledger).state is State.RETRY


def test_a_published_request_is_left_alone_for_a_while(ledger: Ledger, elapse: Elapse) -> None:
    ledger.reschedule(running(ledger), State.RETRY, delay_seconds=0)
    assert sweep(ledger, requeue_seconds=0.05).publish == [PR]
    assert sweep(ledger, requeue_seconds=0.05).publish == []
    elapse(0.06)
    assert sweep(ledger, requeue_seconds=0.05).publish == [PR]


def test_a_published_request_can_be_claimed(ledger: Ledger) -> None:
    ledger.reschedule(running(ledger), State.SNOOZED, delay_seconds=0)
    assert sweep(ledger).publish == [PR]
    assert claim_of(ledger, owner="w2").attempt == 2


def test_a_message_that_nobody_answers_is_replaced_each_time(
    memory_ledger: MemoryLedger, clock: Clock
) -> None:
    register(memory_ledger, requeue_seconds=10)
    times = []
    for second in range(1, 60):
        clock.step(1)
        if sweep(memory_ledger, requeue_seconds=10).publish:
            times.append(second)
    assert times == [10, 20, 30, 40, 50]


def test_a_lost_message_is_replaced_as_soon_as_the_queue_is_empty(
    memory_ledger: MemoryLedger, clock: Clock
) -> None:
    """However long the backlog was: a worker that died may have taken the message along."""
    register(memory_ledger, requeue_seconds=10)
    for _ in range(30):
        clock.step(10)
        found = memory_ledger.take_due(
            limit=9, requeue_seconds=10, max_attempts=8, backlogged=Backlog([PR.kind])
        )
        assert found.publish == []
    clock.step(10)
    assert sweep(memory_ledger, requeue_seconds=10).publish == [PR]


def test_a_worker_that_died_is_noticed_and_its_request_published(
    ledger: Ledger, elapse: Elapse
) -> None:
    running(ledger, lease_seconds=0.01)
    elapse(0.02)
    assert sweep(ledger) == DueBatch(publish=[PR], expired=[PR])
    entry = record_of(ledger)
    assert (entry.state, entry.attempt, entry.owner) == (State.RETRY, 1, "")
    assert "died" in entry.error
    assert claim_of(ledger, owner="w2").attempt == 2


def test_after_a_second_death_requests_wait_apart(ledger: Ledger, elapse: Elapse) -> None:
    """Requests that died together do not run together again: one of them may have killed both."""
    refs = [PR, OTHER]
    rescue = partial(sweep, ledger, rescue_seconds=(0.4, 0.8))
    for ref in refs:
        running(ledger, ref, lease_seconds=0.01)
    elapse(0.02)
    assert sorted(rescue().publish, key=str) == sorted(refs, key=str)
    for ref in refs:
        claim_of(ledger, ref, owner="w2", lease_seconds=0.01)
    elapse(0.02)
    batch = rescue()
    assert sorted(batch.expired, key=str) == sorted(refs, key=str)
    assert batch.publish == []
    delays = {record_of(ledger, ref).due - record_of(ledger, ref).changed for ref in refs}
    assert len(delays) == len(refs)
    assert all(0.2 <= delay <= 0.4 for delay in delays)
    elapse(0.5)
    assert sorted(rescue().publish, key=str) == sorted(refs, key=str)


def test_a_worker_that_died_at_its_last_attempt_leaves_a_parked_request(
    ledger: Ledger, elapse: Elapse
) -> None:
    running(ledger, lease_seconds=0.01)
    elapse(0.02)
    assert sweep(ledger, max_attempts=1) == DueBatch(expired=[PR], parked=[PR])
    assert record_of(ledger).state is State.PARKED
    assert "attempt 1 of 1" in record_of(ledger).error
    assert ledger.parked(RequestKind.FULFILLMENT) == [PR]
    assert sweep(ledger, max_attempts=1) == DueBatch()


def test_a_worker_that_died_while_posting_leaves_a_decision_to_be_posted(
    ledger: Ledger, elapse: Elapse
) -> None:
    claim = posting(ledger, lease_seconds=0.3)
    ledger.record_step(claim, "params", {"status": 200})
    elapse(0.31)
    assert sweep(ledger, max_attempts=1) == DueBatch(publish=[PR], expired=[PR])
    assert record_of(ledger).state is State.DECIDED
    again = claim_of(ledger, owner="w2")
    assert (again.decision, again.steps, again.attempt) == (APPROVE, {"params": {"status": 200}}, 1)


def test_a_dead_worker_is_reported_once(ledger: Ledger, elapse: Elapse) -> None:
    running(ledger, lease_seconds=0.01)
    elapse(0.02)
    assert sweep(ledger, requeue_seconds=0.01).expired == [PR]
    elapse(0.02)
    assert sweep(ledger, requeue_seconds=0.01) == DueBatch(publish=[PR])


def test_a_sweep_takes_no_more_than_its_limit_and_the_longest_due_first(
    ledger: Ledger, elapse: Elapse
) -> None:
    for ref in (OTHER, TCR, PR):
        register(ledger, ref, requeue_seconds=0)
        elapse(0.002)
    assert ledger.take_due(limit=2, requeue_seconds=LONG, max_attempts=8).publish == [OTHER, TCR]
    assert ledger.take_due(limit=2, requeue_seconds=LONG, max_attempts=8).publish == [PR]


def test_a_sweep_takes_more_than_one_batch(ledger: Ledger) -> None:
    refs = [RequestKey(RequestKind.USAGE, f"LST-{number}") for number in range(1203)]
    register(ledger, *refs, requeue_seconds=0)
    found = ledger.take_due(limit=1100, requeue_seconds=LONG, max_attempts=8).publish
    assert len(set(found)) == 1100
    assert len(sweep(ledger).publish) == 103


def test_a_sweep_says_how_many_records_were_due(ledger: Ledger) -> None:
    register(ledger, PR, OTHER, TCR, requeue_seconds=0)
    found = ledger.take_due(
        limit=2, requeue_seconds=LONG, max_attempts=8, backlogged=Backlog([PR.kind])
    )
    assert found.looked_at == 2
    assert found.publish == []
    assert sweep(ledger).looked_at == 1
    assert sweep(ledger).looked_at == 0


def test_the_message_of_a_backlogged_kind_is_taken_to_be_in_its_queue_63_times(
    ledger: Ledger,
) -> None:
    register(ledger, PR, TCR, requeue_seconds=0)
    found = [
        ledger.take_due(
            limit=9, requeue_seconds=0, max_attempts=8, backlogged=Backlog([PR.kind])
        ).publish
        for _ in range(128)
    ]
    assert all(TCR in refs for refs in found)
    assert [record_of for record_of, refs in enumerate(found, 1) if PR in refs] == [64, 128]


def test_a_product_with_a_queue_of_its_own_is_backlogged_by_itself(ledger: Ledger) -> None:
    waits, free, others = (
        RequestKey(RequestKind.FULFILLMENT, f"PR-000-000-00{n}") for n in range(3)
    )
    for ref, product in ((waits, "PRD-1"), (free, "PRD-1-2"), (others, "PRD-3")):
        register(ledger, ref, product=product, requeue_seconds=0)
    register(ledger, TCR, product="PRD-1", requeue_seconds=0)

    def published(backlog: Backlog) -> set[RequestKey]:
        woken = ledger.take_due(limit=9, requeue_seconds=0, max_attempts=8, backlogged=backlog)
        return set(woken.publish)

    kind = RequestKind.FULFILLMENT
    own = {(kind, "PRD-1"): True, (kind, "PRD-1-2"): False}
    assert published(Backlog(products=own)) == {free, others, TCR}
    assert published(Backlog(kinds=[kind], products=own)) == {free, TCR}
    assert published(Backlog(kinds=[kind])) == {TCR}
    assert published(Backlog()) == {waits, free, others, TCR}


def test_the_products_of_requests_are_reported_in_their_order(ledger: Ledger) -> None:
    register(ledger, PR, product="PRD-1")
    register(ledger, OTHER, product="PRD-2")
    assert ledger.products([OTHER, TCR, PR]) == ["PRD-2", "", "PRD-1"]
    assert ledger.products([]) == []


def test_the_first_message_of_a_backlogged_kind_is_published(
    ledger: Ledger, elapse: Elapse
) -> None:
    kinds = Backlog([PR.kind])
    claim = running(ledger, lease_seconds=0.01)
    elapse(0.02)
    woken = ledger.take_due(limit=9, requeue_seconds=0, max_attempts=8, backlogged=kinds)
    assert woken == DueBatch(publish=[PR], expired=[claim.ref])
    ledger.reschedule(claim_of(ledger, owner="w2"), State.SNOOZED, delay_seconds=0)
    assert ledger.take_due(
        limit=9, requeue_seconds=0, max_attempts=8, backlogged=kinds
    ) == DueBatch(publish=[PR])


def test_parked_and_ended_requests_are_never_due(ledger: Ledger) -> None:
    ledger.park(running(ledger), "broken")
    ledger.complete(running(ledger, OTHER), "approved", keep_seconds=LONG)
    assert sweep(ledger) == DueBatch()


def test_a_request_seen_with_another_status_is_superseded(ledger: Ledger) -> None:
    register(ledger)
    assert ledger.mark_decided_elsewhere(PR, "approved", seen_at=ledger.now(), keep_seconds=LONG)
    entry = record_of(ledger)
    assert (entry.state, entry.outcome, entry.due) == (State.SUPERSEDED, "approved", 0.0)
    assert ledger.claim(PR, owner="w1", lease_seconds=1) is ClaimDenied.ENDED
    assert ledger.outcomes()[RequestKind.FULFILLMENT] == {"approved": 1}


@pytest.mark.parametrize("state", [State.RETRY, State.SNOOZED])
def test_a_request_put_back_can_leave(ledger: Ledger, state: State) -> None:
    ledger.reschedule(running(ledger), state, delay_seconds=0)
    assert ledger.mark_decided_elsewhere(PR, "failed", seen_at=ledger.now() + 1, keep_seconds=LONG)
    assert sweep(ledger) == DueBatch()


def test_a_parked_request_that_somebody_dealt_with_leaves(ledger: Ledger) -> None:
    ledger.park(running(ledger), "broken")
    assert ledger.mark_decided_elsewhere(PR, "failed", seen_at=ledger.now() + 1, keep_seconds=LONG)
    assert ledger.parked(RequestKind.FULFILLMENT) == []


def test_a_cycle_that_was_left_can_begin_again(ledger: Ledger, elapse: Elapse) -> None:
    register(ledger)
    ledger.mark_decided_elsewhere(PR, "inquiring", seen_at=ledger.now(), keep_seconds=LONG)
    elapse(0.002)
    assert register(ledger) == [PR]
    assert record_of(ledger).cycle == "2"


def test_an_unknown_request_can_not_leave(ledger: Ledger) -> None:
    assert not ledger.mark_decided_elsewhere(
        PR, "approved", seen_at=ledger.now(), keep_seconds=LONG
    )


def test_a_request_that_a_worker_holds_is_not_left(ledger: Ledger) -> None:
    claim = running(ledger)
    assert not ledger.mark_decided_elsewhere(
        PR, "approved", seen_at=ledger.now() + 1, keep_seconds=LONG
    )
    ledger.decide(claim, APPROVE)
    assert not ledger.mark_decided_elsewhere(
        PR, "approved", seen_at=ledger.now() + 1, keep_seconds=LONG
    )


def test_a_decision_on_its_way_is_not_left(ledger: Ledger) -> None:
    ledger.reschedule(posting(ledger), State.DECIDED, delay_seconds=0)
    assert not ledger.mark_decided_elsewhere(
        PR, "approved", seen_at=ledger.now() + 1, keep_seconds=LONG
    )
    assert record_of(ledger).state is State.DECIDED


def test_an_ended_cycle_is_not_left_again(ledger: Ledger) -> None:
    ledger.complete(running(ledger), "approved", keep_seconds=LONG)
    assert not ledger.mark_decided_elsewhere(
        PR, "failed", seen_at=ledger.now() + 1, keep_seconds=LONG
    )
    assert record_of(ledger).outcome == "approved"


def test_a_record_that_changed_after_it_was_seen_is_not_left(
    ledger: Ledger, elapse: Elapse
) -> None:
    seen_at = ledger.now()
    elapse(0.002)
    register(ledger)
    assert not ledger.mark_decided_elsewhere(PR, "draft", seen_at=seen_at, keep_seconds=LONG)
    assert record_of(ledger).state is State.QUEUED

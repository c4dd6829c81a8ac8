"""Workers that die at an exact point: rows 1 to 5 and 21; the sandbox and the vendor judge."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from connect_worker.domain.states import RequestKey, RequestKind, State
from tests.support.fault_stack import LEASE_SECONDS, SWEEP_SECONDS, FaultStack, running_fault_stack
from tests.support.orders import Order, Point, Run
from tests.support.stack import assert_each_resolved_once

pytestmark = [pytest.mark.faults]

#: What a busy machine adds to the time of a rescue.
SLACK_SECONDS = 10.0
DEATHS = [pytest.param(Order.KILL_CHILD, marks=pytest.mark.long), Order.KILL_WORKER]


def only_purchase(stack: FaultStack) -> str:
    """Seed one request, a purchase; its id."""
    stack.seed(fulfillment=1)
    [request_id] = stack.ids("purchase")
    return request_id


def die_at(stack: FaultStack, point: Point, request_id: str, death: Order) -> None:
    """Start a worker that dies at the point, and what an operator's supervisor starts instead."""
    stack.orders.give(death, point, request_id)
    stack.work("one")
    if death is Order.KILL_WORKER:
        assert stack.until_ended("one") == -9
        stack.worker("two", "--pool", "prefork", "-c", "2")
    stack.until_soon(lambda: stack.orders.reached(point, request_id), f"a death at {point}")


def runs_with_one_key(stack: FaultStack, request_id: str) -> list[Run]:
    runs = stack.orders.runs(request_id)
    assert len({run.key for run in runs}) == 1
    return runs


def test_a_child_killed_inside_the_processor_is_replaced_within_its_lease_and_a_sweep(
    stack: FaultStack,
) -> None:
    """Row 1."""
    request_id = only_purchase(stack)
    die_at(stack, Point.INSIDE, request_id, Order.KILL_CHILD)
    stack.until_done()

    first, second = runs_with_one_key(stack, request_id)
    assert [first.attempt, second.attempt] == [1, 2]
    assert second.at - first.at < LEASE_SECONDS + SWEEP_SECONDS + SLACK_SECONDS
    assert_each_resolved_once(stack.report())
    assert stack.entry(request_id)["vendor"]["calls"] == 1


@pytest.mark.parametrize("death", DEATHS)
def test_a_job_that_dies_before_its_claim_runs_once(stack: FaultStack, death: Order) -> None:
    """Row 2."""
    request_id = only_purchase(stack)
    die_at(stack, Point.BEFORE_CLAIM, request_id, death)
    stack.until_done()

    [run] = stack.orders.runs(request_id)
    assert run.attempt == 1, "a message without a claim costs no attempt"
    assert_each_resolved_once(stack.report())


@pytest.mark.parametrize("death", DEATHS)
def test_a_death_after_the_effect_repeats_the_call_with_the_same_key_and_not_the_effect(
    stack: FaultStack, death: Order
) -> None:
    """Row 3."""
    request_id = only_purchase(stack)
    die_at(stack, Point.AFTER_EFFECT, request_id, death)
    stack.until_done()

    assert len(runs_with_one_key(stack, request_id)) == 2
    vendor = stack.entry(request_id)["vendor"]
    assert (vendor["calls"], len(set(vendor["keys"])), vendor["effects"]) == (2, 1, 1)
    assert_each_resolved_once(stack.report())


@pytest.mark.parametrize("death", DEATHS)
def test_a_stored_decision_is_posted_by_another_without_a_second_run(
    stack: FaultStack, death: Order
) -> None:
    """Row 4."""
    request_id = only_purchase(stack)
    die_at(stack, Point.DECIDED, request_id, death)
    stack.until_done()

    assert len(stack.orders.runs(request_id)) == 1
    assert stack.entry(request_id)["vendor"]["calls"] == 1
    assert_each_resolved_once(stack.report())


@pytest.mark.parametrize("committed", [True, pytest.param(False, marks=pytest.mark.long)])
def test_a_post_whose_sender_is_killed_is_settled_by_looking(
    stack: FaultStack, committed: bool
) -> None:
    """Row 5: Connect took the post, or lost it; the worker dies without a reply."""
    request_id = only_purchase(stack)
    stack.misbehave("hang", method="POST", path="/approve", commit=committed)
    stack.work("one")
    stack.until_soon(lambda: stack.hits() == 1, "the post is sent")
    stack.kill("one")
    assert stack.entry(request_id)["status"] == ("approved" if committed else "pending")
    stack.worker("two", "--pool", "prefork", "-c", "2")
    stack.until_done()

    assert len(stack.orders.runs(request_id)) == 1
    assert_each_resolved_once(stack.report())
    posts = stack.report(summary=True)["calls"]["by_route"]["POST requests/{id}/approve"]
    assert posts == (1 if committed else 2)


def test_a_processor_that_crashes_its_child_is_parked_at_the_limit_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    """Row 21."""
    with running_fault_stack(
        tmp_path, CONNECT_MAX_ATTEMPTS="2", CONNECT_LEASE_SECONDS="2"
    ) as stack:
        stack.seed(fulfillment=10)
        bad = stack.ids("purchase")[0]
        stack.orders.give(Order.SEGFAULT, Point.INSIDE, bad, always=True)
        stack.work("one")
        stack.until_soon(lambda: waiting(stack) == [bad], "the others are resolved")
        stack.until_soon(lambda: stack.record(bad).state is State.PARKED, "the bad one is parked")
        stack.until_polled_again()

        assert len(runs_with_one_key(stack, bad)) == 2
        assert "in attempt 2 of 2" in stack.record(bad).error
        report = stack.report()
        assert report["requests"].pop(bad)["calls"].keys() == {"GET"}
        assert_each_resolved_once(report)


@pytest.mark.slow
def test_only_the_request_that_kills_its_worker_is_parked(tmp_path: Path) -> None:
    """Row 43: it takes those that run next to it along, as a memory limit of a container does.

    The delays are longer than a run and the start of a worker.
    """
    settings = {"CONNECT_MAX_ATTEMPTS": "5", "CONNECT_LEASE_SECONDS": "2"}
    with running_fault_stack(tmp_path, **settings, CONNECT_RETRY_BASE_SECONDS="8") as stack:
        stack.seed(fulfillment=12)
        bad, *neighbors = stack.ids("purchase")[:4]
        stack.orders.give(Order.KILL_WORKER, Point.INSIDE, bad, always=True, seconds=1)
        for neighbor in neighbors:
            stack.orders.give(Order.WORK_LONG, Point.INSIDE, neighbor, always=True, seconds=2)
        stack.worker("sweeper", "--pool", "solo", "-Q", "control")
        stack.celery("beat", "beat", "-l", "info")
        supervise(stack, until=lambda: stack.record(bad).state is State.PARKED)
        assert "in attempt 5 of 5" in stack.record(bad).error
        supervise(stack, until=lambda: waiting(stack) == [bad])
        report = stack.report()
        assert report["requests"].pop(bad)["calls"].keys() == {"GET"}
        assert_each_resolved_once(report)


def supervise(stack: FaultStack, *, until: Callable[[], bool]) -> None:
    """Start a worker each time that one has died, as a supervisor does."""
    give_up = time.monotonic() + 180
    while True:
        worker = stack.processes.get("one")
        if worker is None or worker.poll() is not None:
            worker = stack.worker("one", "-c", "4", "-Q", "fulfillment")
        if (stack.ledger().get_record(key_of(stack)) and until()) or time.monotonic() > give_up:
            break
        time.sleep(0.2)
    assert until(), stack.logs()


def key_of(stack: FaultStack) -> RequestKey:
    return RequestKey(RequestKind.FULFILLMENT, stack.ids("purchase")[0])


def waiting(stack: FaultStack) -> list[str]:
    rows = stack.report()["requests"].values()
    return [row["id"] for row in rows if row["status"] == "pending"]

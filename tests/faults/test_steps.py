"""A processor of five steps, killed between every two of them and inside of each; row 33."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fault_stack import STEPS, FaultStack, running_fault_stack
from tests.support.orders import Order

FIVE = 5
#: Every point at which a processor of five steps can die.
POINTS = [
    *(f"before-{number}" for number in range(1, FIVE + 1)),
    *(f"inside-{number}" for number in range(1, FIVE + 1)),
    "before-decision",
]

pytestmark = [pytest.mark.faults]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[FaultStack]:
    settings = {"CONNECT_PROCESSORS": str(STEPS), "CONNECT_MAX_ATTEMPTS": "15"}
    with running_fault_stack(tmp_path, **settings) as stack:
        yield stack


def assert_each_effect_once(stack: FaultStack, request_id: str, *, again: int) -> None:
    """Five effects under five keys; as many calls more as a death inside a step made necessary."""
    row = stack.entry(request_id)
    assert [outcome["action"] for outcome in row["accepted"]] == ["approve"]
    assert not row["refused"]
    vendor = row["vendor"]
    assert (vendor["effects"], len(set(vendor["keys"]))) == (FIVE, FIVE)
    assert vendor["calls"] == FIVE + again


def test_a_death_between_two_steps_repeats_no_step_and_one_inside_repeats_it_with_its_key(
    stack: FaultStack,
) -> None:
    stack.seed(fulfillment=len(POINTS))
    ids = list(stack.report()["requests"])
    for point, request_id in zip(POINTS, ids, strict=True):
        stack.orders.give(Order.KILL_CHILD, point, request_id)
    stack.work("one")
    stack.until_done()

    for point, request_id in zip(POINTS, ids, strict=True):
        assert stack.orders.reached(point, request_id)
        assert [run.attempt for run in stack.orders.runs(request_id)] == [1, 2], point
        assert_each_effect_once(stack, request_id, again=int(point.startswith("inside")))


@pytest.mark.long
def test_one_request_survives_a_worker_killed_at_each_point_of_its_processor(
    stack: FaultStack,
) -> None:
    stack.seed(fulfillment=1)
    [request_id] = stack.report()["requests"]
    for point in POINTS:
        stack.orders.give(Order.KILL_WORKER, point, request_id)
    stack.celery("beat", "beat", "-l", "info")
    for number in range(len(POINTS)):
        stack.worker(f"w{number}", "--pool", "prefork", "-c", "1")
        assert stack.until_ended(f"w{number}") == -9
    stack.worker("last", "--pool", "prefork", "-c", "1")
    stack.until_done()

    assert len(stack.orders.runs(request_id)) == len(POINTS) + 1
    assert_each_effect_once(stack, request_id, again=FIVE)

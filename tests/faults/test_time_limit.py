"""An automation's `time_limit`: runs that hang are ended, and their requests go on; row 34."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connect_worker.domain.states import State
from tasks.celery_support.time_limit import GRACE_SECONDS
from tests.support.fault_stack import SLOW, FaultStack, running_fault_stack
from tests.support.orders import Order, Point
from tests.support.stack import assert_each_resolved_once

pytestmark = [pytest.mark.faults]

#: Of `SlowPurchases`.
TIME_LIMIT_SECONDS = 2.0
#: A hanging run stays inside for so long if nobody ends it.
HANG_SECONDS = 25.0
MOST_ATTEMPTS = 2


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[FaultStack]:
    settings = {
        "CONNECT_PROCESSORS": str(SLOW),
        "CONNECT_MAX_ATTEMPTS": str(MOST_ATTEMPTS),
        # Nobody waits for its end: the request is given back when its time is over.
        "CONNECT_LEASE_SECONDS": "60",
    }
    with running_fault_stack(tmp_path, **settings) as stack:
        yield stack


@pytest.mark.parametrize(
    "hang", [Order.WORK_LONG, pytest.param(Order.COMPUTE_LONG, marks=pytest.mark.long)]
)
def test_a_run_that_hangs_is_killed_and_the_request_runs_again_before_its_lease_would_end(
    stack: FaultStack, hang: Order
) -> None:
    stack.seed(fulfillment=6)
    slow = stack.ids("purchase")[0]
    stack.orders.give(hang, Point.INSIDE, slow, seconds=HANG_SECONDS)
    stack.work("one")
    stack.until_done()

    first, second = stack.orders.runs(slow)
    assert (first.attempt, second.attempt, first.key) == (1, 2, second.key)
    # The limit runs from before the processor notes that it began.
    assert TIME_LIMIT_SECONDS / 2 <= second.at - first.at < HANG_SECONDS
    assert "purchases.py, line" in stack.whole_log("one")
    # The other process may be done with the second run before the pool looks after its children.
    stack.until_soon(lambda: "signal 9 (SIGKILL)" in stack.whole_log("one"), "the first was killed")
    assert_each_resolved_once(stack.report())


@pytest.mark.long
def test_a_run_that_holds_the_gil_is_killed_and_its_lease_ends(stack: FaultStack) -> None:
    """Its main process renews the lease until the end of the process."""
    stack.environment["CONNECT_LEASE_SECONDS"] = "3"
    stack.seed(fulfillment=1)
    [slow] = stack.ids("purchase")
    stack.orders.give(Order.HOLD_GIL, Point.INSIDE, slow, seconds=120)
    stack.work("one")
    stack.until_done()

    first, second = stack.orders.runs(slow)
    assert second.at - first.at >= TIME_LIMIT_SECONDS + GRACE_SECONDS - 1
    assert (second.attempt, first.key) == (2, second.key)
    assert "lease.renewed_by_main_process" in stack.whole_log("one")
    assert_each_resolved_once(stack.report())


@pytest.mark.long
def test_one_that_hangs_at_every_attempt_is_parked_and_says_why(stack: FaultStack) -> None:
    stack.seed(fulfillment=6)
    slow = stack.ids("purchase")[0]
    stack.orders.give(Order.WORK_LONG, Point.INSIDE, slow, always=True, seconds=HANG_SECONDS)
    stack.work("one")
    stack.until_soon(lambda: len(stack.orders.runs(slow)) == MOST_ATTEMPTS, "both attempts")
    stack.until_soon(lambda: stack.record(slow).state is State.PARKED, "the slow one is parked")

    entry = stack.record(slow)
    assert entry.error.startswith(
        f"the run took longer than its time_limit of {TIME_LIMIT_SECONDS:g} s in attempt 2 of 2, "
        "the last one (purchases.py, line"
    )
    assert len(stack.orders.runs(slow)) == MOST_ATTEMPTS
    report = stack.report()
    assert report["requests"].pop(slow)["accepted"] == []


@pytest.mark.slow
def test_under_threads_a_run_that_took_too_long_writes_nothing_more(stack: FaultStack) -> None:
    stack.seed(fulfillment=6)
    slow = stack.ids("purchase")[0]
    stack.orders.give(Order.HOLD, Point.AFTER_EFFECT, slow)
    stack.work("one", pool="threads", concurrency=4)
    stack.until_done()
    first, second = stack.orders.runs(slow)
    assert (first.attempt, second.attempt) == (1, 2)

    # The first run is inside still; what it does now changes nothing.
    stack.orders.release(Point.AFTER_EFFECT, slow)
    stack.until_soon(lambda: "its time_limit is over" in stack.whole_log("one"), "it has ended")
    entry = stack.record(slow)
    assert (entry.state, entry.attempt) == (State.COMPLETED, 2)
    assert_each_resolved_once(stack.report())

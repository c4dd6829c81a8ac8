"""Processors that take longer than their lease, under each pool (rows 22 and 52)."""

from __future__ import annotations

import os
import signal
import time
from datetime import datetime

import pytest

from tests.support.fault_stack import LEASE_SECONDS, SWEEP_SECONDS, FaultStack
from tests.support.orders import Order, Point
from tests.support.stack import POOLS, assert_each_resolved_once

pytestmark = [pytest.mark.faults]

LONG_SECONDS = 3 * LEASE_SECONDS
OTHER_POOLS = [pytest.param(*pool, marks=pytest.mark.long) for pool in POOLS[1:]]


@pytest.mark.parametrize(("pool", "concurrency"), [POOLS[0], *OTHER_POOLS])
def test_a_processor_longer_than_its_lease_runs_once(
    stack: FaultStack, pool: str, concurrency: int
) -> None:
    """Row 22: heartbeats hold the lease, while another worker and the sweeps look for work."""
    request_id = begin_long_job(stack, Order.WORK_LONG, pool, concurrency)
    stack.until_done()

    [run] = stack.orders.runs(request_id)
    assert run.attempt == 1
    [outcome] = stack.entry(request_id)["accepted"]
    assert datetime.fromisoformat(outcome["at"]).timestamp() - run.at >= LONG_SECONDS
    assert_each_resolved_once(stack.report())


@pytest.mark.long
def test_a_processor_that_computes_under_gevent_loses_its_lease_and_writes_nothing(
    stack: FaultStack,
) -> None:
    """Row 22, what is not promised: greenlets take turns only where they wait, heartbeats too.

    The request is another worker's by the time the first one is done, and the key is the same.
    """
    request_id = begin_long_job(stack, Order.COMPUTE_LONG, "gevent", 8)
    stack.until_soon(lambda: len(stack.orders.runs(request_id)) == 2, "another takes over")
    stack.until_soon(lambda: lost_leases(stack) == 1, "the first run's write is refused")
    stack.until_done()

    first, second = stack.orders.runs(request_id)
    assert first.key == second.key
    assert_each_resolved_once(stack.report())


def test_a_processor_that_holds_the_gil_longer_than_its_lease_runs_once_under_prefork(
    stack: FaultStack,
) -> None:
    """Row 52: no thread of its process can renew the lease."""
    request_id = begin_long_job(stack, Order.HOLD_GIL, "prefork", 2)
    stack.until_done()

    [run] = stack.orders.runs(request_id)
    assert run.attempt == 1
    assert "lease.renewed_by_main_process" in stack.whole_log("one") + stack.whole_log("two")
    assert lost_leases(stack) == 0
    assert_each_resolved_once(stack.report())


@pytest.mark.slow
def test_a_lease_that_the_main_process_renews_ends_with_the_process(stack: FaultStack) -> None:
    """Row 52: killed while it holds the GIL, after its first lease."""
    stack.seed(fulfillment=1)
    [request_id] = stack.ids("purchase")
    stack.orders.give(Order.HOLD_GIL, Point.INSIDE, request_id, seconds=60)
    stack.work("one")
    stack.until_soon(
        lambda: stack.whole_log("one").count("lease.renewed_by_main_process") > 2, "two leases"
    )
    [run] = stack.orders.runs(request_id)
    killed = time.time()
    os.kill(run.pid, signal.SIGKILL)
    stack.until_done()

    first, second = stack.orders.runs(request_id)
    assert second.at - killed < LEASE_SECONDS + 10 * SWEEP_SECONDS
    assert first.key == second.key
    assert_each_resolved_once(stack.report())


@pytest.mark.long
@pytest.mark.parametrize(("pool", "concurrency"), POOLS[1:])
def test_a_processor_that_holds_the_gil_under_another_pool_writes_nothing_and_says_why(
    stack: FaultStack, pool: str, concurrency: int
) -> None:
    """Row 52, what is not promised: the worker has one process, and no thread of it runs."""
    request_id = begin_long_job(stack, Order.HOLD_GIL, pool, concurrency)
    stack.until_soon(lambda: len(stack.orders.runs(request_id)) == 2, "another takes over")
    stack.until_soon(lambda: lost_leases(stack) == 1, "the first run's write is refused")
    stack.until_done()

    first, second = stack.orders.runs(request_id)
    assert first.key == second.key
    log = stack.whole_log("one") + stack.whole_log("two")
    assert "lease.thread_starved" in log
    assert "no renewal for" in log
    assert_each_resolved_once(stack.report())


def begin_long_job(stack: FaultStack, order: Order, pool: str, concurrency: int) -> str:
    """Start two workers, one of which is inside a long job; the request's id."""
    stack.seed(fulfillment=1)
    [request_id] = stack.ids("purchase")
    stack.orders.give(order, Point.INSIDE, request_id, seconds=LONG_SECONDS)
    stack.work("one", "two", pool=pool, concurrency=concurrency)
    return request_id


def lost_leases(stack: FaultStack) -> int:
    return sum("lease.lost" in stack.whole_log(name) for name in ("one", "two"))

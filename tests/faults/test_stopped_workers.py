"""A worker that is asked to stop while it works (row 6)."""

from __future__ import annotations

import os
import signal
import time

import pytest
import redis

from tests.support.fault_stack import LEASE_SECONDS, FaultStack
from tests.support.orders import Order, Point
from tests.support.stack import assert_each_resolved_once

pytestmark = [pytest.mark.faults]

#: How long the job goes on after the signal to stop.
JOB_SECONDS = [2 * LEASE_SECONDS, pytest.param(20.0, marks=pytest.mark.long)]


def stopping_with_a_job(stack: FaultStack) -> str:
    """Tell the worker `one` to stop while it is inside a processor; the request's id.

    Returns once messages pile up in its queues: it takes none any more.
    """
    stack.seed(fulfillment=1)
    [request_id] = stack.ids("purchase")
    stack.orders.give(Order.HOLD, Point.INSIDE, request_id)
    stack.work("one")
    stack.until_soon(lambda: stack.orders.reached(Point.INSIDE, request_id), "the job has begun")
    # To the worker's main process alone, as a supervisor sends it.
    os.kill(stack.processes["one"].pid, signal.SIGTERM)
    stack.until_soon(lambda: "Warm shutdown" in stack.whole_log("one"), "the worker stops")
    stack.until_soon(lambda: queued(stack, "control") >= 8, "nobody takes polls and sweeps")
    return request_id


def queued(stack: FaultStack, queue: str) -> int:
    with redis.Redis.from_url(stack.redis_url) as client:
        return int(client.llen(queue))


def add_purchase(stack: FaultStack) -> str:
    asked = {"kind": "fulfillment", "scenario": "purchase"}
    [request_id] = stack.control("POST", "requests", asked)["ids"]
    return str(request_id)


def let_a_second_worker_resolve_another(stack: FaultStack) -> None:
    """The first one claims nothing of it, and the second one nothing of the first one's."""
    other = add_purchase(stack)
    stack.worker("two", "--pool", "prefork", "-c", "2")
    stack.until_soon(lambda: stack.entry(other)["status"] == "approved", "another is approved")
    assert other not in stack.whole_log("one")


@pytest.mark.parametrize("seconds", JOB_SECONDS)
def test_a_worker_asked_to_stop_finishes_its_job_and_claims_no_other(
    stack: FaultStack, seconds: float
) -> None:
    """Row 6."""
    request_id = stopping_with_a_job(stack)
    job_ends = time.monotonic() + seconds
    let_a_second_worker_resolve_another(stack)
    stack.until_soon(lambda: time.monotonic() > job_ends, "the job has taken its time")
    stack.orders.release(Point.INSIDE, request_id)
    assert stack.until_ended("one") == 0
    stack.until_done()

    [run] = stack.orders.runs(request_id)
    assert run.attempt == 1
    assert_each_resolved_once(stack.report())


@pytest.mark.long
def test_a_worker_killed_while_it_finishes_its_job_is_replaced(stack: FaultStack) -> None:
    """Row 6, then SIGKILL."""
    request_id = stopping_with_a_job(stack)
    let_a_second_worker_resolve_another(stack)
    stack.kill("one")
    stack.until_done()

    first, second = stack.orders.runs(request_id)
    assert first.key == second.key
    assert stack.entry(request_id)["vendor"]["calls"] == 1
    assert_each_resolved_once(stack.report())

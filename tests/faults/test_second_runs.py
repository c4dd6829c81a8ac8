"""Two owners of one job: a message that comes twice, a worker that wakes after its lease."""

from __future__ import annotations

import os
import signal

import pytest
from celery import Celery

from tests.support.fault_stack import FaultStack
from tests.support.orders import Order, Point
from tests.support.stack import assert_each_resolved_once

pytestmark = [pytest.mark.faults]


def hold_a_purchase(stack: FaultStack, *workers: str) -> str:
    """Start workers, one of which is inside a processor until it is released; the request's id."""
    stack.seed(fulfillment=1)
    [request_id] = stack.ids("purchase")
    stack.orders.give(Order.HOLD, Point.INSIDE, request_id)
    stack.work(*workers)
    stack.until_soon(lambda: stack.orders.reached(Point.INSIDE, request_id), "the job has begun")
    return request_id


def ended_jobs(stack: FaultStack, name: str, request_id: str) -> list[str]:
    """What a worker's log tells of the end of each job of the request."""
    lines = stack.whole_log(name).splitlines()
    return [line for line in lines if f"[{request_id}." in line and "succeeded in" in line]


def test_a_message_that_comes_twice_starts_no_second_run(stack: FaultStack) -> None:
    request_id = hold_a_purchase(stack, "one")
    with Celery(broker=stack.redis_url) as app:
        for number in range(2):
            app.send_task(
                "process.fulfillment",
                (request_id,),
                queue="fulfillment",
                task_id=f"{request_id}.again{number}",
            )
    stack.until_soon(lambda: len(ended_jobs(stack, "one", request_id)) == 2, "both are answered")
    refused = ended_jobs(stack, "one", request_id)
    assert all("nothing to do: busy" in line for line in refused), refused
    stack.orders.release(Point.INSIDE, request_id)
    stack.until_done()

    assert len(stack.orders.runs(request_id)) == 1
    assert_each_resolved_once(stack.report())


def test_a_worker_frozen_past_its_lease_writes_nothing_when_it_wakes(stack: FaultStack) -> None:
    """Its machine was suspended: to itself no time has passed, and another has done the work."""
    request_id = hold_a_purchase(stack, "one")
    os.killpg(stack.processes["one"].pid, signal.SIGSTOP)
    stack.worker("two", "--pool", "prefork", "-c", "2")
    stack.until_soon(lambda: stack.entry(request_id)["accepted"], "another worker takes over")
    stack.orders.release(Point.INSIDE, request_id)
    os.killpg(stack.processes["one"].pid, signal.SIGCONT)
    stack.until_soon(lambda: ended_jobs(stack, "one", request_id), "the first run ends")
    stack.until_done()

    assert_each_resolved_once(stack.report())
    first, second = stack.orders.runs(request_id)
    assert first.key == second.key
    [ended] = ended_jobs(stack, "one", request_id)
    assert "stopped: " in ended

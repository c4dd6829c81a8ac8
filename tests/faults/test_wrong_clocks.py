"""Wrong clocks: a worker's that is ten minutes off (row 18), and beat's that is set (row 38)."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
import redis

from tests.support.faketime import needs_faketime, settable_clock, shifted_clock
from tests.support.fault_stack import FaultStack
from tests.support.orders import Order, Point
from tests.support.stack import assert_each_resolved_once

pytestmark = [pytest.mark.faults, needs_faketime]

#: A machine that stands still for two thirds of it loses the lease, whatever its clock says.
LEASE_SECONDS = 8.0


def start_worker(stack: FaultStack, name: str, queue: str, *, seconds_off: int) -> None:
    """Start a worker of one queue; its processes all have the shifted clock."""
    right = stack.environment
    if seconds_off:
        stack.environment = {**right, **shifted_clock(seconds_off)}
    try:
        stack.worker(name, "--pool", "prefork", "-c", "2", "-Q", queue)
    finally:
        stack.environment = right


@pytest.mark.parametrize(
    ("off", "seconds_off"),
    [
        ("holder", -600),
        pytest.param("sweeper", 600, marks=pytest.mark.long),
        pytest.param("holder", 600, marks=pytest.mark.long),
        pytest.param("sweeper", -600, marks=pytest.mark.long),
    ],
)
def test_a_clock_ten_minutes_off_brings_no_early_rescue(
    stack: FaultStack, off: str, seconds_off: int
) -> None:
    """Row 18: of the worker that holds the job, or of the one that sweeps."""
    stack.environment["CONNECT_LEASE_SECONDS"] = str(LEASE_SECONDS)
    stack.seed(fulfillment=1)
    [request_id] = stack.ids("purchase")
    stack.orders.give(Order.HOLD, Point.INSIDE, request_id)
    for name, queue in {"holder": "fulfillment", "sweeper": "control"}.items():
        start_worker(stack, name, queue, seconds_off=seconds_off if name == off else 0)
    stack.celery("beat", "beat", "-l", "info")
    stack.until_soon(lambda: stack.orders.reached(Point.INSIDE, request_id), "the job has begun")
    began = time.monotonic()
    stack.until_soon(
        lambda: time.monotonic() > began + 2.5 * LEASE_SECONDS, "more than two leases have passed"
    )
    # A rescue would have sent a message to the holder's other child.
    runs = stack.orders.runs(request_id)
    assert len(runs) == 1, stack.logs()
    [run] = runs
    stack.orders.release(Point.INSIDE, request_id)
    stack.until_done()

    said = re.search(r"clock differs from Redis's by ([+-]\d+) s", stack.whole_log(off))
    assert said is not None
    assert abs(int(said[1]) - seconds_off) < 60
    ran_off = seconds_off if off == "holder" else 0
    assert abs(run.at - time.time() - ran_off) < 120, "the processor's clock is not as ordered"
    assert stack.orders.runs(request_id) == [run]
    assert_each_resolved_once(stack.report())


def test_a_clock_that_is_set_does_not_stop_beat(stack: FaultStack, tmp_path: Path) -> None:
    """Row 38: back by an hour, as NTP corrects a wrong clock after the start, and forward."""
    clock = tmp_path / "clock"
    clock.write_text("+0s")
    right = stack.environment
    stack.environment = {**right, **settable_clock(clock), "CONNECT_POLL_SECONDS": "1"}
    stack.celery("beat", "beat", "-l", "info")
    stack.environment = right
    with redis.Redis.from_url(stack.redis_url) as client:

        def sent() -> int:
            return int(client.llen("control"))

        stack.until_soon(lambda: sent() >= 10, "beat sends messages")
        for offset in ("-3600s", "+7200s"):
            clock.write_text(offset)
            # A message that was sent before the change may still arrive.
            time.sleep(1)
            before, began = sent(), time.monotonic()
            stack.until_soon(lambda before=before: sent() >= before + 10, f"beat sends at {offset}")
            time.sleep(max(0.0, began + 5 - time.monotonic()))
            # Four polls a second and two sweeps, and not those of an hour.
            assert sent() - before <= 6 * (time.monotonic() - began + 2)

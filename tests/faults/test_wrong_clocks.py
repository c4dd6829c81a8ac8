"""Wrong clocks: a worker's that is off (row 18), beat's and Redis's that are set (rows 38, 53)."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from connect_worker.devtools.embedded_redis import find_server, start_server
from connect_worker.devtools.processes import Processes
from connect_worker.domain.states import State
from connect_worker.ledger.codec import MAX_GAP_MS
from tests.support.faketime import needs_faketime, settable_clock, shifted_clock
from tests.support.fault_stack import SWEEP_SECONDS, FaultStack
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


@pytest.fixture
def servers_clock(tmp_path: Path) -> Path:
    """The file that says by how much Redis's clock is off."""
    file = tmp_path / "servers-clock"
    file.write_text("+0s")
    return file


@pytest.fixture
def clocked(tmp_path: Path, servers_clock: Path) -> Iterator[FaultStack]:
    """A stack whose Redis has a clock of its own."""
    folder = tmp_path / "redis"
    folder.mkdir()
    environment = {**os.environ, **settable_clock(servers_clock)}
    with Processes(folder) as processes:
        url = start_server(processes, find_server(), port=0, environment=environment)
        stack = FaultStack(tmp_path, url)
        try:
            yield stack
        finally:
            stack.stop()


def hold_a_purchase(stack: FaultStack) -> str:
    stack.seed(fulfillment=1)
    [request_id] = stack.ids("purchase")
    stack.orders.give(Order.HOLD, Point.INSIDE, request_id)
    stack.work("one")
    stack.until_soon(lambda: stack.orders.reached(Point.INSIDE, request_id), "the job has begun")
    return request_id


@pytest.mark.slow
def test_a_redis_whose_clock_is_set_forward_starts_no_second_run(
    clocked: FaultStack, servers_clock: Path
) -> None:
    lease_seconds = 45.0
    clocked.environment["CONNECT_LEASE_SECONDS"] = str(lease_seconds)
    request_id = hold_a_purchase(clocked)
    ends = clocked.record(request_id).due
    servers_clock.write_text("+3600s")
    clocked.until_soon(lambda: clocked.ledger().now() > ends, "the clock is an hour ahead")
    # What is left of the lease ends within this time, unless it is renewed.
    over = time.monotonic() + lease_seconds - MAX_GAP_MS / 1000 + 5
    clocked.until_soon(lambda: time.monotonic() > over, "the worker renews the lease")
    clocked.orders.release(Point.INSIDE, request_id)
    clocked.until_done()

    assert len(clocked.orders.runs(request_id)) == 1
    assert_each_resolved_once(clocked.report())


@pytest.mark.slow
def test_a_redis_whose_clock_is_set_back_delays_nothing(
    clocked: FaultStack, servers_clock: Path
) -> None:
    """By two hours: not a lease, a retry, a poll, nor what is registered later."""
    lease_seconds, delay_seconds, slack = 8.0, 10.0, 10 * SWEEP_SECONDS
    clocked.environment["CONNECT_LEASE_SECONDS"] = str(lease_seconds)
    clocked.environment["CONNECT_RETRY_BASE_SECONDS"] = str(delay_seconds)
    held = hold_a_purchase(clocked)
    clocked.misbehave("status", status=500, path="^/vendor/", times=1)
    asked = {"kind": "fulfillment", "scenario": "purchase"}
    [failed] = clocked.control("POST", "requests", asked)["ids"]
    clocked.until_soon(
        lambda: (
            len(clocked.orders.runs(failed)) == 1 and clocked.record(failed).state is State.RETRY
        ),
        "one is to be tried again",
    )
    servers_clock.write_text("-7200s")
    os.kill(clocked.orders.runs(held)[0].pid, signal.SIGKILL)
    [new] = clocked.control("POST", "requests", asked)["ids"]

    def accepted(request_id: str) -> Callable[[], bool]:
        return lambda: bool(clocked.entry(request_id)["accepted"])

    began = time.monotonic()
    clocked.until_soon(accepted(new), "a poll finds what is new")
    assert time.monotonic() - began < slack
    clocked.until_soon(accepted(held), "the lease ends")
    assert time.monotonic() - began < lease_seconds / 0.9 + slack
    clocked.until_soon(accepted(failed), "the delay is over")
    assert time.monotonic() - began < delay_seconds / 0.9 + slack
    clocked.until_done()
    with redis.Redis.from_url(clocked.redis_url) as client:
        assert client.time()[0] < time.time() - 7000
    assert_each_resolved_once(clocked.report())

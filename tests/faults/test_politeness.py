"""Workers that spare Connect: all of them respect a 429 (row 14), and a rate."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.fault_stack import FaultStack, running_fault_stack
from tests.support.orders import Order, Point
from tests.support.stack import assert_each_resolved_once

pytestmark = [pytest.mark.faults]

FLEET = ("one", "two", "three", "four")
RETRY_AFTER_SECONDS = 4.0
TOO_MANY: dict[str, Any] = {
    "action": "status",
    "status": 429,
    "retry_after": RETRY_AFTER_SECONDS,
    # Connect's answer, not the vendor's system's.
    "path": "^/public/",
}
LATENCY_SECONDS = 0.05
#: By when every worker knows of a pause: what each takes to be fresh (0.2 s), a call on its way,
#: and what a busy machine adds.
KNOWN_SECONDS = LATENCY_SECONDS + 0.8


@dataclass(frozen=True)
class Call:
    """A call as the sandbox answered it."""

    at: datetime
    route: str
    status: int


def calls(stack: FaultStack) -> list[Call]:
    """The calls to Connect, oldest first; the vendor's system is another one's."""
    rows = stack.control("GET", "calls")
    found = [Call(datetime.fromisoformat(r["at"]), r["route"], r["status"]) for r in rows]
    return [call for call in found if "/vendor/" not in call.route]


def refused(stack: FaultStack) -> list[Call]:
    return [call for call in calls(stack) if call.status == 429]


def assert_no_attempt_was_used(stack: FaultStack) -> None:
    """A run that met the pause is followed by one with the same number and the same key."""
    for request_id in stack.report()["requests"]:
        runs = stack.orders.runs(request_id)
        assert {run.attempt for run in runs} == {1}, request_id
        assert len({run.key for run in runs}) == 1, request_id


@pytest.mark.slow
def test_after_a_429_an_idle_fleet_sends_nothing_until_the_window_ends(stack: FaultStack) -> None:
    """Row 14: the first call of all is refused; 4 workers and a beat know no more than that."""
    stack.seed(fulfillment=6)
    stack.misbehave(**TOO_MANY)
    stack.work(*FLEET)
    stack.until_done()

    first, *others = calls(stack)
    assert first.status == 429
    assert [call.status for call in others].count(429) == 0
    assert others[0].at - first.at >= timedelta(seconds=RETRY_AFTER_SECONDS)
    assert_no_attempt_was_used(stack)
    assert_each_resolved_once(stack.report())


@pytest.mark.long
def test_after_a_429_a_busy_fleet_falls_silent_until_the_window_ends(tmp_path: Path) -> None:
    """Row 14: jobs are under way in 8 processes, and each of their calls is refused from now on.

    Three of them are inside the processor and have heard of no 429 when they go on.
    """
    with running_fault_stack(tmp_path) as stack:
        stack.seed("--latency-ms", str(round(LATENCY_SECONDS * 1000)), fulfillment=120)
        inside = stack.ids("purchase")[:3]
        for request_id in inside:
            stack.orders.give(Order.HOLD, Point.INSIDE, request_id)
        stack.work(*FLEET)
        stack.until_soon(
            lambda: all(stack.orders.reached(Point.INSIDE, item) for item in inside), "three inside"
        )
        stack.until_soon(lambda: approvals(stack) >= 20, "the fleet is at work")
        stack.misbehave(**TOO_MANY, times=None)
        stack.until_soon(lambda: refused(stack), "a call is refused")
        start = refused(stack)[0].at
        known = start + timedelta(seconds=KNOWN_SECONDS)
        until(stack, known)
        for request_id in inside:
            stack.orders.release(Point.INSIDE, request_id)
        end = start + timedelta(seconds=RETRY_AFTER_SECONDS)
        until(stack, end - timedelta(seconds=1))
        stack.control("DELETE", "faults")
        stack.until_done()

        assert [call for call in calls(stack) if known < call.at < end] == []
        assert any(call.at >= end for call in calls(stack)), "the pause came midway"
        assert [len(stack.orders.runs(item)) for item in inside] == [2] * len(inside)
        assert_no_attempt_was_used(stack)
        assert_each_resolved_once(stack.report())


def approvals(stack: FaultStack) -> int:
    """How many requests are approved so far."""
    routes = stack.report(summary=True)["calls"]["by_route"]
    return int(routes.get("POST requests/{id}/approve", 0))


def until(stack: FaultStack, moment: datetime) -> None:
    """Wait until it is so late by the sandbox's clock."""
    stack.until_soon(lambda: now(stack) >= moment, f"it is {moment}")


def now(stack: FaultStack) -> datetime:
    """The sandbox's clock."""
    return datetime.fromisoformat(stack.report(summary=True)["at"])


CALLS_PER_SECOND = 20.0
#: How much earlier or later than its turn a call may arrive, on a machine that others use too.
JITTER_SECONDS = 1.0


def test_four_workers_keep_to_one_rate_together(tmp_path: Path) -> None:
    """Without it they make many times as many calls."""
    rate = {"CONNECT_MAX_CALLS_PER_SECOND": str(CALLS_PER_SECOND)}
    with running_fault_stack(tmp_path, **rate) as stack:
        stack.seed(fulfillment=24)
        stack.work(*FLEET)
        stack.until_done()

        times = [call.at.timestamp() for call in calls(stack)]
        assert len(times) > 100, "the processors' own calls are among them"
        assert len(times) - 1 <= CALLS_PER_SECOND * (times[-1] - times[0] + JITTER_SECONDS)
        # Turns are even: whatever the window, a call in it came at most a jitter off its turn.
        for first, start in enumerate(times):
            within = sum(start <= at < start + 1 for at in times[first:])
            assert within <= CALLS_PER_SECOND * (1 + JITTER_SECONDS) + 1
        assert_no_attempt_was_used(stack)
        assert_each_resolved_once(stack.report())

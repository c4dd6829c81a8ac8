"""Workers that spare the vendor's own system: no more inside a processor than it allows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fault_stack import LEASE_SECONDS, WEAK, FaultStack, running_fault_stack
from tests.support.orders import Order, Point, Run, Stay
from tests.support.stack import assert_each_resolved_once

pytestmark = [pytest.mark.faults]

FLEET = ("one", "two", "three")
MOST = 2
REQUESTS = 24
#: Between a claim and the beginning of the run, at most, on a machine that others use too.
BEFORE_SECONDS = 1.5


def at_once(stays: list[Stay]) -> int:
    """How many were inside together, at the fullest moment."""
    moments = sorted([(stay.begin, 1) for stay in stays] + [(stay.end, -1) for stay in stays])
    inside = fullest = 0
    for _, change in moments:
        inside += change
        fullest = max(fullest, inside)
    return fullest


def test_no_more_than_two_of_twelve_processes_are_inside_and_no_sweep_is_waited_for(
    tmp_path: Path,
) -> None:
    # Beat's first sweep comes with the start; the next would come behind the test's patience.
    slow = {"CONNECT_SWEEP_SECONDS": "300", "CONNECT_PROCESSORS": str(WEAK)}
    with running_fault_stack(tmp_path, **slow, CONNECT_LEASE_SECONDS="60") as stack:
        stack.seed(fulfillment=REQUESTS)
        stack.work(*FLEET, concurrency=4)
        stack.until_done()

        stays = stack.orders.stays()
        assert len(stays) == REQUESTS
        assert at_once(stays) == MOST
        assert "nothing to do: concurrency limit" in "".join(
            stack.whole_log(name) for name in FLEET
        )
        assert {run.attempt for run in all_runs(stack)} == {1}
        assert_each_resolved_once(stack.report())


@pytest.mark.long
def test_a_process_that_is_killed_inside_frees_its_slot_when_its_lease_ends_and_not_before(
    tmp_path: Path,
) -> None:
    with running_fault_stack(tmp_path, CONNECT_PROCESSORS=str(WEAK)) as stack:
        stack.seed(fulfillment=REQUESTS)
        dead = stack.ids("purchase")[:MOST]
        for request_id in dead:
            stack.orders.give(Order.KILL_CHILD, Point.INSIDE, request_id)
        stack.work(*FLEET, concurrency=4)
        stack.until_done()

        first_runs = [stack.orders.runs(request_id)[0] for request_id in dead]
        assert [len(stack.orders.runs(request_id)) for request_id in dead] == [2, 2]
        # A dead process notes no stay. It counts until its lease ends, which began with its claim.
        until = LEASE_SECONDS - BEFORE_SECONDS
        ghosts = [Stay(run.at, run.at + until) for run in first_runs]
        stays = stack.orders.stays()
        assert len(stays) == REQUESTS
        assert at_once(stays + ghosts) == MOST
        assert_each_resolved_once(stack.report())


def all_runs(stack: FaultStack) -> list[Run]:
    return [run for item in stack.report()["requests"] for run in stack.orders.runs(item)]

"""Connect that fails for a while, and then is well again by itself (row 13)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from connect_worker.domain.states import State
from tests.support.fault_stack import FaultStack, running_fault_stack
from tests.support.stack import assert_each_resolved_once

pytestmark = [pytest.mark.faults]

WORKERS = ("one", "two")
REQUESTS = 40
STORED_DECISIONS = 3
#: A pause long enough to count the calls in it.
LONG_PAUSE_SECONDS = 3.0
#: Of a poll or a probe that began before the pause; without a pause there are hundreds.
CALLS_UNDER_WAY = 8

POSTS = "/requests/[^/]+/(approve|inquire|fail)"
API = "^/public/"


@pytest.mark.parametrize(
    ("sickness", "reason"),
    [
        pytest.param({"action": "status", "status": 500}, "Connect does not work", id="500"),
        pytest.param(
            *({"action": "status", "status": 401}, "check CONNECT_API_KEY"),
            id="401",
            marks=pytest.mark.long,
        ),
        pytest.param(
            *({"action": "reset_before"}, "Connect does not work"),
            id="no connection",
            marks=pytest.mark.long,
        ),
    ],
)
def test_an_outage_pauses_all_workers_and_ends_by_itself_without_a_second_run(
    tmp_path: Path, sickness: dict[str, Any], reason: str
) -> None:
    """Row 13: first the posts fail, so that decisions wait, then every call."""
    with running_fault_stack(tmp_path, CONNECT_RETRY_BASE_SECONDS="1") as stack:
        stack.seed(fulfillment=REQUESTS)
        stack.misbehave(**sickness, method="POST", path=POSTS, times=None)
        stack.work(*WORKERS)
        stack.until_soon(lambda: len(decided(stack)) >= STORED_DECISIONS, "decisions are stored")
        stack.misbehave(**sickness, path=API, times=None)
        waiting = decided(stack)
        stack.until_soon(lambda: pause_seconds(stack) > LONG_PAUSE_SECONDS, "a long pause")
        assert reason in stack.ledger().breaker().reason
        assert calls_until_the_pause_ends(stack) <= CALLS_UNDER_WAY
        assert any("breaker.opened" in stack.whole_log(name) for name in WORKERS)

        stack.control("DELETE", "faults")
        stack.until_done()

        assert {request_id: len(stack.orders.runs(request_id)) for request_id in waiting} == (
            dict.fromkeys(waiting, 1)
        )
        assert_each_resolved_once(stack.report())
        stack.until_soon(lambda: not stack.ledger().breaker().failures, "the outage is forgotten")


def decided(stack: FaultStack) -> list[str]:
    """The requests whose decision is stored and can't be posted."""
    ids = stack.report()["requests"]
    return [item for item in ids if stack.orders.runs(item) and is_decided(stack, item)]


def is_decided(stack: FaultStack, request_id: str) -> bool:
    return stack.record(request_id).state in (State.DECIDED, State.POSTING)


def pause_seconds(stack: FaultStack) -> float:
    """For how long all workers still pause."""
    ledger = stack.ledger()
    return ledger.breaker().open_until - ledger.now()


def calls_until_the_pause_ends(stack: FaultStack) -> int:
    """How many calls reach Connect from now to the end of the pause."""
    ledger = stack.ledger()
    ends = ledger.breaker().open_until
    counted: list[int] = []

    def is_over() -> bool:
        count = calls(stack)
        if ledger.now() >= ends:
            return True
        # Counted before the end, however slow this machine is between the two lines.
        counted.append(count)
        return False

    stack.until_soon(is_over, "the pause ends")
    return counted[-1] - counted[0]


def calls(stack: FaultStack) -> int:
    return int(stack.report(summary=True)["calls"]["total"])

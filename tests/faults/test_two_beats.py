"""Two schedulers by mistake, and polls that overlap (row 19)."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.support.fault_stack import FaultStack, running_fault_stack
from tests.support.stack import assert_each_resolved_once

pytestmark = [pytest.mark.faults]

WORKERS = ("one", "two", "three")
REQUESTS = 80
#: A poll keeps others out while its worker lives. This one is frozen for longer than a lease, so
#: that the next poll reads what the first one has read and not noted down yet.
LEASE_SECONDS = 3
PAGE_SIZE = 40
SECONDS_PER_PAGE = 4.0

RECEIVED = re.compile(r"Task process\.fulfillment\[(PR-[\d-]+)\.\w+\] received")
WORKED = re.compile(
    r"Task process\.fulfillment\[(PR-[\d-]+)\.\w+\] succeeded in [^:]+: 'PRD-[\d-]+: (\w+)'"
)
SWEPT = re.compile(r"Task sweep\[.*\] succeeded in [^:]+: '(\d+) woken")


def test_overlapping_polls_of_two_beats_make_one_job_of_each_request(tmp_path: Path) -> None:
    """Row 19."""
    settings = {
        "CONNECT_POLL_SECONDS": "0.2",
        "CONNECT_LEASE_SECONDS": str(LEASE_SECONDS),
        "CONNECT_PAGE_SIZE": str(PAGE_SIZE),
    }
    with running_fault_stack(tmp_path, **settings) as stack:
        stack.seed(fulfillment=REQUESTS)
        ids = list(stack.report()["requests"])
        stack.misbehave(
            "delay", method="GET", path="/requests/?$", seconds=SECONDS_PER_PAGE, times=None
        )
        stack.work("one")
        stack.celery("second-beat", "beat", "-l", "info")
        stack.until_soon(lambda: pages_under_way(stack) >= 1, "a poll has begun")
        frozen = stack.processes["one"].pid
        os.killpg(frozen, signal.SIGSTOP)
        try:
            for name in ("two", "three"):
                stack.worker(name, "--pool", "prefork", "-c", "2")
            stack.until_soon(lambda: stack.hits() >= 2, "polls overlap")
        finally:
            os.killpg(frozen, signal.SIGCONT)
        assert not any(stack.orders.runs(request_id) for request_id in ids)
        stack.until_done()
        stack.control("DELETE", "faults")
        stack.until_polled_again(2 * REQUESTS // PAGE_SIZE)

        assert {item: len(stack.orders.runs(item)) for item in ids} == dict.fromkeys(ids, 1)
        assert jobs(stack, WORKED) == Counter(ids)
        # One wake-up call each, and those of the sweeps, for which a message took too long.
        stack.until_soon(
            lambda: jobs(stack, RECEIVED).total() == REQUESTS + woken(stack),
            "as many messages are received as polls and sweeps say that they sent",
        )
        assert_each_resolved_once(stack.report())


def pages_under_way(stack: FaultStack) -> int:
    """How many pages of the list are asked for and not answered yet."""
    asked = stack.hits()
    return asked - int(stack.report(summary=True)["calls"]["by_route"].get("GET requests", 0))


def jobs(stack: FaultStack, line: re.Pattern[str]) -> Counter[str]:
    """How many tasks of each request the workers' logs tell of."""
    return Counter(found[1] for name in WORKERS for found in line.finditer(stack.whole_log(name)))


def woken(stack: FaultStack) -> int:
    """How many messages the sweeps have published."""
    return sum(int(found[1]) for name in WORKERS for found in SWEPT.finditer(stack.whole_log(name)))

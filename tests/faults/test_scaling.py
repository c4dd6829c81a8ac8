"""Workers that come and go over a large backlog (row 20)."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
import redis

from connect_worker.domain.states import RequestKind, State
from connect_worker.ledger.redis import RedisLedger
from tests.support.fault_stack import REVIEWS, FaultStack, running_fault_stack
from tests.support.stack import assert_each_resolved_once

pytestmark = [pytest.mark.faults, pytest.mark.long]

REQUESTS = 10_000
#: So many are resolved when workers are added, memory is measured, and workers are taken away.
SCALE_UP_AT, WARM_AT, SCALE_DOWN_AT = 500, 2_000, 9_000
CONCURRENCY = 2
#: A phase on a machine that others use too.
PHASE_SECONDS = 600.0
LEASE_SECONDS = 10.0

#: Of each process of the worker that lives all the time, after its first jobs. Measured: below 1.
MOST_GROWTH_MB = 30
#: While every message waits in its queue. Measured: 1.4.
MOST_REDIS_KB_PER_REQUEST = 2.0


def test_ten_thousand_requests_are_resolved_once_while_workers_come_and_go(tmp_path: Path) -> None:
    """Row 20: one worker, four, one again; two of them are stopped and one is killed."""
    settings = {
        "CONNECT_PROCESSORS": str(REVIEWS),
        # The whole list is read at each poll.
        "CONNECT_POLL_SECONDS": "20",
        "CONNECT_LEASE_SECONDS": str(LEASE_SECONDS),
    }
    with running_fault_stack(tmp_path, **settings) as stack:
        stack.seed(**{"tier-config": REQUESTS})
        empty = redis_kb(stack)
        stack.work("one", concurrency=CONCURRENCY)
        full = until_settled(stack, SCALE_UP_AT)
        for name in ("two", "three", "four"):
            stack.worker(name, "--pool", "prefork", "-c", str(CONCURRENCY))
        full = max(full, until_settled(stack, WARM_AT))
        warm = resident_mb(stack, "one")
        until_settled(stack, SCALE_DOWN_AT)
        for name in ("two", "three"):
            stack.processes[name].terminate()
        stack.kill("four")
        assert [stack.until_ended(name) for name in ("two", "three")] == [0, 0]
        until_settled(stack, REQUESTS)
        at_last = resident_mb(stack, "one")

        report = stack.report()
        assert len(report["requests"]) == REQUESTS
        assert_each_resolved_once(report)
        assert_run_once_but_for_the_killed(stack, list(report["requests"]))
        grown = {pid: at_last[pid] - warm[pid] for pid in warm}
        print(f"Redis: {(full - empty) / REQUESTS:.2f} KB a request; grown, MB: {grown}")
        assert max(grown.values()) < MOST_GROWTH_MB
        assert (full - empty) / REQUESTS < MOST_REDIS_KB_PER_REQUEST


def until_settled(stack: FaultStack, number: int) -> float:
    """Wait until so many are resolved; return the most memory of Redis meanwhile, in KB.

    The ledger is asked: the sandbox has enough to do.
    """
    ledger = stack.ledger()
    used = [redis_kb(stack)]

    def are_settled() -> bool:
        used.append(redis_kb(stack))
        return settled(ledger) >= number

    stack.until(are_settled, f"{number} are resolved", seconds=PHASE_SECONDS)
    return max(used)


def settled(ledger: RedisLedger) -> int:
    return ledger.counts()[RequestKind.TIER_CONFIG][State.COMPLETED]


def assert_run_once_but_for_the_killed(stack: FaultStack, ids: list[str]) -> None:
    """A run that was killed before its decision was stored is the only one that is repeated."""
    runs = Counter(len(stack.orders.runs(request_id)) for request_id in ids)
    assert set(runs) <= {1, 2}
    assert runs[2] <= CONCURRENCY


def redis_kb(stack: FaultStack) -> float:
    with redis.Redis.from_url(stack.redis_url) as client:
        return int(client.info("memory")["used_memory"]) / 1024


def resident_mb(stack: FaultStack, name: str) -> dict[int, float]:
    """The resident memory of a worker's main process and of its children, by process id."""
    main = stack.processes[name].pid
    children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
    return {pid: _resident_mb(pid) for pid in (main, *map(int, children))}


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

"""A primary dies or freezes under load, and real Sentinels promote its replica."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fault_stack import FaultStack
from tests.support.sentinels import SENTINEL_PASSWORD, SentinelSet, running_sentinels

from .conftest import Deployment, is_resolved_once

pytestmark = [pytest.mark.faults, pytest.mark.slow]

REQUESTS = 60


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[SentinelSet]:
    with running_sentinels(tmp_path) as sentinels:
        yield sentinels


@pytest.fixture
def deployment(tmp_path: Path, sentinels: SentinelSet) -> Iterator[Deployment]:
    stack = FaultStack(tmp_path, sentinels.url, CONNECT_SENTINEL_PASSWORD=SENTINEL_PASSWORD)
    stack.redis_url = sentinels.whole_url
    try:
        yield Deployment(stack, sentinels.servers[0])
    finally:
        stack.stop()


@pytest.mark.parametrize(
    ("pool", "is_frozen"),
    [("prefork", False), ("prefork", True), ("threads", False), ("gevent", False)],
)
def test_the_same_processes_go_on_at_the_promoted_replica(
    deployment: Deployment, sentinels: SentinelSet, pool: str, *, is_frozen: bool
) -> None:
    stack, (primary, replica) = deployment.stack, sentinels.servers
    stack.seed("--latency-ms", "40", fulfillment=REQUESTS)
    stack.work(*deployment.workers, pool=pool)
    deployment.until(lambda: deployment.settled() >= REQUESTS // 5, "a part is resolved")
    known = deployment.settled()
    assert known < REQUESTS

    if is_frozen:
        primary.freeze()
    else:
        primary.kill()
    deployment.until(lambda: sentinels.primary_is(replica), "the replica is promoted")
    deployment.until(lambda: deployment.settled() > known, "work goes on there")
    stack.until_done()

    if is_frozen:
        # It believes that it is the primary until a Sentinel tells it otherwise.
        primary.thaw()
        deployment.until(lambda: sentinels.is_replica(primary), "it follows the new primary")
    stack.until_polled_again()
    rows = stack.report()["requests"].values()
    assert [row for row in rows if not is_resolved_once(row)] == []
    # The last writes may be lost; what ran again had its key.
    runs = [stack.orders.runs(row["id"]) for row in rows]
    assert [len({run.key for run in found}) for found in runs if found] == [1] * len(runs)
    logs = "".join(stack.whole_log(name) for name in (*deployment.workers, "beat"))
    assert "TypeError" not in logs
    assert "ValueError" not in logs
    assert "canary" not in logs

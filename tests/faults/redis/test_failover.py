"""A failover to a replica that has not got the last writes, as Sentinel does it.

Replication is asynchronous: a write that was acknowledged to a worker may be gone. Connect is asked
before each run and before each post, and so is the journal of what was posted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connect_worker.domain.states import RequestKey, RequestKind, RequestRecord, State
from connect_worker.ledger.redis import RedisLedger
from tests.support.fault_stack import FaultStack
from tests.support.orders import Order, Point
from tests.support.redis_process import RedisServer, running_server

from .conftest import Deployment, is_resolved_once

pytestmark = [pytest.mark.faults]

REQUESTS = 40


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[RedisServer]:
    directory = tmp_path / "replica"
    directory.mkdir()
    with running_server(directory) as server:
        yield server


def recorded(stack: FaultStack, server: RedisServer, request_id: str) -> RequestRecord:
    """What a server's copy of the ledger has of a request."""
    ledger = RedisLedger.from_url(server.url, account=stack.account)
    found = ledger.get_record(RequestKey(RequestKind.FULFILLMENT, request_id))
    assert found is not None
    return found


@pytest.mark.slow
def test_a_replica_without_the_last_writes_still_lets_each_request_be_resolved_once(
    deployment: Deployment, replica: RedisServer
) -> None:
    stack, orders = deployment.stack, deployment.stack.orders
    replica.follow(deployment.redis)
    stack.seed("--latency-ms", "40", fulfillment=REQUESTS)
    early, late = stack.ids("purchase")[:2]
    orders.give(Order.HOLD, Point.INSIDE, early)
    # Each message of it waits, however often the sweep sends another.
    orders.give(Order.HOLD, Point.BEFORE_CLAIM, late, always=True)
    orders.give(Order.HOLD, Point.DECIDED, late)
    stack.work(*deployment.workers)
    deployment.until(lambda: orders.reached(Point.INSIDE, early), "a job is under way")
    deployment.until(lambda: orders.reached(Point.BEFORE_CLAIM, late), "another is to begin")
    deployment.until(lambda: deployment.settled() >= REQUESTS // 5, "a part is resolved")
    deployment.until(
        lambda: recorded(stack, replica, early).state is State.RUNNING, "the claim is replicated"
    )

    replica.lose_primary()
    known = deployment.settled()
    orders.release(Point.BEFORE_CLAIM, late)
    deployment.until(lambda: orders.reached(Point.DECIDED, late), "a decision is stored")
    deployment.until(lambda: deployment.settled() > known + REQUESTS // 5, "more is resolved")
    lost = recorded(stack, deployment.redis, late)
    assert (lost.state, lost.decision is None) == (State.POSTING, False)
    deployment.redis.kill()
    copy = recorded(stack, replica, late)
    assert (copy.state, copy.decision, copy.fence) == (State.QUEUED, None, lost.fence - 1)
    replica.take_over(deployment.redis)

    # The lost claim is given again, with its own fence: the owner tells the two apart.
    deployment.until(lambda: len(orders.runs(late)) == 2, "the lost run is repeated")
    deployment.until(lambda: stack.entry(late)["accepted"], "its outcome is posted")
    orders.release(Point.DECIDED, late)
    deployment.until(lambda: deployment.lines("lease.lost"), "the first run's post is refused")
    orders.release(Point.INSIDE, early)
    stack.until_done()

    rows = stack.report()["requests"].values()
    assert [row for row in rows if not is_resolved_once(row)] == []
    runs = [orders.runs(row["id"]) for row in rows]
    # What had been posted is seen in Connect, and not run again; the others keep their key.
    assert [len({run.key for run in found}) for found in runs if found] == [1] * len(runs)
    assert sum(len(found) > 1 for found in runs) <= 4

"""Redis that dies, loses its connections or its memory: rows 7, 8, 10 and 11."""

from __future__ import annotations

import time

import pytest

from tests.support.fault_stack import LEASE_SECONDS
from tests.support.redis_server import tell
from tests.support.stack import assert_each_resolved_once

from .conftest import Deployment

pytestmark = [pytest.mark.faults]

#: How long Redis is away. The short time is more than a lease and every timeout of one call: 5 s
#: for a connection or an answer of the ledger's, and 4 tries of it within a second; 5 s for a
#: connection of the broker's, and 4 tries of a publisher within a second. The long one is more
#: than all that grows or comes by turns: kombu's pause between two connection attempts, 2 s longer
#: each time, has reached its 30 s after 210; the connections' health checks come every 10 and 30 s;
#: a consumer's that hears nothing is given up after 21.
#: (The visibility timeout of an hour concerns messages that wait for an acknowledgement: none do.)
AWAY_SECONDS = [("forgetful", 10.0), pytest.param("append-only", 250.0, marks=pytest.mark.long)]
#: What is promised for the time after Redis is back.
RESUMED_SECONDS = 60.0


@pytest.mark.parametrize(
    "deployment",
    ["forgetful", pytest.param("append-only", marks=pytest.mark.long)],
    indirect=True,
)
def test_a_killed_redis_strands_no_job_and_doubles_none(deployment: Deployment) -> None:
    """Row 7: with a job running and a backlog; with and without a memory of its own."""
    held = deployment.begin()
    deployment.redis.kill()
    deployment.until(lambda: deployment.all_say("Trying again in"), "both workers notice")
    deployment.release(held)
    deployment.redis.start()
    deployment.stack.until_done()

    assert_each_resolved_once(deployment.stack.report())


def test_lost_connections_start_no_second_run(deployment: Deployment) -> None:
    """Row 8."""
    held = deployment.begin()
    with deployment.redis.client() as client:
        for kind in ("normal", "pubsub"):
            assert tell(client, "CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes") > 0
        killed_at = time.monotonic()
        deployment.until(
            lambda: time.monotonic() > killed_at + 2 * LEASE_SECONDS,
            "the lease would have ended without heartbeats",
        )
        assert len(deployment.stack.orders.runs(held)) == 1
    deployment.release(held)
    deployment.stack.until_done()

    assert len(deployment.stack.orders.runs(held)) == 1
    assert_each_resolved_once(deployment.stack.report())


@pytest.mark.slow
@pytest.mark.parametrize(("deployment", "away_seconds"), AWAY_SECONDS, indirect=["deployment"])
def test_work_resumes_by_itself_after_a_long_absence(
    deployment: Deployment, away_seconds: float
) -> None:
    """Row 10: the same processes go on; nobody starts them again."""
    held = deployment.begin()
    deployment.redis.kill()
    deployment.release(held)
    gone_at = time.monotonic()
    deployment.until(
        lambda: time.monotonic() > gone_at + away_seconds,
        "a long absence",
        seconds=2 * away_seconds,
    )
    before = deployment.settled()
    deployment.redis.start()
    deployment.until(lambda: deployment.settled() > before, "work resumes", seconds=RESUMED_SECONDS)
    deployment.stack.until_done()

    assert_each_resolved_once(deployment.stack.report())


def test_all_that_waits_is_found_again_after_a_flush(deployment: Deployment) -> None:
    """Row 11: the queues, Celery's bindings, the ledger with its leases: everything is gone."""
    held = deployment.begin()
    with deployment.redis.client() as client:
        client.flushall()
    flushed_at = time.monotonic()
    deployment.until(
        lambda: len(deployment.stack.orders.runs(held)) == 2, "the held request is found again"
    )
    # Of a lease that is not known to hold, a worker asks the ledger before it writes anything.
    deployment.until(
        lambda: (
            time.monotonic() > flushed_at + LEASE_SECONDS
            and deployment.stack.entry(held)["accepted"]
        ),
        "the second run's outcome is posted, and the first run's lease is old",
    )
    deployment.release(held)
    deployment.until(lambda: deployment.lines("lease.lost"), "the first run's write is refused")
    deployment.stack.until_done()

    first, second = deployment.stack.orders.runs(held)
    assert first.key == second.key
    assert_each_resolved_once(deployment.stack.report())

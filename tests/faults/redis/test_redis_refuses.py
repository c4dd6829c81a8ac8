"""Redis that is there and does not do its work: rows 9 and 12."""

from __future__ import annotations

import time

import pytest

from tests.support.fault_stack import LEASE_SECONDS
from tests.support.redis_server import tell
from tests.support.stack import assert_each_resolved_once

from .conftest import Deployment

pytestmark = [pytest.mark.faults]

#: An outage must fill no disk: a worker that reconnects without a pause writes so much in
#: a second.
MOST_LOG_LINES = 1000

SICKNESSES = {
    "full": (("CONFIG", "SET", "maxmemory", "1mb"), ("CONFIG", "SET", "maxmemory", "0")),
    "read-only": (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
}


def refusals(deployment: Deployment) -> int:
    """How often workers were refused, by the broker or by their own check of the ledger's Redis."""
    return deployment.lines("celery.broker_rejected") + deployment.lines("worker.redis_unusable")


@pytest.mark.slow
def test_a_frozen_redis_lets_at_most_one_outcome_through(deployment: Deployment) -> None:
    """Row 9: the lease ends while nobody can renew it; a second run overlaps the first."""
    held = deployment.begin()
    deployment.redis.freeze()
    frozen_at = time.monotonic()
    deployment.until(lambda: time.monotonic() > frozen_at + 2 * LEASE_SECONDS, "the lease ends")
    deployment.redis.thaw()
    deployment.until(
        lambda: len(deployment.stack.orders.runs(held)) == 2, "another worker takes over"
    )
    deployment.until(
        lambda: deployment.stack.entry(held)["accepted"], "the second run's outcome is posted"
    )
    deployment.release(held)
    deployment.until(lambda: deployment.lines("lease.lost"), "the first run's write is refused")
    deployment.stack.until_done()

    first, second = deployment.stack.orders.runs(held)
    assert first.key == second.key
    assert_each_resolved_once(deployment.stack.report())


@pytest.mark.parametrize("sickness", ["full", pytest.param("read-only", marks=pytest.mark.long)])
def test_a_redis_that_refuses_writes_stops_the_work_loudly_until_it_recovers(
    deployment: Deployment, sickness: str
) -> None:
    """Row 12."""
    held = deployment.begin()
    fall_ill, recover = SICKNESSES[sickness]
    with deployment.redis.client() as client:
        tell(client, *fall_ill)
        ill_at, said = time.monotonic(), deployment.log_lines()
        # What had its claim before may still end; its decision can't be stored.
        deployment.until(lambda: time.monotonic() > ill_at + 2 * LEASE_SECONDS, "running jobs end")
        before = deployment.done()
        deployment.until(
            lambda: time.monotonic() > ill_at + 4 * LEASE_SECONDS, "nobody can claim anything"
        )
        assert deployment.done() == before
        assert refusals(deployment)
        assert deployment.log_lines() - said < MOST_LOG_LINES
        tell(client, *recover)
    deployment.release(held)
    deployment.stack.until_done()

    assert_each_resolved_once(deployment.stack.report())


@pytest.mark.long
@pytest.mark.parametrize("sickness", list(SICKNESSES))
def test_a_redis_that_refuses_for_long_is_not_filled_with_connections(
    deployment: Deployment, sickness: str
) -> None:
    """Row 12: each refusal makes a worker reconnect; it must let go of the old connections."""
    held = deployment.begin()
    fall_ill, recover = SICKNESSES[sickness]
    with deployment.redis.client() as client:
        tell(client, *fall_ill)
        deployment.until(lambda: refusals(deployment) >= 4, "both workers notice")
        before = len(client.client_list())
        deployment.until(lambda: refusals(deployment) >= 12, "refused many times")
        more = len(client.client_list()) - before
        tell(client, *recover)
    deployment.release(held)
    deployment.stack.until_done()

    # One leaked at each of the refusals would be eight more; one on its way may come and go.
    assert more < 4


@pytest.mark.long
def test_a_worker_can_be_stopped_while_redis_refuses_writes(deployment: Deployment) -> None:
    """Row 12: an operator who stops the deployment to repair Redis need not kill it."""
    held = deployment.begin()
    fall_ill, _ = SICKNESSES["full"]
    with deployment.redis.client() as client:
        tell(client, *fall_ill)
    deployment.release(held)
    deployment.until(lambda: refusals(deployment), "a worker notices")
    for name in deployment.workers:
        deployment.stack.processes[name].terminate()

    assert [deployment.stack.until_ended(name) for name in deployment.workers] == [0, 0]

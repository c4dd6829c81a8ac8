"""Redis that dies again and again, at any moment of a backlog (row 7)."""

from __future__ import annotations

import random
import time

import pytest

from tests.support.stack import assert_each_resolved_once

from .conftest import Deployment

pytestmark = [pytest.mark.faults, pytest.mark.long]

REQUESTS = 200
DEATHS = 5
#: Longer than a lease.
MOST_AWAY_SECONDS = 5.0


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("deployment", ["forgetful", "append-only"], indirect=True)
def test_many_deaths_of_redis_strand_no_job_and_double_none(
    deployment: Deployment, seed: int
) -> None:
    """Row 7: no worker and no beat exits, whatever it was doing."""
    dice = random.Random(seed)
    stack = deployment.stack
    stack.seed("--latency-ms", "20", fulfillment=REQUESTS)
    stack.work(*deployment.workers)
    for moment in sorted(dice.sample(range(1, REQUESTS - 20), DEATHS)):
        die(deployment, after=moment, away_seconds=dice.uniform(0, MOST_AWAY_SECONDS))
    stack.until_done()

    assert_each_resolved_once(stack.report())


def die(deployment: Deployment, *, after: int, away_seconds: float) -> None:
    """Kill Redis when so many requests are resolved, and start it again some time later."""
    deployment.until(lambda: deployment.settled() >= after, f"{after} are resolved")
    deployment.redis.kill()
    back_at = time.monotonic() + away_seconds
    deployment.until(lambda: time.monotonic() > back_at, "Redis is started again")
    deployment.redis.start()

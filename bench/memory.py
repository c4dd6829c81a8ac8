"""A worker's memory compared with that of a bare Celery worker with the same pool."""

from __future__ import annotations

from collections.abc import Iterator

from bench.jobs import Load, Pool, run_bare, run_ours
from bench.sample import Row, Target, in_turns, ratio_row
from bench.testbed import Testbed
from bench.throughput import PREFORK


def measure(testbed: Testbed) -> Iterator[Row]:
    """Yield a row for each pool."""
    load = Load(testbed.size(500, quick=100))
    for pool in (PREFORK,) if testbed.quick else (PREFORK, Pool("threads", 20)):
        pairs = in_turns(
            testbed.size(3, quick=1),
            lambda pool=pool: run_ours(testbed, load, pool).megabytes,  # type: ignore[misc]
            lambda pool=pool: run_bare(testbed, load, pool).megabytes,  # type: ignore[misc]
        )
        yield ratio_row(
            f"memory of a worker, {pool}, after {load.requests} jobs",
            pairs,
            peer="bare Celery, same pool, the same HTTP calls",
            side_unit="MB (PSS of the worker and its children)",
            target=Target(1.25),
        )

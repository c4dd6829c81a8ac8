"""Requests per second, compared with the SDK's loop and with bare Celery's same calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bench.jobs import Load, Pool, Run, run_bare, run_deployed, run_nothing, run_ours, run_sdk
from bench.sample import Row, Target, in_turns, ratio_row
from bench.testbed import Testbed

#: One machine runs everything, with as many concurrent jobs as two processes can run.
MANY = Pool("threads", 150, workers=2)
PREFORK = Pool("prefork", 2)
THREADS = Pool("threads", 100)

#: The share of a core above which the stand-in counts as the bottleneck.
MOST_BUSY = 0.5


def measure(testbed: Testbed) -> Iterator[Row]:
    """Yield the rows with targets, and one row with the cost of Celery alone."""
    yield _against_sdk(testbed)
    yield _against_bare(
        testbed,
        Load(testbed.size(2000, quick=300)),
        PREFORK,
        pairs=testbed.size(5, quick=2),
        target=Target(0.8, at_least=True),
    )
    yield _against_bare(
        testbed,
        Load(testbed.size(2500, quick=400), latency_ms=100),
        THREADS,
        pairs=testbed.size(5, quick=1),
        target=Target(0.9, at_least=True),
    )
    yield _against_nothing(testbed)


@dataclass
class _Comparison:
    """Collects the runs of one comparison, for the facts of its row."""

    runs: list[Run] = field(default_factory=list)

    def rate(self, run: Run) -> float:
        self.runs.append(run)
        return run.rate

    def rate_with_poll(self, run: Run) -> float:
        self.runs.append(run)
        return run.rate_with_poll

    @property
    def facts(self) -> dict[str, Any]:
        busiest = max(run.standin_busy for run in self.runs)
        return {
            "calls_per_request": sorted({run.calls_per_request for run in self.runs}),
            "standin_share_of_a_core": round(busiest, 3),
            "standin_is_bottleneck": busiest > MOST_BUSY,
        }


def _against_sdk(testbed: Testbed) -> Row:
    ours, theirs = testbed.size(6000, quick=600), testbed.size(40, quick=8)
    comparison = _Comparison()
    pairs = in_turns(
        testbed.size(3, quick=1),
        lambda: comparison.rate_with_poll(run_deployed(testbed, Load(ours, 100), MANY)),
        lambda: comparison.rate_with_poll(run_sdk(testbed, Load(theirs, 100))),
    )
    # The SDK waits on any machine, so bare Celery's throughput on this machine bounds the ratio.
    bare = comparison.rate(run_bare(testbed, Load(ours, 100), MANY))
    return ratio_row(
        f"throughput at 100 ms API latency, {MANY}",
        pairs,
        peer=f"connect-sdk 22.0, its own loop ({theirs} requests; ours {ours}, poll included)",
        side_unit="requests/s",
        target=Target(100, at_least=True),
        bare_celery_requests_per_second=bare,
        **comparison.facts,
    )


def _against_bare(testbed: Testbed, load: Load, pool: Pool, *, pairs: int, target: Target) -> Row:
    comparison = _Comparison()
    measured = in_turns(
        pairs,
        _side(comparison, lambda: run_ours(testbed, load, pool)),
        _side(comparison, lambda: run_bare(testbed, load, pool)),
    )
    return ratio_row(
        f"throughput at {load.latency_ms:g} ms, {pool}",
        measured,
        peer=f"bare Celery, the same HTTP calls ({load.requests} requests each)",
        side_unit="requests/s",
        target=target,
        **comparison.facts,
    )


def _against_nothing(testbed: Testbed) -> Row:
    load, tasks = Load(testbed.size(1500, quick=200)), testbed.size(8000, quick=1000)
    pairs = in_turns(
        testbed.size(3, quick=1),
        lambda: run_ours(testbed, load, PREFORK).rate,
        lambda: run_nothing(testbed, tasks, PREFORK),
    )
    return ratio_row(
        f"throughput at 0 ms, {PREFORK}, four calls and all guarantees",
        pairs,
        peer="bare Celery tasks that do nothing",
        side_unit="jobs/s",
    )


def _side(comparison: _Comparison, run: Callable[[], Run]) -> Callable[[], float]:
    return lambda: comparison.rate(run())

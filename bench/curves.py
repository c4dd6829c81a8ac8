"""The plots: throughput against API latency, against workers, and against the backlog."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bench.jobs import Load, Pool, Run, run_bare, run_deployed, run_ours, run_sdk
from bench.sample import Curve, Sample
from bench.testbed import Testbed
from bench.throughput import MANY, THREADS

OURS, BARE, SDK = "connect-worker", "bare Celery, same calls", "connect-sdk 22.0, its loop"


def measure(testbed: Testbed) -> Iterator[Curve]:
    """Yield the three curves."""
    yield _latencies(testbed)
    yield _workers(testbed)
    yield _backlogs(testbed)


def _latencies(testbed: Testbed) -> Curve:
    few, many = testbed.size(1000, quick=100), testbed.size(20, quick=3)

    def ours(latency: float) -> Run:
        return run_ours(testbed, Load(few, latency), THREADS)

    def bare(latency: float) -> Run:
        return run_bare(testbed, Load(few, latency), THREADS)

    def sdk(latency: float) -> Run:
        return run_sdk(testbed, Load(many, latency))

    points = [0, 100] if testbed.quick else [0, 20, 50, 100, 200]
    return _take(
        Curve("latency", f"Throughput against API latency ({THREADS})", "API latency, ms"),
        {OURS: ours, BARE: bare, SDK: sdk},
        points,
        testbed,
    )


def _workers(testbed: Testbed) -> Curve:
    def pool(workers: float) -> Pool:
        return Pool("threads", 25, workers=int(workers))

    def load(workers: float) -> Load:
        return Load(int(testbed.size(500, quick=50) * workers), 100)

    points = [1, 2] if testbed.quick else [1, 2, 4, 8]
    return _take(
        Curve("workers", "Throughput against workers (threads 25, 100 ms API latency)", "workers"),
        {
            OURS: lambda workers: run_ours(testbed, load(workers), pool(workers)),
            BARE: lambda workers: run_bare(testbed, load(workers), pool(workers)),
        },
        points,
        testbed,
    )


def _backlogs(testbed: Testbed) -> Curve:
    points = [100, 300] if testbed.quick else [100, 1_000, 3_000, 10_000]
    return _take(
        Curve(
            "backlog",
            f"Throughput against the backlog, poll included ({MANY}, 100 ms API latency)",
            "waiting requests",
        ),
        {OURS: lambda count: run_deployed(testbed, Load(int(count), 100), MANY)},
        points,
        testbed,
        with_poll=True,
    )


def _take(
    curve: Curve,
    programs: dict[str, Callable[[float], Run]],
    points: Sequence[float],
    testbed: Testbed,
    *,
    with_poll: bool = False,
) -> Curve:
    """Measure every point; the programs run in turns."""
    for point in points:
        rates: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(testbed.size(2, quick=1)):
            for name, run in programs.items():
                finished = run(point)
                rates[name].append(finished.rate_with_poll if with_poll else finished.rate)
        for name, values in rates.items():
            curve.series.setdefault(name, []).append((point, Sample(tuple(values))))
    return curve

"""Throughput against API latency, against workers, against the backlog: what the plots show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bench.jobs import Load, Pool, Run, run_bare, run_deployed, run_ours, run_sdk
from bench.place import Place
from bench.sample import Curve, Sample
from bench.throughput import MANY, THREADS

OURS, BARE, SDK = "connect-worker", "bare Celery, same calls", "connect-sdk 22.0, its loop"


def measure(place: Place) -> Iterator[Curve]:
    """Yield the three curves."""
    yield _latencies(place)
    yield _workers(place)
    yield _backlogs(place)


def _latencies(place: Place) -> Curve:
    few, many = place.size(1000, quick=100), place.size(20, quick=3)

    def ours(latency: float) -> Run:
        return run_ours(place, Load(few, latency), THREADS)

    def bare(latency: float) -> Run:
        return run_bare(place, Load(few, latency), THREADS)

    def sdk(latency: float) -> Run:
        return run_sdk(place, Load(many, latency))

    points = [0, 100] if place.quick else [0, 20, 50, 100, 200]
    return _take(
        Curve("latency", f"Throughput against API latency ({THREADS})", "API latency, ms"),
        {OURS: ours, BARE: bare, SDK: sdk},
        points,
        place,
    )


def _workers(place: Place) -> Curve:
    def pool(workers: float) -> Pool:
        return Pool("threads", 25, workers=int(workers))

    def load(workers: float) -> Load:
        return Load(int(place.size(500, quick=50) * workers), 100)

    points = [1, 2] if place.quick else [1, 2, 4, 8]
    return _take(
        Curve("workers", "Throughput against workers (threads 25, 100 ms API latency)", "workers"),
        {
            OURS: lambda workers: run_ours(place, load(workers), pool(workers)),
            BARE: lambda workers: run_bare(place, load(workers), pool(workers)),
        },
        points,
        place,
    )


def _backlogs(place: Place) -> Curve:
    points = [100, 300] if place.quick else [100, 1_000, 3_000, 10_000]
    return _take(
        Curve(
            "backlog",
            f"Throughput against the backlog, poll included ({MANY}, 100 ms API latency)",
            "waiting requests",
        ),
        {OURS: lambda count: run_deployed(place, Load(int(count), 100), MANY)},
        points,
        place,
        whole=True,
    )


def _take(
    curve: Curve,
    programs: dict[str, Callable[[float], Run]],
    points: Sequence[float],
    place: Place,
    *,
    whole: bool = False,
) -> Curve:
    """Measure every point; the programs take turns."""
    for point in points:
        rates: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(place.size(2, quick=1)):
            for name, run in programs.items():
                seen = run(point)
                rates[name].append(seen.whole_rate if whole else seen.rate)
        for name, values in rates.items():
            curve.series.setdefault(name, []).append((point, Sample(tuple(values))))
    return curve

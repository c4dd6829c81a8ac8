"""Requests a second: against the SDK's loop, and against bare Celery with the same calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bench.jobs import Load, Pool, Run, run_bare, run_deployed, run_nothing, run_ours, run_sdk
from bench.place import Place
from bench.sample import Row, Target, in_turns, ratio_row

#: One machine with everything on it, as many jobs at once as two processes take.
MANY = Pool("threads", 150, workers=2)
PREFORK = Pool("prefork", 2)
THREADS = Pool("threads", 100)

#: What the stand-in may take of a core before it counts as the bottleneck.
MOST_BUSY = 0.5


def measure(place: Place) -> Iterator[Row]:
    """Yield the rows that have targets, and one that tells what Celery alone costs."""
    yield _against_sdk(place)
    yield _against_bare(
        place,
        Load(place.size(2000, quick=300)),
        PREFORK,
        pairs=place.size(5, quick=2),
        target=Target(0.8, at_least=True),
    )
    yield _against_bare(
        place,
        Load(place.size(2500, quick=400), latency_ms=100),
        THREADS,
        pairs=place.size(5, quick=1),
        target=Target(0.9, at_least=True),
    )
    yield _against_nothing(place)


@dataclass
class _Seen:
    """The runs of one comparison, for what is said beside it."""

    runs: list[Run] = field(default_factory=list)

    def rate(self, run: Run) -> float:
        self.runs.append(run)
        return run.rate

    def whole_rate(self, run: Run) -> float:
        self.runs.append(run)
        return run.whole_rate

    @property
    def facts(self) -> dict[str, Any]:
        busiest = max(run.standin_busy for run in self.runs)
        return {
            "calls_per_request": sorted({run.calls_per_request for run in self.runs}),
            "standin_share_of_a_core": round(busiest, 3),
            "standin_is_bottleneck": busiest > MOST_BUSY,
        }


def _against_sdk(place: Place) -> Row:
    mine, theirs = place.size(6000, quick=600), place.size(40, quick=8)
    seen = _Seen()
    pairs = in_turns(
        place.size(3, quick=1),
        lambda: seen.whole_rate(run_deployed(place, Load(mine, 100), MANY)),
        lambda: seen.whole_rate(run_sdk(place, Load(theirs, 100))),
    )
    # The SDK waits, whatever the machine; what Celery manages on it bounds the ratio.
    bare = seen.rate(run_bare(place, Load(mine, 100), MANY))
    return ratio_row(
        f"throughput at 100 ms API latency, {MANY}",
        pairs,
        peer=f"connect-sdk 22.0, its own loop ({theirs} requests; ours {mine}, poll included)",
        side_unit="requests/s",
        target=Target(100, at_least=True),
        bare_celery_requests_per_second=bare,
        **seen.facts,
    )


def _against_bare(place: Place, load: Load, pool: Pool, *, pairs: int, target: Target) -> Row:
    seen = _Seen()
    compared = in_turns(
        pairs,
        _side(seen, lambda: run_ours(place, load, pool)),
        _side(seen, lambda: run_bare(place, load, pool)),
    )
    return ratio_row(
        f"throughput at {load.latency_ms:g} ms, {pool}",
        compared,
        peer=f"bare Celery, the same HTTP calls ({load.requests} requests each)",
        side_unit="requests/s",
        target=target,
        **seen.facts,
    )


def _against_nothing(place: Place) -> Row:
    load, tasks = Load(place.size(1500, quick=200)), place.size(8000, quick=1000)
    pairs = in_turns(
        place.size(3, quick=1),
        lambda: run_ours(place, load, PREFORK).rate,
        lambda: run_nothing(place, tasks, PREFORK),
    )
    return ratio_row(
        f"throughput at 0 ms, {PREFORK}, four calls and all promises",
        pairs,
        peer="bare Celery tasks that do nothing",
        side_unit="jobs/s",
    )


def _side(seen: _Seen, run: Callable[[], Run]) -> Callable[[], float]:
    return lambda: seen.rate(run())

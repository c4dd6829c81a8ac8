"""What the ledger counts for Prometheus, and how long cycles took, from registration to the end."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Protocol

from connect_worker.domain.states import RequestKind

#: Runs of a processor that began; `what` is "".
ATTEMPTS: Final = "attempts"
#: `what` is a cause, see `domain.retry.Cause`.
RETRIES: Final = "retries"
#: The cause of a retry without an error.
WORKER_DIED: Final = "worker died"
#: Calls that changed something in Connect; `what` is the smallest bucket bound ≥ the duration.
POSTS: Final = "posts"
#: The sum of their durations in milliseconds; `what` is "".
POST_MS: Final = "post_ms"
#: Runs of a processor that ended, and the sum of their durations, as of posts.
RUNS: Final = "runs"
RUN_MS: Final = "run_ms"
#: Calls that Connect refused or did not answer; `what` is the status, or why there was none.
ERRORS: Final = "errors"

#: The name under which products beyond the first 200 are counted together.
OTHER: Final = "other"
MAX_PRODUCTS: Final = 200

#: Upper bounds of the duration of a post or a run, in seconds.
BUCKETS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
MORE: Final = "more"


@dataclass(frozen=True, slots=True)
class Metric:
    """One counter; `str` gives its name in the ledger's scripts."""

    name: str
    #: Of request; "" for calls outside of jobs and polls.
    kind: str = ""
    what: str = ""
    #: "" where none is known.
    product: str = ""

    def __str__(self) -> str:
        return f"{self.prefix}:{self.product}"

    @property
    def prefix(self) -> str:
        """The name without the product, which the ledger may count as `other`."""
        return f"{self.name}:{self.kind}:{self.what}"

    @classmethod
    def parse(cls, text: str) -> Metric:
        """Read a name back; a product may have colons in it."""
        return cls(*text.split(":", 3))


MetricCounts = Mapping[Metric, int]


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """What a worker does for an account."""

    #: How many jobs the worker runs at once, of all accounts.
    slots: int
    #: How many of them are the account's now; polls and sweeps count too.
    busy: int


#: A worker that has not reported for this time is gone. It reports three times as often.
WORKER_SECONDS: Final = 30.0


class MetricBuffer(Protocol):
    """Counts of a process that are not in the ledger yet."""

    def take(self) -> MetricCounts:
        """Return the counts, and start again at zero."""

    def give_back(self, taken: MetricCounts) -> None:
        """Add counts back that could not be stored."""


class NullMetricBuffer:
    """A buffer that is always empty."""

    def take(self) -> MetricCounts:
        """Return nothing."""
        return {}

    def give_back(self, taken: MetricCounts) -> None:
        """Do nothing."""


def bucket_of(seconds: float) -> str:
    """Return the name of the least bucket that holds a duration."""
    place = bisect_left(BUCKETS, seconds)
    return f"{BUCKETS[place]:g}" if place < len(BUCKETS) else MORE


_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000

#: Upper bounds of the buckets, in milliseconds; longer durations count under infinity. The Lua
#: scripts get the same bounds.
BOUNDS_MS: Final = (
    *(10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000),
    *(_MINUTE, 2 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 30 * _MINUTE),
    *(_HOUR, 2 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY, 3 * _DAY, 7 * _DAY),
)
_BOUNDS: Final = tuple(bound / 1000 for bound in BOUNDS_MS)
#: The bound before each bound.
_BEFORE: Final = {later: earlier for earlier, later in pairwise((0.0, *_BOUNDS, math.inf))}


def bound_of(milliseconds: int) -> float:
    """Return the bound, in seconds, of the bucket of a duration."""
    seconds = milliseconds / 1000
    return next((bound for bound in _BOUNDS if seconds <= bound), math.inf)


@dataclass(frozen=True, slots=True)
class Durations:
    """The number of cycles by duration."""

    #: Number by upper bound in seconds; empty buckets are left out.
    counts: Mapping[float, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """The number of all cycles."""
        return sum(self.counts.values())

    def quantile(self, share: float) -> float | None:
        """Return the seconds that this share of the cycles did not exceed; None without cycles.

        The value is interpolated between two bounds; above the last bound it is that bound.
        """
        left = share * self.total
        for bound in sorted(self.counts):
            number = self.counts[bound]
            if number >= left:
                earlier = _BEFORE[bound]
                if math.isinf(bound):
                    return earlier
                return earlier + (bound - earlier) * left / number
            left -= number
        return None

    @classmethod
    def sum(cls, several: Iterable[Durations]) -> Durations:
        """Return the sum of several."""
        counts: dict[float, int] = {}
        for item in several:
            for bound, number in item.counts.items():
                counts[bound] = counts.get(bound, 0) + number
        return cls(counts)


@dataclass(frozen=True, slots=True)
class HourlyCompletions:
    """The cycles that were completed in one hour."""

    #: The start of the hour, in seconds since the epoch.
    began: float
    completed: Mapping[RequestKind, Durations]

"""How long cycles took, from the first sight to the end: counted by size, hour by hour."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Protocol

from connect_worker.domain.states import RequestKind

# What the ledger counts beside states and outcomes, for Prometheus.

#: Runs of a processor that began; `what` is "".
ATTEMPTS: Final = "attempts"
#: `what` is a cause, see `processing.retry.Cause`.
RETRIES: Final = "retries"
#: The cause of a retry that no error tells.
WORKER_DIED: Final = "worker died"
#: Calls that changed something in Connect; `what` is the least bucket that holds their duration.
POSTS: Final = "posts"
#: Milliseconds that they took together; `what` is "".
POST_MS: Final = "post_ms"
#: Calls that Connect refused or did not answer; `what` is the status, or why there was none.
ERRORS: Final = "errors"

#: The name under which products beyond the first 200 are counted together.
OTHER: Final = "other"
MAX_PRODUCTS: Final = 200

#: Upper bounds of a post's duration, in seconds.
BUCKETS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
MORE: Final = "more"


@dataclass(frozen=True, slots=True)
class Metric:
    """One thing that is counted; `str` gives it as the ledger's scripts build it."""

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


class MetricBuffer(Protocol):
    """What a process has counted and not told the ledger yet."""

    def take(self) -> MetricCounts:
        """Return it, and begin anew."""

    def give_back(self, taken: MetricCounts) -> None:
        """Count again what could not be told."""


class NullMetricBuffer:
    """Counts nothing."""

    def take(self) -> MetricCounts:
        """Return nothing."""
        return {}

    def give_back(self, taken: MetricCounts) -> None:
        """Forget it."""


def bucket_of(seconds: float) -> str:
    """Return the name of the least bucket that holds a duration."""
    place = bisect_left(BUCKETS, seconds)
    return f"{BUCKETS[place]:g}" if place < len(BUCKETS) else MORE


_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000

#: What is counted together: all that took as long as this, in milliseconds, and longer than the
#: bound before; the Lua scripts get the same. Longer ones count under infinity.
BOUNDS_MS: Final = (
    *(10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000),
    *(_MINUTE, 2 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 30 * _MINUTE),
    *(_HOUR, 2 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY, 3 * _DAY, 7 * _DAY),
)
_BOUNDS: Final = tuple(bound / 1000 for bound in BOUNDS_MS)
#: Bound → the one before.
_BEFORE: Final = {later: earlier for earlier, later in pairwise((0.0, *_BOUNDS, math.inf))}


def bound_of(milliseconds: int) -> float:
    """Return the bound, in seconds, under which a length of time counts."""
    seconds = milliseconds / 1000
    return next((bound for bound in _BOUNDS if seconds <= bound), math.inf)


@dataclass(frozen=True, slots=True)
class Durations:
    """How many cycles were how long."""

    #: Upper bound in seconds → how many; those with none are left out.
    counts: Mapping[float, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many they are."""
        return sum(self.counts.values())

    def quantile(self, share: float) -> float | None:
        """Return the seconds that this share of the cycles did not exceed; None without cycles.

        Between two bounds it is interpolated; beyond the last one it is that bound.
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
        """Return all of them together."""
        counts: dict[float, int] = {}
        for item in several:
            for bound, number in item.counts.items():
                counts[bound] = counts.get(bound, 0) + number
        return cls(counts)


@dataclass(frozen=True, slots=True)
class HourlyCompletions:
    """What was settled within one hour of the clock."""

    #: When it began, in seconds since the epoch.
    began: float
    settled: Mapping[RequestKind, Durations]

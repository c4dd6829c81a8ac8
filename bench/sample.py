"""Samples of two sides that are measured in turns, and the rows of the report."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


class MeasurementError(Exception):
    """A figure could not be measured; the message says why."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Repeated measurements of one quantity, in their order."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The smallest and the greatest value."""
        return min(self.values), max(self.values)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Two sides, measured in turns: in each pair, ours first and the peer directly after it."""

    ours: Sample
    peer: Sample

    @property
    def ratios(self) -> Sample:
        """Ours divided by the peer's, pair by pair, so that a slow machine slows both sides."""
        pairs = zip(self.ours.values, self.peer.values, strict=True)
        return Sample(tuple(ours / peer for ours, peer in pairs))

    @property
    def speedups(self) -> Sample:
        """The inverse ratios: how many times faster ours is, if both sides are times."""
        return Sample(tuple(1 / ratio for ratio in self.ratios.values))


def in_turns(pairs: int, ours: Callable[[], float], peer: Callable[[], float]) -> Pairs:
    """Measure A B A B …; over several pairs the order of the sides makes no difference."""
    measured = [(ours(), peer()) for _ in range(pairs)]
    return Pairs(Sample(tuple(a for a, _ in measured)), Sample(tuple(b for _, b in measured)))


@dataclass(frozen=True, slots=True)
class Target:
    """The limit that a figure should reach."""

    limit: float
    #: Whether the limit is a minimum; otherwise it is a maximum.
    at_least: bool = False

    def holds(self, value: float) -> bool:
        """Whether a value reaches the target."""
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report."""

    what: str
    #: Ratios, or the quantity itself if the target is a quantity; None if it was not measured.
    measured: Sample | None
    #: `×` for a ratio; otherwise the quantity's unit.
    unit: str
    target: Target | None = None
    #: The peer, and the conditions of the comparison.
    peer: str = ""
    ours: Sample | None = None
    theirs: Sample | None = None
    #: The unit of the two sides.
    side_unit: str = ""
    #: Why there is no measurement.
    missing: str = ""
    #: The time of the measurement, if it differs from that of the other rows.
    taken_at: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def holds(self) -> bool | None:
        """Whether the median reaches the target; None without either."""
        if self.measured is None or self.target is None:
            return None
        return self.target.holds(self.measured.median)


@dataclass(frozen=True, slots=True)
class Curve:
    """Throughput as a function of one quantity, for several programs."""

    name: str
    title: str
    along: str
    #: The points of each program, with their requests per second.
    series: dict[str, list[tuple[float, Sample]]] = field(default_factory=dict)


def ratio_row(
    what: str,
    pairs: Pairs,
    *,
    peer: str,
    side_unit: str,
    target: Target | None = None,
    speedup: bool = False,
    **facts: Any,
) -> Row:
    """Return the row of a ratio to a peer; with `speedup`, of how much faster ours is."""
    return Row(
        what=what,
        measured=pairs.speedups if speedup else pairs.ratios,
        unit="×",
        target=target,
        peer=peer,
        ours=pairs.ours,
        theirs=pairs.peer,
        side_unit=side_unit,
        facts=facts,
    )


def sample(values: Sequence[float]) -> Sample:
    """Return the values as a sample.

    Raises:
        MeasurementError: There are no values.
    """
    if not values:
        raise MeasurementError("nothing was measured")
    return Sample(tuple(values))

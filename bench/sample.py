"""What is measured: samples of two sides taken in turns, and rows of the report made of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


class NotMeasured(Exception):  # noqa: N818 - a result like others: the report says so
    """A figure could not be taken here; the message says why."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Repeated measurements of one thing, in the order in which they were taken."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The value in the middle."""
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the greatest value."""
        return min(self.values), max(self.values)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Two sides, measured in turns; of each pair the second was measured just after the first."""

    ours: Sample
    peer: Sample

    @property
    def ratios(self) -> Sample:
        """Ours divided by the peer's, pair by pair: what slows the machine slows both."""
        both = zip(self.ours.values, self.peer.values, strict=True)
        return Sample(tuple(mine / theirs for mine, theirs in both))

    @property
    def speedups(self) -> Sample:
        """How many times faster ours is, where the two sides are times."""
        return Sample(tuple(1 / ratio for ratio in self.ratios.values))


def in_turns(pairs: int, ours: Callable[[], float], peer: Callable[[], float]) -> Pairs:
    """Measure A B A B …; which side goes first makes no difference over several pairs."""
    taken = [(ours(), peer()) for _ in range(pairs)]
    return Pairs(Sample(tuple(a for a, _ in taken)), Sample(tuple(b for _, b in taken)))


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure should reach."""

    limit: float
    #: Whether more is better; otherwise the limit is the most allowed.
    at_least: bool = False

    def holds(self, value: float) -> bool:
        """Whether a value reaches it."""
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report."""

    what: str
    #: Ratios, or the quantity itself where the target is one; None when it was not measured.
    measured: Sample | None
    #: `×` for a ratio, else the quantity's unit.
    unit: str
    target: Target | None = None
    #: What it was measured against, and where.
    peer: str = ""
    ours: Sample | None = None
    theirs: Sample | None = None
    #: The unit of the two sides.
    side_unit: str = ""
    #: Why there is no measurement.
    missing: str = ""
    #: When it was measured, where that is not when the others were.
    apart: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def holds(self) -> bool | None:
        """Whether the median reaches the target; None without either."""
        if self.measured is None or self.target is None:
            return None
        return self.target.holds(self.measured.median)


@dataclass(frozen=True, slots=True)
class Curve:
    """Throughput against one quantity, for several programs."""

    name: str
    title: str
    along: str
    #: By program: the points, each with the requests a second.
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
    """Return the row of a ratio against a peer; `speedup` of times says how much faster."""
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
        NotMeasured: There is none.
    """
    if not values:
        raise NotMeasured("nothing was measured")
    return Sample(tuple(values))

"""The last day in two small plots a kind, as shapes for the template; all lengths in SVG units."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from connect_worker.domain.metrics import Durations, HourlyCompletions
from connect_worker.domain.states import RequestKind
from connect_worker.operations.formatting import span

WIDTH: Final = 290
HEIGHT: Final = 112
LEFT, RIGHT, TOP, BOTTOM = 46, 4, 8, 18
_INSIDE: Final = HEIGHT - TOP - BOTTOM

#: Where an axis of times may have a line, in seconds.
_TIMES: Final = (0.001, 0.01, 0.1, 1, 10, 60, 600, 3600, 6 * 3600, 86_400, 7 * 86_400)


@dataclass(frozen=True, slots=True)
class Bar:
    """One hour."""

    x: float
    y: float
    width: float
    height: float
    #: Says it in words.
    text: str
    #: The height at which the median is marked; None in a plot without medians.
    mark: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A line across, and what it stands for."""

    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot."""

    title: str
    bars: list[Bar]
    lines: list[Line]


@dataclass(frozen=True, slots=True)
class Day:
    """The last day of one kind."""

    settled: int
    median: str
    slowest: str
    throughput: Plot
    latency: Plot
    #: The same for those who can't see it: hour, settled, median, 95 %.
    table: list[tuple[str, str, str, str]]


def day_of(kind: RequestKind, hours: Sequence[HourlyCompletions]) -> Day:
    """Draw the hours of one kind; the last one still goes on."""
    counted = [hour.settled[kind] for hour in hours]
    names = [_name(hour.began) for hour in hours]
    whole = Durations.sum(counted)
    return Day(
        settled=whole.total,
        median=_told(whole.quantile(0.5)),
        slowest=_told(whole.quantile(0.95)),
        throughput=_throughput(names, counted),
        latency=_latency(names, counted),
        table=[
            (name, str(item.total), _told(item.quantile(0.5)), _told(item.quantile(0.95)))
            for name, item in zip(names, counted, strict=True)
            if item.total
        ],
    )


def _throughput(names: Sequence[str], counted: Sequence[Durations]) -> Plot:
    step = _round_step(max(item.total for item in counted))
    top = step * max(1, math.ceil(max(item.total for item in counted) / step))

    def height(number: float) -> float:
        return _INSIDE * number / top

    bars = [
        Bar(
            x,
            TOP + _INSIDE - height(item.total),
            width,
            height(item.total),
            f"{name}: {item.total}",
        )
        for (x, width), name, item in zip(_columns(len(counted)), names, counted, strict=True)
        if item.total
    ]
    lines = [
        Line(TOP + _INSIDE - height(number), f"{number:,}") for number in range(0, top + 1, step)
    ]
    return Plot("Settled per hour", bars, lines)


def _latency(names: Sequence[str], counted: Sequence[Durations]) -> Plot:
    ranges = [(item.quantile(0.5) or 0.0, item.quantile(0.95) or 0.0) for item in counted]
    seen = [seconds for pair in ranges for seconds in pair if seconds]
    low, high = _axis(min(seen, default=1.0), max(seen, default=1.0))

    def y(seconds: float) -> float:
        place = (math.log(max(seconds, low)) - math.log(low)) / (math.log(high) - math.log(low))
        return TOP + _INSIDE * (1 - place)

    bars = []
    columns = zip(_columns(len(counted)), names, counted, ranges, strict=True)
    for (x, width), name, item, (median, slow) in columns:
        if item.total:
            text = f"{name}: half within {_told(median)}, 95 % within {_told(slow)}"
            bars.append(Bar(x, y(slow), width, max(2.0, y(median) - y(slow)), text, y(median)))
    lines = [Line(y(seconds), _axis_text(seconds)) for seconds in _TIMES if low <= seconds <= high]
    return Plot("Half (line) and 95 % (top) within", bars, lines)


def _columns(number: int) -> Iterator[tuple[float, float]]:
    """Give each hour's left edge and width."""
    each = (WIDTH - LEFT - RIGHT) / number
    for position in range(number):
        yield round(LEFT + each * position + each * 0.14, 2), round(each * 0.72, 2)


def _round_step(most: int) -> int:
    """Return a round number of which at most four reach the top."""
    step, factors = 1, (2, 2.5, 2)
    turn = 0
    while step * 4 < most:
        step = int(step * factors[turn % 3])
        turn += 1
    return step


def _axis(low: float, high: float) -> tuple[float, float]:
    """Return the marks between which all lies."""
    below = max((mark for mark in _TIMES[:-1] if mark <= low), default=_TIMES[0])
    above = min((mark for mark in _TIMES if mark >= high and mark > below), default=_TIMES[-1])
    return below, above


def _axis_text(seconds: float) -> str:
    return f"{seconds * 1000:g} ms" if seconds < 1 else _AXIS_NAMES.get(seconds, f"{seconds:g} s")


_AXIS_NAMES: Final[Mapping[float, str]] = {
    60: "1 min",
    600: "10 min",
    3600: "1 h",
    6 * 3600: "6 h",
    86_400: "1 d",
    7 * 86_400: "7 d",
}


def _told(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else span(seconds)


def _name(began: float) -> str:
    return datetime.fromtimestamp(began, UTC).strftime("%d %b %H:00")

"""The last day of a kind in two small charts, as shapes for the template; lengths in SVG units."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from connect_worker.domain.metrics import Durations, HourlyCompletions
from connect_worker.domain.states import RequestKind
from connect_worker.observability.output import format_duration

WIDTH: Final = 290
HEIGHT: Final = 112
LEFT, RIGHT, TOP, BOTTOM = 46, 4, 8, 18
_INNER_HEIGHT: Final = HEIGHT - TOP - BOTTOM

#: Where an axis of durations may have a line, in seconds.
_TICKS: Final = (0.001, 0.01, 0.1, 1, 10, 60, 600, 3600, 6 * 3600, 86_400, 7 * 86_400)


@dataclass(frozen=True, slots=True)
class Bar:
    """One hour."""

    x: float
    y: float
    width: float
    height: float
    #: The same in words.
    text: str
    #: The height of the median's mark; None in a chart without medians.
    mark: float | None = None


@dataclass(frozen=True, slots=True)
class GridLine:
    """A line across the chart, with its label."""

    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart."""

    title: str
    bars: list[Bar]
    lines: list[GridLine]


@dataclass(frozen=True, slots=True)
class LastDay:
    """The cycles of one kind that were completed within the last day."""

    completed: int
    median: str
    slowest: str
    throughput: Chart
    latency: Chart
    #: The same for people who can't see the charts: hour, completed, median, 95 %.
    table: list[tuple[str, str, str, str]]


def last_day(kind: RequestKind, hours: Sequence[HourlyCompletions]) -> LastDay:
    """Return the charts of one kind; the last hour is the current one."""
    durations = [hour.completed[kind] for hour in hours]
    names = [_hour_name(hour.began) for hour in hours]
    whole_day = Durations.sum(durations)
    return LastDay(
        completed=whole_day.total,
        median=_duration_text(whole_day.quantile(0.5)),
        slowest=_duration_text(whole_day.quantile(0.95)),
        throughput=_throughput(names, durations),
        latency=_latency(names, durations),
        table=[
            (
                name,
                str(item.total),
                _duration_text(item.quantile(0.5)),
                _duration_text(item.quantile(0.95)),
            )
            for name, item in zip(names, durations, strict=True)
            if item.total
        ],
    )


def _throughput(names: Sequence[str], durations: Sequence[Durations]) -> Chart:
    most = max(item.total for item in durations)
    step = _round_step(most)
    top = step * max(1, math.ceil(most / step))

    def height(number: float) -> float:
        return _INNER_HEIGHT * number / top

    bars = [
        Bar(
            x,
            TOP + _INNER_HEIGHT - height(item.total),
            width,
            height(item.total),
            f"{name}: {item.total}",
        )
        for (x, width), name, item in zip(_columns(len(durations)), names, durations, strict=True)
        if item.total
    ]
    lines = [
        GridLine(TOP + _INNER_HEIGHT - height(number), f"{number:,}")
        for number in range(0, top + 1, step)
    ]
    return Chart("Completed per hour", bars, lines)


def _latency(names: Sequence[str], durations: Sequence[Durations]) -> Chart:
    ranges = [(item.quantile(0.5) or 0.0, item.quantile(0.95) or 0.0) for item in durations]
    positive = [seconds for pair in ranges for seconds in pair if seconds]
    low, high = _axis(min(positive, default=1.0), max(positive, default=1.0))

    def y(seconds: float) -> float:
        share = (math.log(max(seconds, low)) - math.log(low)) / (math.log(high) - math.log(low))
        return TOP + _INNER_HEIGHT * (1 - share)

    bars = []
    columns = zip(_columns(len(durations)), names, durations, ranges, strict=True)
    for (x, width), name, item, (median, slow) in columns:
        if item.total:
            text = (
                f"{name}: half within {_duration_text(median)}, 95 % within {_duration_text(slow)}"
            )
            bars.append(Bar(x, y(slow), width, max(2.0, y(median) - y(slow)), text, y(median)))
    lines = [
        GridLine(y(seconds), _tick_text(seconds)) for seconds in _TICKS if low <= seconds <= high
    ]
    return Chart("Half (line) and 95 % (top) within", bars, lines)


def _columns(number: int) -> Iterator[tuple[float, float]]:
    """Yield the left edge and the width of each hour."""
    each = (WIDTH - LEFT - RIGHT) / number
    for position in range(number):
        yield round(LEFT + each * position + each * 0.14, 2), round(each * 0.72, 2)


def _round_step(most: int) -> int:
    """Return a round number of which at most four reach the top."""
    step, factors = 1, (2, 2.5, 2)
    index = 0
    while step * 4 < most:
        step = int(step * factors[index % 3])
        index += 1
    return step


def _axis(low: float, high: float) -> tuple[float, float]:
    """Return the nearest ticks below and above a range."""
    below = max((tick for tick in _TICKS[:-1] if tick <= low), default=_TICKS[0])
    above = min((tick for tick in _TICKS if tick >= high and tick > below), default=_TICKS[-1])
    return below, above


def _tick_text(seconds: float) -> str:
    return f"{seconds * 1000:g} ms" if seconds < 1 else _TICK_TEXTS.get(seconds, f"{seconds:g} s")


_TICK_TEXTS: Final[Mapping[float, str]] = {
    60: "1 min",
    600: "10 min",
    3600: "1 h",
    6 * 3600: "6 h",
    86_400: "1 d",
    7 * 86_400: "7 d",
}


def _duration_text(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else format_duration(seconds)


def _hour_name(began: float) -> str:
    return datetime.fromtimestamp(began, UTC).strftime("%d %b %H:00")

"""What the demo shows: a table for a terminal, a line for a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from connect_worker.devtools.stack import RunningStack
from connect_worker.devtools.verdict import Tally
from connect_worker.domain.states import State
from connect_worker.operations.status import OPEN_STATES

# How long the demo has run, and how fast it settles requests.


class Pace:
    """Follows a count over time.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._first_seen: float | None = None
        self._last_seen: float | None = None
        self._settled = 0

    def note(self, *, settled: int, active: int) -> None:
        """Take note of how many are settled by now, and how many are being worked on."""
        now = self._clock()
        if self._first_seen is None and (settled or active):
            self._first_seen = now
        if active or settled != self._settled:
            self._last_seen = now
        self._settled = settled

    @property
    def elapsed_seconds(self) -> float:
        """The time since the start."""
        return self._clock() - self._began

    @property
    def worked_seconds(self) -> float:
        """The time from the start to the last sight of work."""
        return (self._last_seen or self._began) - self._began

    @property
    def per_second(self) -> float:
        """How many were settled a second, from the first sight of work to the last."""
        if self._first_seen is None or self._last_seen is None:
            return 0.0
        seconds = self._last_seen - self._first_seen
        return self._settled / seconds if seconds > 0 else 0.0


#: States that are always shown; the others when a request is in them.
SHOWN_STATES = (State.QUEUED, State.RUNNING, State.RETRY, State.PARKED)
STYLES = {State.RUNNING: "cyan", State.RETRY: "yellow", State.PARKED: "bold red"}

#: From so many columns on there is room for sums beside the outcomes.
WIDE = 100

_COLOURS: Mapping[str, str] = {
    "approved": "green",
    "submitted": "green",
    "accepted": "green",
    "reported": "green",
    "inquired": "yellow",
    "failed": "red",
    "rejected": "red",
}


@dataclass(frozen=True, slots=True)
class Scene:
    """All that is shown at one moment."""

    tally: Tally
    stage: RunningStack
    directory: Path
    pace: Pace
    #: Names of the workers that are gone.
    lost: tuple[str, ...] = ()
    is_stopping: bool = False

    @property
    def hint(self) -> str:
        """One sentence: what the user can do, or what is being done."""
        if self.is_stopping:
            return "Stopping …"
        if self.lost:
            return f"Gone: {', '.join(self.lost)}. The others go on; Ctrl-C stops everything."
        if self.tally.is_quiet:
            return "Nothing is left to do. Ctrl-C stops everything."
        return "Ctrl-C stops everything."

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the table to the width there is."""
        wide = options.max_width >= WIDE
        yield Group(
            Text(),
            _progress(self, options.max_width),
            Text(),
            _table(self.tally, wide=wide),
            Text(),
            _places(self),
            Text(),
            Text(self.hint, style="bold" if self.lost or self.tally.is_quiet else ""),
        )


def plain(scene: Scene) -> str:
    """Return one line for where there is no terminal."""
    total = scene.tally.total
    return (
        f"{_seconds(scene):6.1f} s  "
        + "".join(f"{state} {total[state]}  " for state in SHOWN_STATES)
        + f"ended {total.ended}  to do {scene.tally.left}  ({scene.pace.per_second:.1f} a second)"
    )


def _seconds(scene: Scene) -> float:
    pace = scene.pace
    return pace.worked_seconds if scene.tally.is_quiet else pace.elapsed_seconds


def _progress(scene: Scene, width: int) -> RenderableType:
    done, left = scene.tally.total.ended, scene.tally.left
    grid = Table.grid(padding=(0, 3, 0, 0))
    grid.add_row(
        ProgressBar(
            total=max(1, done + left),
            completed=done,
            width=max(10, width - 52),
            complete_style="green",
            finished_style="bold green",
        ),
        Text.assemble((str(done), "bold"), f" of {done + left} resolved"),
        f"{_seconds(scene):.1f} s",
        f"{scene.pace.per_second:.1f}/s",
    )
    return grid


def _table(tally: Tally, *, wide: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 3 if wide else 0, 0, 0))
    table.add_column("Kind", style="bold", no_wrap=True)
    total = tally.total
    states = [state for state in OPEN_STATES if state in SHOWN_STATES or total[state]]
    names = [state.capitalize() for state in states] + ["Ended"] * wide
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    # As wide as three outcomes of a usual demo: the table keeps its shape while it fills.
    table.add_column("Outcomes" if wide else "Ended", min_width=36)
    for kind, row in tally.rows.items():
        cells = [_count(row[state], STYLES.get(state, "")) for state in states]
        cells += [_count(row.ended)] * wide
        table.add_row(str(kind), *cells, _outcomes(row.outcomes))
    return table


def _count(count: int, style: str = "") -> Text:
    return Text(str(count), style=style) if count else Text("·", style="dim")


def _outcomes(outcomes: Mapping[str, int]) -> Text:
    parts = [
        Text.assemble((name, _COLOURS.get(name, "")), f" {count}")
        for name, count in sorted(outcomes.items())
    ]
    return Text("  ").join(parts)


def _places(scene: Scene) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("Flower", scene.stage.flower_url)
    grid.add_row("Sandbox", f"{scene.stage.ready.url}/sandbox/report")
    grid.add_row("Logs", str(scene.directory))
    return grid

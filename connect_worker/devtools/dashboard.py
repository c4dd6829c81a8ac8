"""What `demo` and `dev` show: a live table in a terminal, lines elsewhere, and one merged log."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from connect_worker.devtools.processes import Child
from connect_worker.devtools.verdict import DemoProgress
from connect_worker.domain.states import State
from connect_worker.observability.masking import mask_secrets
from connect_worker.observability.output import escape
from connect_worker.operations.status import KindCounts


class Throughput:
    """How long the demo has run, and how many requests it completes per second.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._first_activity: float | None = None
        self._last_activity: float | None = None
        self._completed = 0

    def record(self, *, completed: int, active: int) -> None:
        """Record how many requests are completed by now, and how many are in progress."""
        now = self._clock()
        if self._first_activity is None and (completed or active):
            self._first_activity = now
        if active or completed != self._completed:
            self._last_activity = now
        self._completed = completed

    @property
    def elapsed_seconds(self) -> float:
        """The time since the start."""
        return self._clock() - self._started

    @property
    def worked_seconds(self) -> float:
        """The time from the start to the last activity."""
        return (self._last_activity or self._started) - self._started

    @property
    def per_second(self) -> float:
        """Completed requests per second, from the first activity to the last."""
        if self._first_activity is None or self._last_activity is None:
            return 0.0
        seconds = self._last_activity - self._first_activity
        return self._completed / seconds if seconds > 0 else 0.0


#: A terminal this wide gets two more columns: completed requests, and outcomes.
WIDE = 100

_OUTCOME_STYLES: Mapping[str, str] = {
    "approved": "green",
    "submitted": "green",
    "accepted": "green",
    "reported": "green",
    "inquired": "yellow",
    "failed": "red",
    "rejected": "red",
}
_COUNTS: Mapping[str, Callable[[KindCounts], int]] = {
    "Queued": lambda row: row[State.QUEUED],
    "Running": lambda row: row[State.RUNNING],
    "Retry": lambda row: row[State.RETRY],
    "Snoozed": lambda row: row[State.SNOOZED],
    "Parked": lambda row: row.parked,
    "Completed": lambda row: row[State.COMPLETED],
}
_COUNT_STYLES = {"Running": "cyan", "Retry": "yellow", "Snoozed": "blue", "Parked": "bold red"}


@dataclass(frozen=True, slots=True)
class Dashboard:
    """All that the demo shows at one moment."""

    progress: DemoProgress
    throughput: Throughput
    #: Places where the user can see more, by name.
    addresses: Mapping[str, str]
    #: Names of the workers that ended by themselves.
    ended_workers: tuple[str, ...] = ()
    is_stopping: bool = False

    @property
    def hint(self) -> str:
        """One sentence: what the user can do, or what happens now."""
        if self.is_stopping:
            return "Stopping …"
        if self.ended_workers:
            names = ", ".join(self.ended_workers)
            return f"Ended: {names}. The other workers continue; Ctrl-C stops everything."
        if self.progress.is_idle:
            return "Nothing is left to do. Ctrl-C stops everything."
        return "Ctrl-C stops everything."

    @property
    def line(self) -> str:
        """The same in one line, for a log."""
        total = self.progress.total
        return (
            f"{self.seconds:6.1f} s  queued {total[State.QUEUED]}  running {total[State.RUNNING]}  "
            f"retry {total[State.RETRY]}  snoozed {total[State.SNOOZED]}  parked {total.parked}  "
            f"completed {total[State.COMPLETED]}  open {self.progress.open_count}  "
            f"({self.throughput.per_second:.1f} per second)"
        )

    @property
    def seconds(self) -> float:
        """The time that is shown; it stands still when nothing is left to do."""
        idle = self.progress.is_idle
        return self.throughput.worked_seconds if idle else self.throughput.elapsed_seconds

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the table to the width of the terminal."""
        yield Group(
            Text(),
            _progress_bar(self, options.max_width),
            Text(),
            _table(self.progress, wide=options.max_width >= WIDE),
            Text(),
            _addresses(self),
            Text(),
            Text(self.hint, style="bold" if self.ended_workers or self.progress.is_idle else ""),
        )


def _progress_bar(dashboard: Dashboard, width: int) -> RenderableType:
    completed = dashboard.progress.total[State.COMPLETED]
    total = completed + dashboard.progress.open_count
    grid = Table.grid(padding=(0, 3, 0, 0))
    grid.add_row(
        ProgressBar(
            total=max(1, total),
            completed=completed,
            width=max(10, width - 54),
            complete_style="green",
            finished_style="bold green",
        ),
        Text.assemble((str(completed), "bold"), f" of {total} completed"),
        f"{dashboard.seconds:.1f} s",
        f"{dashboard.throughput.per_second:.1f}/s",
    )
    return grid


def _table(progress: DemoProgress, *, wide: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 3 if wide else 0, 0, 0))
    table.add_column("Kind", style="bold", no_wrap=True)
    hidden = set() if wide else {"Completed"}
    if not progress.total[State.SNOOZED]:
        hidden.add("Snoozed")
    names = [name for name in _COUNTS if name not in hidden]
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    # As wide as three outcomes: the table keeps its shape while it fills.
    table.add_column("Outcomes" if wide else "Completed", min_width=36)
    for kind, row in progress.rows.items():
        table.add_row(str(kind), *(_count(name, row) for name in names), _outcomes(row.outcomes))
    return table


def _count(name: str, row: KindCounts) -> Text:
    count = _COUNTS[name](row)
    if not count:
        return Text("·", style="dim")
    return Text(str(count), style=_COUNT_STYLES.get(name, ""))


def _outcomes(outcomes: Mapping[str, int]) -> Text:
    parts = [
        Text.assemble((name, _OUTCOME_STYLES.get(name, "")), f" {count}")
        for name, count in sorted(outcomes.items())
    ]
    return Text("  ").join(parts)


def _addresses(dashboard: Dashboard) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, address in dashboard.addresses.items():
        grid.add_row(name, address)
    return grid


#: Between two lines where there is no terminal.
LINE_SECONDS = 3.0


class Screen:
    """Shows the dashboard while the block runs, and leaves the terminal as it was.

    A terminal has one table that is redrawn in place. Where there is no terminal, a line is
    written every few seconds.

    Args:
        console: Where to show it.
        is_transient: Whether the table disappears at the end of the block.
    """

    def __init__(self, console: Console, *, is_transient: bool) -> None:
        self._console = console
        # No refresh by a thread: the main thread draws, handles signals and starts processes.
        self._live = (
            Live(console=console, auto_refresh=False, transient=is_transient)
            if console.is_interactive and console.file.isatty()
            else None
        )
        self._dashboard: Dashboard | None = None
        self._next_line = 0.0

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        """Show a sentence."""
        if self._live:
            self._live.update(Text(text), refresh=True)
        else:
            self._write(text)

    def show(self, dashboard: Dashboard) -> None:
        """Show the dashboard; where there is no terminal, a line every few seconds."""
        self._dashboard = dashboard
        if self._live:
            self._live.update(dashboard, refresh=True)
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LINE_SECONDS
            self._write(dashboard.line)

    def say_stopping(self) -> None:
        """Show the last state, and that the processes are being stopped."""
        if self._live and self._dashboard:
            self._live.update(replace(self._dashboard, is_stopping=True), refresh=True)
            return
        if self._dashboard:
            self._write(self._dashboard.line)
        self.say("Stopping …")

    def _write(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)


_ROLE_STYLES = {
    "redis": "red",
    "sandbox": "magenta",
    "beat": "blue",
    "worker": "green",
    "dev": "bold cyan",
}
#: By the text that log lines of these levels contain.
_LEVEL_STYLES = {" ERROR ": "bold red", " CRITICAL ": "bold red", " WARNING ": "yellow"}
#: What a worker logs every second or two while it has no jobs, and of each message.
_ROUTINE = re.compile(
    r" celery\.worker\.strategy "
    r"| Task (poll|sweep)\[[^\[\]]*\] succeeded "
    r"| poll\.completed kind=\S+ seen=\d+ new=0$"
)
_ROLE_WIDTH = max(map(len, _ROLE_STYLES))


@dataclass(slots=True)
class _Tail:
    """A log file, and how far it was read."""

    path: Path
    offset: int = 0
    rest: bytes = b""

    def lines(self) -> list[str]:
        """Return the lines that were completed since the last call."""
        with self.path.open("rb") as log:
            log.seek(self.offset)
            new = log.read()
        self.offset += len(new)
        *complete, self.rest = (self.rest + new).split(b"\n")
        return [line.decode("utf-8", "replace").rstrip() for line in complete]


class MergedLog:
    """Shows the logs of several processes as one, each line prefixed with the name of its process.

    Args:
        console: Where to show them.
        with_routine: Whether to show polls and sweeps that find nothing, too.
    """

    def __init__(self, console: Console, *, with_routine: bool = False) -> None:
        self._console = console
        self._with_routine = with_routine
        self._tails: dict[int, _Tail] = {}

    def follow(self, children: Iterable[Child]) -> None:
        """Show what these processes have logged since the last call."""
        for child in children:
            tail = self._tails.setdefault(child.process.pid, _Tail(child.log))
            for line in tail.lines():
                if self._with_routine or not _ROUTINE.search(line):
                    self.say(child.role, line)

    def say(self, role: str, line: str) -> None:
        """Show one line, as one: what a processor prints may be meant for a terminal."""
        text = Text(f"{role:>{_ROLE_WIDTH}} │ ", style=_ROLE_STYLES.get(role, ""))
        style = next((style for level, style in _LEVEL_STYLES.items() if level in line), "default")
        text.append(escape(mask_secrets(line)), style=style)
        self._console.print(text, soft_wrap=True, highlight=False)

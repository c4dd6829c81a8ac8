"""``connect-worker status``: is it healthy, and what is stuck."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import click
from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from connect_worker.cli.broker import see_workers
from connect_worker.cli.context import Desk, Exit, at_desks, example
from connect_worker.devtools.processes import Interrupted, StopSignals
from connect_worker.domain.states import RequestKind
from connect_worker.exceptions import LedgerUnavailable
from connect_worker.operations.formatting import clean, moment, span
from connect_worker.operations.pauses import lines_of
from connect_worker.operations.status import StatusReport, Workers, read_status

# The board as a terminal shows it.

#: From so many columns on there is room for the outcomes of the day.
WIDE = 105

_COLUMNS = ("Pending", "Running", "Retrying", "Waiting", "Parked")
_STYLES = {"Running": "cyan", "Retrying": "yellow", "Waiting": "blue", "Parked": "bold red"}


class BoardPicture:
    """A board, drawn to the width there is."""

    def __init__(self, board: StatusReport, *, footer: str = "") -> None:
        self._board = board
        self._footer = footer

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it."""
        board = self._board
        parts: list[Table | Text | Padding] = [
            _table(board, wide=options.max_width >= WIDE),
            Text(),
            _facts(board),
        ]
        problems = board.problems()
        if problems:
            parts += [Text(), Text("Needs attention", style="bold red")]
            parts += [Padding(Text(problem), (0, 0, 0, 2)) for problem in problems]
        else:
            parts += [Text(), Text("All is well.", style="bold green")]
        if self._footer:
            parts += [Text(), Text(self._footer, style="dim")]
        yield Group(*parts)


def _table(board: StatusReport, *, wide: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 2 if wide else 1, 0, 0))
    table.add_column("Kind", style="bold", no_wrap=True)
    for name in (*_COLUMNS, "Today", "Oldest", "Polled"):
        table.add_column(name, justify="right", no_wrap=True)
    if wide:
        table.add_column("Outcomes today", overflow="fold")
    for kind, row in board.rows.items():
        counts = [_count(getattr(row, name.lower()), _STYLES.get(name, "")) for name in _COLUMNS]
        outcomes = board.today[kind]
        more = [Text(clean(", ".join(f"{n} {c}" for n, c in sorted(outcomes.items()))))]
        table.add_row(
            kind.value,
            *counts,
            _count(sum(outcomes.values()), "green"),
            *_times(board, kind),
            *(more if wide else []),
        )
    return table


def _count(number: int, style: str) -> Text:
    return Text(str(number), style=style) if number else Text("·", style="dim")


def _times(board: StatusReport, kind: RequestKind) -> tuple[Text, Text]:
    oldest, poll = board.oldest[kind], board.polls.get(kind)
    waits = Text(span(board.at - oldest)) if oldest is not None else Text("·", style="dim")
    if poll is None:
        return waits, Text("never", style="yellow")
    if not board.is_covered(kind):
        return waits, Text("unused", style="dim")
    return waits, Text(span(board.at - poll.at), style="red" if poll.problem else "")


def _facts(board: StatusReport) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    style = "bold red" if board.is_paused else ""
    grid.add_row("Account", Text(board.account_line(), style=style))
    if board.max_calls_per_second:
        grid.add_row("Rate", f"{board.max_calls_per_second:g} calls a second at most")
    for line in lines_of(board.pauses, board.at):
        grid.add_row("Paused", Text(line, style="yellow"))
    if board.workers:
        names = ", ".join(map(clean, board.workers.names)) or "none seen"
        grid.add_row("Workers", Text(f"{len(board.workers.names)}: {names}" if names else names))
    return grid


LOOK_SECONDS = 2.0


@click.command(
    short_help="Show how the work stands, kind by kind.",
    epilog=example(
        "connect-worker status",
        "connect-worker status --check --json > /dev/null || page-somebody",
    ),
)
@click.option("--check", is_flag=True, help="Exit with 1 when something needs attention.")
@click.option(
    "--workers/--no-workers", "ask", default=True, help="Ask the workers too, which takes a second."
)
@click.option("--watch", is_flag=True, help="Go on, and draw it anew every two seconds.")
@at_desks
def status(desks: Sequence[Desk], *, check: bool, ask: bool, watch: bool) -> Exit:
    """Show how the work stands, kind by kind, and what needs attention.

    All but the workers is read from the ledger. "Today" begins at midnight, UTC.
    """
    if watch:
        if desks[0].as_json or check or not desks[0].console.is_terminal:
            raise click.UsageError("--watch is for a terminal, without --json and --check.")
        return _watch(desks, ask=ask)
    workers = see_workers() if ask else None
    boards = [replace(look(desk), workers=workers) for desk in desks]
    for desk, board in zip(desks, boards, strict=True):
        desk.answer(board.document(), _headed(desks, desk, BoardPicture(board)))
    is_sick = any(board.problems() for board in boards)
    return Exit.NEEDS_ATTENTION if check and is_sick else Exit.DONE


def _headed(desks: Sequence[Desk], desk: Desk, picture: RenderableType) -> RenderableType:
    """Put the account's name above its picture, where there are several."""
    if len(desks) == 1:
        return picture
    end = () if desk is desks[-1] else (Text(),)
    return Group(desk.head(), picture, *end)


def _watch(desks: Sequence[Desk], *, ask: bool) -> Exit:
    """Draw the board in place until Ctrl-C; the workers are asked for all the while."""
    seen: list[Workers] = []
    stopped = threading.Event()
    if ask:
        threading.Thread(target=_ask_on, args=(seen, stopped), daemon=True).start()
    with StopSignals() as signals, Live(console=desks[0].console, auto_refresh=False) as live:
        try:
            while True:
                workers = seen[-1] if seen else None
                drawn = (_headed(desks, desk, _draw(desk, workers)) for desk in desks)
                live.update(Group(*drawn), refresh=True)
                signals.wait(LOOK_SECONDS)
        except Interrupted:
            stopped.set()
    return Exit.DONE


def _ask_on(seen: list[Workers], stopped: threading.Event) -> None:
    while not stopped.is_set():
        seen[:] = [see_workers()]
        stopped.wait(LOOK_SECONDS)


def _draw(desk: Desk, workers: Workers | None) -> RenderableType:
    """Draw the board, or why there is none just now."""
    try:
        board = replace(look(desk), workers=workers)
    except LedgerUnavailable as error:
        return Text(clean(str(error)), style="bold red")
    return BoardPicture(board, footer=f"{moment(board.at)}  Ctrl-C ends this.")


def look(desk: Desk) -> StatusReport:
    """Read the board as the settings have it."""
    return read_status(
        desk.ledger,
        poll_seconds=desk.settings.poll_seconds,
        max_calls_per_second=desk.settings.max_calls_per_second,
    )

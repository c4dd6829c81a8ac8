"""The board as a terminal shows it."""

from __future__ import annotations

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from connect_worker.desk.board import Board
from connect_worker.desk.pauses import lines_of
from connect_worker.desk.words import clean, span
from connect_worker.processing.states import Kind

#: From so many columns on there is room for the outcomes of the day.
WIDE = 105

_COLUMNS = ("Pending", "Running", "Retrying", "Waiting", "Parked")
_STYLES = {"Running": "cyan", "Retrying": "yellow", "Waiting": "blue", "Parked": "bold red"}


class BoardPicture:
    """A board, drawn to the width there is."""

    def __init__(self, board: Board, *, footer: str = "") -> None:
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


def _table(board: Board, *, wide: bool) -> Table:
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


def _times(board: Board, kind: Kind) -> tuple[Text, Text]:
    oldest, poll = board.oldest[kind], board.polls.get(kind)
    waits = Text(span(board.at - oldest)) if oldest is not None else Text("·", style="dim")
    if poll is None:
        return waits, Text("never", style="yellow")
    if not board.is_covered(kind):
        return waits, Text("unused", style="dim")
    return waits, Text(span(board.at - poll.at), style="red" if poll.problem else "")


def _facts(board: Board) -> Table:
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

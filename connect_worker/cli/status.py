"""``connect-worker status``: is it healthy, and what is stuck."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from connect_worker.cli.board_picture import BoardPicture
from connect_worker.cli.broker import see_workers
from connect_worker.cli.desk import Desk, Exit, at_desks, example
from connect_worker.cli.signals import Interrupted, StopSignals
from connect_worker.desk.board import Board, Workers, read_board
from connect_worker.desk.words import clean, moment
from connect_worker.exceptions import LedgerUnavailable

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


def look(desk: Desk) -> Board:
    """Read the board as the settings have it."""
    return read_board(
        desk.ledger,
        poll_seconds=desk.settings.poll_seconds,
        max_calls_per_second=desk.settings.max_calls_per_second,
    )

"""``connect-worker status``: is it healthy, and what is stuck."""

from __future__ import annotations

from dataclasses import replace

import click

from connect_worker.cli.board import Board, read_board
from connect_worker.cli.board_picture import BoardPicture
from connect_worker.cli.broker import see_workers
from connect_worker.cli.desk import Desk, Exit, at_desk, example


@click.command(
    epilog=example(
        "connect-worker status",
        "connect-worker status --check --json > /dev/null || page-somebody",
    )
)
@click.option("--check", is_flag=True, help="Exit with 1 when something needs attention.")
@click.option(
    "--workers/--no-workers", "ask", default=True, help="Ask the workers too, which takes a second."
)
@at_desk
def status(desk: Desk, *, check: bool, ask: bool) -> Exit:
    """Show how the work stands, kind by kind, and what needs attention.

    All but the workers is read from the ledger. "Today" begins at midnight, UTC.
    """
    board = look(desk)
    if ask:
        board = replace(board, workers=see_workers())
    desk.answer(board.document(), BoardPicture(board))
    return Exit.NEEDS_ATTENTION if check and board.problems() else Exit.DONE


def look(desk: Desk) -> Board:
    """Read the board as the settings have it."""
    return read_board(
        desk.ledger,
        poll_seconds=desk.settings.poll_seconds,
        max_calls_per_second=desk.settings.max_calls_per_second,
    )

"""``connect-worker list``: the requests that the ledger knows, by what they have in common."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

import click
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from connect_worker.cli.choice import STATE, filters, states_of
from connect_worker.cli.desk import Desk, at_desk, example
from connect_worker.cli.styles import STYLES
from connect_worker.desk.choice import Choice
from connect_worker.desk.documents import row_of
from connect_worker.desk.words import clean, span
from connect_worker.processing.states import Entry, Kind

#: From so many columns on there is room for the product and the attempt.
WIDE = 100

_STATES = f"One of {', '.join(STATE.choices)}; may be given again.  [default: open]"


@click.command(
    "list",
    epilog=example(
        "connect-worker list --state parked --kind fulfillment",
        "connect-worker list --state parked --json | jq -r '.requests[].id'",
    ),
)
@click.option("--state", "words", type=STATE, multiple=True, metavar="STATE", help=_STATES)
@filters
@click.option("--id", "prefix", default="", metavar="PREFIX", help="Only ids that begin so.")
@click.option("--limit", type=click.IntRange(min=0), default=50, show_default=True)
@at_desk
def list_requests(
    desk: Desk,
    *,
    words: tuple[str, ...],
    kind: str | None,
    product: str,
    error: str,
    prefix: str,
    limit: int,
) -> None:
    """List requests, those that wait longest first.

    Without --state: all that have not ended, parked ones included. Ended requests are remembered
    for CONNECT_KEEP_DAYS.
    """
    choice = Choice(Kind(kind) if kind else None, states_of(words), product, prefix, error)
    counted = Counted(choice.of(desk.ledger))
    entries = heapq.nsmallest(limit, counted, key=lambda one: (one.first_seen, one.ref.id))
    document = {"total": counted.total, "requests": [row_of(entry) for entry in entries]}
    now = desk.ledger.now()
    desk.answer(document, _picture(entries, counted.total, now, desk.console.width))


class Counted:
    """Passes entries on, and knows how many they were."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = entries
        self.total = 0

    def __iter__(self) -> Iterator[Entry]:
        for entry in self._entries:
            self.total += 1
            yield entry


def _picture(entries: list[Entry], total: int, now: float, width: int) -> RenderableType:
    if not total:
        return Text("No such requests.")
    more = f"{len(entries)} of {total}: --limit {total} shows all." if len(entries) < total else ""
    if not entries:
        return Text(more)
    table = table_of(entries, now, wide=width >= WIDE)
    return Group(table, Text(more)) if more else table


def _why(entry: Entry) -> str:
    held = f"paused by a person ({entry.held_by})" if entry.held_by else ""
    return clean(held or entry.outcome or entry.error)


def table_of(entries: list[Entry], now: float, *, wide: bool) -> Table:
    """Draw requests, one a line."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("Request", style="bold", no_wrap=True)
    table.add_column("State", no_wrap=True)
    table.add_column("Age", justify="right", no_wrap=True)
    if wide:
        table.add_column("Product", no_wrap=True)
        table.add_column("Attempt", justify="right")
    table.add_column("Why")
    for entry in entries:
        more = [Text(clean(entry.product)), Text(str(entry.attempt or ""))] if wide else []
        table.add_row(
            Text(clean(entry.ref.id)),
            Text(entry.state, style=STYLES[entry.state]),
            span(now - entry.first_seen),
            *more,
            # Its column gives way to the others, and it stays one line.
            Text(_why(entry), no_wrap=True, overflow="ellipsis"),
        )
    return table

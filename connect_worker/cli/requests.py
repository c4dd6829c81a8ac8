"""``connect-worker list``: the requests that the ledger knows, by what they have in common."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator

import click
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from connect_worker.cli.context import STYLES, Desk, Exit, Refused, at_desk, example
from connect_worker.cli.options import STATE, filters, states_of
from connect_worker.domain.states import RequestKind, RequestRecord
from connect_worker.operations.actions import ACTIONS
from connect_worker.operations.filters import Choice, find
from connect_worker.operations.formatting import clean, moment, span
from connect_worker.operations.request_details import (
    decision_of,
    facts,
    row_of,
    story_of,
    timeline,
    without_values,
)

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
    choice = Choice(RequestKind(kind) if kind else None, states_of(words), product, prefix, error)
    counted = Counted(choice.of(desk.ledger))
    entries = heapq.nsmallest(limit, counted, key=lambda item: (item.first_seen, item.ref.id))
    document = {"total": counted.total, "requests": [row_of(entry) for entry in entries]}
    now = desk.ledger.now()
    desk.answer(document, _picture(entries, counted.total, now, desk.console.width))


class Counted:
    """Passes entries on, and knows how many they were."""

    def __init__(self, entries: Iterable[RequestRecord]) -> None:
        self._entries = entries
        self.total = 0

    def __iter__(self) -> Iterator[RequestRecord]:
        for entry in self._entries:
            self.total += 1
            yield entry


def _picture(entries: list[RequestRecord], total: int, now: float, width: int) -> RenderableType:
    if not total:
        return Text("No such requests.")
    more = f"{len(entries)} of {total}: --limit {total} shows all." if len(entries) < total else ""
    if not entries:
        return Text(more)
    table = table_of(entries, now, wide=width >= WIDE)
    return Group(table, Text(more)) if more else table


def _why(entry: RequestRecord) -> str:
    held = f"paused by a person ({entry.paused_by})" if entry.paused_by else ""
    return clean(held or entry.outcome or entry.error)


def table_of(entries: list[RequestRecord], now: float, *, wide: bool) -> Table:
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


# ``connect-worker show``: the whole story of one request.


@click.command(
    short_help="Tell the whole story of one request.",
    epilog=example("connect-worker show PR-5852-1608-0000"),
)
@click.argument("request_id", metavar="REQUEST")
@at_desk
def show(desk: Desk, *, request_id: str) -> None:
    """Tell the whole story of one request: its cycle, attempts, decision, error and timeline."""
    entries = find(desk.ledger, request_id)
    if not entries:
        raise Refused(
            f"the ledger has no request {request_id}: no poll has seen it waiting, or it ended "
            f"more than {desk.settings.keep_days:g} days ago (CONNECT_KEEP_DAYS)",
            Exit.NOT_DONE,
        )
    now = desk.ledger.now()
    # Of a listing, the latest period; the others are named.
    document = story_of(entries[-1]) | {"other_periods": [entry.ref.id for entry in entries[:-1]]}
    desk.answer(document, _details_picture(entries[-1], entries[:-1], now))


def _details_picture(
    entry: RequestRecord, others: list[RequestRecord], now: float
) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in _told(entry, now):
        grid.add_row(name, Text(text))
    if others:
        grid.add_row("Other periods", Text(", ".join(clean(other.ref.id) for other in others)))
    heading = Text.assemble(
        (clean(entry.ref.id), "bold"), "  ", (entry.state.value, STYLES[entry.state])
    )
    parts: list[RenderableType] = [heading, Text(), Padding(grid, (0, 0, 0, 2))]
    if entry.history:
        parts += [Text(), Text("Timeline", style="bold"), Padding(_timeline(entry), (0, 0, 0, 2))]
    return Group(*parts)


def _told(entry: RequestRecord, now: float) -> Iterator[tuple[str, str]]:
    yield from facts(entry, now)
    if entry.decision is not None:
        yield "Decision", json.dumps(without_values(decision_of(entry)), ensure_ascii=False)
    if remedies := list(_remedies(entry)):
        yield "To do", "\n".join(remedies)


def _remedies(entry: RequestRecord) -> Iterator[str]:
    """Say what a person can do about it."""
    for act in ACTIONS.values():
        if not act.objection(entry):
            yield f"{act.name} {clean(entry.ref.id)}: {act.hint}"


def _timeline(entry: RequestRecord) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, justify="right", style="dim")
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold", style="dim")
    for item in timeline(entry):
        waited = "" if item.waited is None else f"+{span(item.waited)}"
        what = (
            Text(f"  {clean(item.step)}")
            if item.step
            else Text(item.state, style=STYLES[item.state])
        )
        grid.add_row(moment(item.at), waited, what, Text(clean(item.worker)))
    return grid

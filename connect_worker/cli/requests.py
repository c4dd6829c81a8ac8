"""``connect-worker list`` and ``show``: requests that the ledger knows, and one in detail."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from connect_worker.cli.context import (
    STATE,
    STYLES,
    CommandContext,
    CommandError,
    Exit,
    example,
    filter_options,
    ledger_command,
)
from connect_worker.domain.states import RequestKind, RequestRecord
from connect_worker.observability.output import format_duration, local_time, sanitize
from connect_worker.operations.actions import ACTIONS
from connect_worker.operations.requests import (
    RequestFilter,
    details_document,
    facts,
    find_by_id,
    first_matches,
    reason,
    states_named,
    stored_outcome,
    summary_document,
    timeline,
    without_values,
)

#: Terminals of this width have room for the product and the attempt.
WIDE = 100

_DEFAULT_WORDS = ("active", "parked")
_STATES = f"One of {', '.join(STATE.choices)}; may be repeated.  [default: active and parked]"


@click.command(
    "list",
    short_help="List requests by state, kind, product or error.",
    epilog=example(
        "connect-worker list --state parked --kind fulfillment",
        "connect-worker list --state parked --json | jq -r '.requests[].id'",
    ),
)
@click.option("--state", "words", type=STATE, multiple=True, metavar="STATE", help=_STATES)
@filter_options
@click.option("--id", "prefix", default="", metavar="PREFIX", help="Only ids that begin with it.")
@click.option("--limit", type=click.IntRange(min=0), default=50, show_default=True)
@ledger_command
def list_requests(
    context: CommandContext,
    *,
    words: tuple[str, ...],
    kind: str | None,
    product: str,
    error: str,
    prefix: str,
    limit: int,
) -> None:
    """List requests, oldest cycle first.

    Without --state: all requests whose cycle has not ended. `active` means not ended and not
    parked; `ended` means completed, superseded or discarded. The ledger keeps ended requests for
    CONNECT_KEEP_DAYS; inquired requests for 400 days, usage listings for 62.
    """
    states = frozenset().union(*(states_named(word) for word in words or _DEFAULT_WORDS))
    request_filter = RequestFilter(
        RequestKind(kind) if kind else None, states, product, prefix, error
    )
    records, total = first_matches(
        context.ledger,
        request_filter,
        key=lambda record: (record.first_seen, record.ref.id),
        limit=limit,
    )
    document = {"total": total, "requests": [summary_document(record) for record in records]}
    now = context.ledger.now()
    context.print_result(document, _render_list(records, total, now, context.console.width))


def _render_list(
    records: list[RequestRecord], total: int, now: float, width: int
) -> RenderableType:
    if not total:
        return Text("No such requests.")
    is_cut = len(records) < total
    more = f"{len(records)} of {total}: --limit {total} shows all." if is_cut else ""
    if not records:
        return Text(more)
    table = request_table(records, now, wide=width >= WIDE)
    return Group(table, Text(more)) if more else table


def request_table(records: list[RequestRecord], now: float, *, wide: bool) -> Table:
    """Return requests as a table, one row each."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("Request", style="bold", no_wrap=True)
    table.add_column("State", no_wrap=True)
    table.add_column("Age", justify="right", no_wrap=True)
    if wide:
        table.add_column("Product", no_wrap=True)
        table.add_column("Attempt", justify="right")
    table.add_column("Reason")
    for record in records:
        more = [Text(sanitize(record.product)), Text(str(record.attempt or ""))] if wide else []
        table.add_row(
            Text(sanitize(record.ref.id)),
            Text(record.state, style=STYLES[record.state]),
            # Of a corrupt record it may not be known.
            format_duration(now - record.first_seen) if record.first_seen else "",
            *more,
            # The last column shrinks first, and stays on one line.
            Text(reason(record), no_wrap=True, overflow="ellipsis"),
        )
    return table


# ---- one request


@click.command(
    short_help="Show one request in detail.",
    epilog=example("connect-worker show PR-5852-1608-0000"),
)
@click.argument("request_id", metavar="REQUEST")
@ledger_command
def show(context: CommandContext, *, request_id: str) -> None:
    """Show one request: its cycle, attempts, decision, error and timeline."""
    records = find_by_id(context.ledger, request_id)
    if not records:
        raise CommandError(
            f"the ledger has no request {request_id}: no poll has registered it, or its cycle "
            f"ended at least {context.settings.keep_days:g} days ago (CONNECT_KEEP_DAYS) and its "
            "record is deleted",
            Exit.NOT_DONE,
        )
    now = context.ledger.now()
    # Of a usage listing the latest period is shown; the others are named.
    *others, record = records
    document = details_document(record) | {"other_periods": [other.ref.id for other in others]}
    context.print_result(document, _render_details(record, others, now))


def _render_details(
    record: RequestRecord, others: list[RequestRecord], now: float
) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in _rows(record, now):
        grid.add_row(name, Text(text))
    if others:
        grid.add_row("Other periods", Text(", ".join(sanitize(other.ref.id) for other in others)))
    heading = Text.assemble(
        (sanitize(record.ref.id), "bold"), "  ", (record.state.value, STYLES[record.state])
    )
    parts: list[RenderableType] = [heading, Text(), Padding(grid, (0, 0, 0, 2))]
    if record.history:
        parts += [Text(), Text("Timeline", style="bold"), Padding(_timeline(record), (0, 0, 0, 2))]
    return Group(*parts)


def _rows(record: RequestRecord, now: float) -> Iterator[tuple[str, str]]:
    yield from facts(record, now)
    if record.decision is not None:
        yield "Decision", json.dumps(without_values(stored_outcome(record)), ensure_ascii=False)
    if remedies := list(_remedies(record)):
        yield "To do", "\n".join(remedies)


def _remedies(record: RequestRecord) -> Iterator[str]:
    for action in ACTIONS.values():
        if not action.why_not(record):
            yield f"{action.name} {sanitize(record.ref.id)}: {action.hint}"


def _timeline(record: RequestRecord) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, justify="right", style="dim")
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold", style="dim")
    for entry in timeline(record):
        waited = "" if entry.waited is None else f"+{format_duration(entry.waited)}"
        what = (
            Text(f"  {sanitize(entry.step)}")
            if entry.step
            else Text(entry.state, style=STYLES[entry.state])
        )
        grid.add_row(local_time(entry.at), waited, what, Text(sanitize(entry.worker)))
    return grid

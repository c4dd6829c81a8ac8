"""``connect-worker show``: the whole story of one request."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from connect_worker.cli.desk import Desk, Exit, Refused, at_desk, example
from connect_worker.cli.styles import STYLES
from connect_worker.desk.acts import ACTS
from connect_worker.desk.choice import find
from connect_worker.desk.documents import decision_of, story_of, without_values
from connect_worker.desk.story import facts
from connect_worker.desk.timeline import timeline
from connect_worker.desk.words import clean, moment, span
from connect_worker.processing.states import Entry


@click.command(
    short_help="Tell the whole story of one request.",
    epilog=example("connect-worker show PR-5852-1608-0000"),
)
@click.argument("request_id", metavar="REQUEST")
@at_desk
def show(desk: Desk, *, request_id: str) -> None:
    """Tell the whole story of one request: its visit, attempts, decision, error and timeline."""
    entries = find(desk.ledger, request_id)
    if not entries:
        raise Refused(
            f"the ledger has no request {request_id}: no poll has seen it waiting, or it ended "
            f"more than {desk.settings.keep_days:g} days ago (CONNECT_KEEP_DAYS)",
            Exit.NOT_DONE,
        )
    now = desk.ledger.now()
    # Of a listing, the latest period; the others are named.
    document = story_of(entries[-1]) | {"other_periods": [one.ref.id for one in entries[:-1]]}
    desk.answer(document, _picture(entries[-1], entries[:-1], now))


def _picture(entry: Entry, others: list[Entry], now: float) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in _told(entry, now):
        grid.add_row(name, Text(text))
    if others:
        grid.add_row("Other periods", Text(", ".join(clean(one.ref.id) for one in others)))
    heading = Text.assemble(
        (clean(entry.ref.id), "bold"), "  ", (entry.state.value, STYLES[entry.state])
    )
    parts: list[RenderableType] = [heading, Text(), Padding(grid, (0, 0, 0, 2))]
    if entry.history:
        parts += [Text(), Text("Timeline", style="bold"), Padding(_timeline(entry), (0, 0, 0, 2))]
    return Group(*parts)


def _told(entry: Entry, now: float) -> Iterator[tuple[str, str]]:
    yield from facts(entry, now)
    if entry.decision is not None:
        yield "Decision", json.dumps(without_values(decision_of(entry)), ensure_ascii=False)
    if remedies := list(_remedies(entry)):
        yield "To do", "\n".join(remedies)


def _remedies(entry: Entry) -> Iterator[str]:
    """Say what a person can do about it."""
    for act in ACTS.values():
        if not act.objection(entry):
            yield f"{act.name} {clean(entry.ref.id)}: {act.hint}"


def _timeline(entry: Entry) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, justify="right", style="dim")
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold", style="dim")
    for one in timeline(entry):
        waited = "" if one.waited is None else f"+{span(one.waited)}"
        what = (
            Text(f"  {clean(one.step)}") if one.step else Text(one.state, style=STYLES[one.state])
        )
        grid.add_row(moment(one.at), waited, what, Text(clean(one.worker)))
    return grid

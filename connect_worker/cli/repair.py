"""``rerun``, ``repost`` and ``discard``: a person's word about requests that are parked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import click
from rich.console import Console
from rich.progress import track

from connect_worker.cli.choice import Choice, filters, find
from connect_worker.cli.desk import Desk, Exit, at_desk, example
from connect_worker.cli.listing import table_of
from connect_worker.cli.words import clean
from connect_worker.processing.states import Entry, Kind, Ref, State

#: So many are shown before the question.
SHOWN = 10


@dataclass(frozen=True, slots=True)
class Act:
    """One of the three things that a person can have done."""

    name: str
    #: What it says of those it was done to.
    done: str
    change: Callable[[Desk, Ref], bool]
    states: frozenset[State] = frozenset({State.PARKED})
    #: Whether there must be a decision in the ledger.
    needs_decision: bool = False

    def objection(self, entry: Entry) -> str:
        """Return why it can't be done to this request; "" when it can."""
        if entry.state not in self.states:
            return f"it is {entry.state}, not {' or '.join(sorted(self.states))}"
        if self.needs_decision and entry.decision is None:
            return "no decision is stored: rerun it"
        return ""


@dataclass(slots=True)
class Result:
    """What became of each."""

    done: list[str] = field(default_factory=list)
    #: Request id → why not.
    refused: dict[str, str] = field(default_factory=dict)
    not_found: list[str] = field(default_factory=list)

    def document(self, act: Act) -> dict[str, Any]:
        """Return it for programs."""
        refused = [{"id": name, "why": why} for name, why in self.refused.items()]
        return {
            "action": act.name,
            "done": self.done,
            "refused": refused,
            "not_found": self.not_found,
        }

    def tell(self, desk: Desk, act: Act) -> None:
        """Say it to people."""
        desk.say(f"{_count(len(self.done))} {act.done}" if self.done else "Nothing was changed.")
        for name, why in self.refused.items():
            desk.say(f"{clean(name)}: {why}")
        for name in self.not_found:
            desk.say(f"{clean(name)}: the ledger has no such request")


RERUN = Act(
    "rerun",
    "queued: the next sweep sends them to a worker, the processor runs with the same key.",
    lambda desk, ref: desk.ledger.rerun(ref),
    states=frozenset({State.PARKED, State.DISCARDED}),
)
REPOST = Act(
    "repost",
    "due: the next sweep sends them to a worker, which posts the stored decision.",
    lambda desk, ref: desk.ledger.repost(ref),
    needs_decision=True,
)
DISCARD = Act(
    "discard",
    "discarded: nothing was posted, in Connect they are as they were.",
    lambda desk, ref: desk.ledger.discard(ref, keep_seconds=desk.settings.keep_days * 86_400),
)


def _command(act: Act, short: str, text: str, *examples: str) -> click.Command:
    @click.command(act.name, short_help=short, help=text, epilog=example(*examples))
    @click.argument("request_ids", nargs=-1, metavar="[REQUEST]...")
    @click.option("--all", "everything", is_flag=True, help="All that are parked.")
    @filters
    @click.option("--yes", is_flag=True, help="Do not ask.")
    @at_desk
    def command(
        desk: Desk,
        *,
        request_ids: Sequence[str],
        everything: bool,
        kind: str | None,
        product: str,
        error: str,
        yes: bool,
    ) -> Exit:
        choice = Choice(
            Kind(kind) if kind else None, frozenset({State.PARKED}), product=product, error=error
        )
        is_narrowed = bool(kind or product or error)
        if bool(request_ids) == (everything or is_narrowed):
            raise click.UsageError(
                "Name requests, or choose them by --kind, --product, --error or --all."
            )
        result = Result()
        entries = _named(desk, request_ids, result) if request_ids else list(choice.of(desk.ledger))
        return _carry_out(desk, act, entries, result, is_sure=yes)

    return command


def _named(desk: Desk, request_ids: Sequence[str], result: Result) -> list[Entry]:
    found: dict[Ref, Entry] = {}
    for request_id in request_ids:
        entries = find(desk.ledger, request_id)
        found |= {entry.ref: entry for entry in entries}
        if not entries:
            result.not_found.append(request_id)
    return list(found.values())


def _carry_out(
    desk: Desk, act: Act, entries: list[Entry], result: Result, *, is_sure: bool
) -> Exit:
    able = []
    for entry in sorted(entries, key=lambda one: (one.first_seen, one.ref.id)):
        if why := act.objection(entry):
            result.refused[entry.ref.id] = why
        else:
            able.append(entry)
    if able and not is_sure:
        _ask(desk, act, able)
    console = Console(stderr=True)
    for entry in track(
        able,
        description=act.name,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ):
        _change(desk, act, entry.ref, result)
    desk.answer(result.document(act))
    result.tell(desk, act)
    return Exit.NOT_DONE if result.refused or result.not_found else Exit.DONE


def _change(desk: Desk, act: Act, ref: Ref, result: Result) -> None:
    if act.change(desk, ref):
        result.done.append(ref.id)
        return
    entry = desk.ledger.entry(ref)
    result.refused[ref.id] = f"it is {entry.state} meanwhile" if entry else "it is gone meanwhile"


def _ask(desk: Desk, act: Act, entries: list[Entry]) -> None:
    """Show whom it concerns and ask; on standard error, so that JSON stays alone."""
    console = Console(stderr=True)
    console.print(table_of(entries[:SHOWN], desk.ledger.now(), wide=console.width >= 100))
    if len(entries) > SHOWN:
        console.print(f"… and {len(entries) - SHOWN} more")
    click.confirm(f"{act.name.capitalize()} {_count(len(entries))}?", abort=True, err=True)


def _count(number: int) -> str:
    return f"{number} request{'' if number == 1 else 's'}"


rerun = _command(
    RERUN,
    "Run the processor again for parked requests.",
    "Run the processor again for requests that are parked, or were discarded.\n\n"
    "In the same visit: the attempts begin anew, a stored decision is dropped, done steps stay, "
    "and the idempotency key is the same.",
    "connect-worker rerun PR-5852-1608-0000",
    "connect-worker rerun --kind fulfillment --error VendorDown --yes",
)
repost = _command(
    REPOST,
    "Post the stored decision of parked requests.",
    "Post the stored decision of requests that are parked with one; the processor does not run.",
    "connect-worker repost PR-5852-1608-0000",
    "connect-worker repost --all --yes --json",
)
discard = _command(
    DISCARD,
    "Leave parked requests as they are.",
    "Leave parked requests as they are in Connect; nothing is posted and no processor runs.",
    "connect-worker discard PR-5852-1608-0000",
    "connect-worker discard --product PRD-000-000-001",
)

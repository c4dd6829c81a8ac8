"""``rerun``, ``repost`` and ``discard``: a person's word about requests that are parked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import click
from rich.console import Console
from rich.progress import track

from connect_worker.cli.context import Desk, Exit, at_desk, example
from connect_worker.cli.options import filters
from connect_worker.cli.requests import table_of
from connect_worker.domain.states import RequestKey, RequestKind, RequestRecord, State
from connect_worker.operations.actions import (
    DISCARD,
    REPOST,
    RERUN,
    RERUN_ALL_STEPS,
    Action,
    Result,
    apply_action,
    count,
    partition,
)
from connect_worker.operations.filters import Choice, find
from connect_worker.operations.formatting import clean

F = TypeVar("F", bound=Callable[..., object])

#: So many are shown before the question.
SHOWN = 10


def _command(act: Action, short: str, text: str, *examples: str) -> click.Command:
    @click.command(act.name, short_help=short, help=text, epilog=example(*examples))
    @click.argument("request_ids", nargs=-1, metavar="[REQUEST]...")
    @click.option("--all", "everything", is_flag=True, help="All that are parked.")
    @filters
    @click.option("--yes", is_flag=True, help="Do not ask.")
    @_forgetful(act)
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
        forget_steps: bool = False,
    ) -> Exit:
        choice = Choice(
            RequestKind(kind) if kind else None,
            frozenset({State.PARKED}),
            product=product,
            error=error,
        )
        is_narrowed = bool(kind or product or error)
        is_chosen = everything or is_narrowed
        if bool(request_ids) == is_chosen:
            raise click.UsageError(
                "Name requests or choose them by --kind, --product, --error or --all"
                + (", not both." if is_chosen else ".")
            )
        result = Result()
        entries = _named(desk, request_ids, result) if request_ids else list(choice.of(desk.ledger))
        chosen = RERUN_ALL_STEPS if forget_steps else act
        return _carry_out(desk, chosen, entries, result, is_sure=yes)

    return command


def _forgetful(act: Action) -> Callable[[F], F]:
    """Give `rerun` the option that the others don't have."""
    if act is not RERUN:
        return lambda command: command
    return click.option(
        "--forget-steps",
        is_flag=True,
        help="Run the processor's own steps again, too: those that are done are forgotten.",
    )


def _named(desk: Desk, request_ids: Sequence[str], result: Result) -> list[RequestRecord]:
    found: dict[RequestKey, RequestRecord] = {}
    for request_id in request_ids:
        entries = find(desk.ledger, request_id)
        found |= {entry.ref: entry for entry in entries}
        if not entries:
            result.not_found.append(request_id)
    return list(found.values())


def _carry_out(
    desk: Desk, act: Action, entries: list[RequestRecord], result: Result, *, is_sure: bool
) -> Exit:
    able = partition(act, entries, result)
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
        apply_action(act, desk.ledger, entry.ref, result, keep_days=desk.settings.keep_days)
    desk.answer(result.document(act))
    _tell(desk, act, result)
    return Exit.NOT_DONE if result.refused or result.not_found else Exit.DONE


def _tell(desk: Desk, act: Action, result: Result) -> None:
    """Say to people what became of each."""
    desk.say(result.summary(act))
    for name, why in result.refused.items():
        desk.say(f"{clean(name)}: {why}")
    for name in result.not_found:
        desk.say(f"{clean(name)}: the ledger has no such request")


def _ask(desk: Desk, act: Action, entries: list[RequestRecord]) -> None:
    """Show whom it concerns and ask; on standard error, so that JSON stays alone."""
    console = Console(stderr=True)
    console.print(table_of(entries[:SHOWN], desk.ledger.now(), wide=console.width >= 100))
    if len(entries) > SHOWN:
        console.print(f"… and {len(entries) - SHOWN} more")
    click.confirm(f"{act.name.capitalize()} {count(len(entries))}?", abort=True, err=True)


rerun = _command(
    RERUN,
    "Run the processor again for parked requests.",
    "Run the processor again for requests that are parked, or were discarded.\n\n"
    "In the same cycle: the attempts begin anew, a stored decision is dropped, done steps stay, "
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

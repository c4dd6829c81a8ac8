"""``rerun``, ``repost``, ``discard``, ``pause``, ``resume``, ``poll``: what an operator asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import click
from rich.progress import track

from connect_worker.cli.celery import remote_control
from connect_worker.cli.context import (
    KIND,
    CommandContext,
    CommandError,
    Exit,
    TerminalConsole,
    example,
    filter_options,
    ledger_command,
)
from connect_worker.cli.requests import request_table
from connect_worker.domain.states import PollReport, RequestKey, RequestKind, RequestRecord, State
from connect_worker.observability.output import (
    MAX_NAME_CHARACTERS,
    MAX_REASON_CHARACTERS,
    format_count,
    format_duration,
    sanitize,
    shorten,
)
from connect_worker.operations.actions import (
    DISCARD,
    PAUSE_NAMES,
    PRODUCT_PREFIX,
    REPOST,
    RERUN,
    RERUN_ALL_STEPS,
    Action,
    ActionResult,
    apply_action,
    describe_pauses,
    is_pause_name,
    partition,
    stored_pause,
)
from connect_worker.operations.requests import (
    RequestFilter,
    find_by_id,
    pause_documents,
    poll_document,
)

F = TypeVar("F", bound=Callable[..., object])

#: How many requests are shown before the question.
MAX_SHOWN = 10
#: How often `poll` looks for what the workers found.
CHECK_SECONDS = 0.2


def _command(action: Action, short: str, text: str, *examples: str) -> click.Command:
    @click.command(action.name, short_help=short, help=text, epilog=example(*examples))
    @click.argument("request_ids", nargs=-1, metavar="[REQUEST]...")
    @click.option("--all", "everything", is_flag=True, help="All parked requests.")
    @filter_options
    @click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
    @_step_option(action)
    @ledger_command
    def command(
        context: CommandContext,
        *,
        request_ids: Sequence[str],
        everything: bool,
        kind: str | None,
        product: str,
        error: str,
        yes: bool,
        forget_steps: bool = False,
    ) -> Exit:
        request_filter = RequestFilter(
            RequestKind(kind) if kind else None,
            frozenset({State.PARKED}),
            product=product,
            error=error,
        )
        is_filtered = everything or bool(kind or product or error)
        if bool(request_ids) == is_filtered:
            raise click.UsageError(
                "Name requests, or choose them with --kind, --product, --error or --all"
                + (", not both." if is_filtered else ".")
            )
        result = ActionResult()
        if request_ids:
            records = _find_all(context, request_ids, result)
        else:
            records = list(request_filter.search(context.ledger))
        applied_action = RERUN_ALL_STEPS if forget_steps else action
        return _apply(context, applied_action, records, result, is_confirmed=yes)

    return command


def _step_option(action: Action) -> Callable[[F], F]:
    """Return what gives `rerun` an option that the other commands do not have."""
    if action is not RERUN:
        return lambda command: command
    return click.option(
        "--forget-steps",
        is_flag=True,
        help="Run the processor's completed steps again, too: their results are dropped.",
    )


def _find_all(
    context: CommandContext, request_ids: Sequence[str], result: ActionResult
) -> list[RequestRecord]:
    records: dict[RequestKey, RequestRecord] = {}
    for request_id in request_ids:
        matches = find_by_id(context.ledger, request_id)
        records |= {record.ref: record for record in matches}
        if not matches:
            result.not_found.append(request_id)
    return list(records.values())


def _apply(
    context: CommandContext,
    action: Action,
    records: list[RequestRecord],
    result: ActionResult,
    *,
    is_confirmed: bool,
) -> Exit:
    possible = partition(action, records, result)
    if possible and not is_confirmed:
        _confirm(context, action, possible)
    console = TerminalConsole(stderr=True)
    keep_days = context.settings.keep_days
    for record in track(
        possible,
        description=action.name,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ):
        apply_action(action, context.ledger, record.ref, result, keep_days=keep_days)
    context.print_result(result.document(action))
    context.print_text(result.summary(action))
    for name, why in result.refused.items():
        context.print_text(f"{sanitize(name)}: {why}")
    for name in result.not_found:
        context.print_text(f"{sanitize(name)}: the ledger has no such request")
    return Exit.NOT_DONE if result.refused or result.not_found else Exit.DONE


def _confirm(context: CommandContext, action: Action, records: list[RequestRecord]) -> None:
    """Show the requests and ask, on standard error: standard output has the JSON only."""
    console = TerminalConsole(stderr=True)
    now = context.ledger.now()
    console.print(request_table(records[:MAX_SHOWN], now, wide=console.width >= 100))
    if len(records) > MAX_SHOWN:
        console.print(f"… and {len(records) - MAX_SHOWN} more")
    question = f"{action.name.capitalize()} {format_count(len(records))}?"
    click.confirm(question, abort=True, err=True)


rerun = _command(
    RERUN,
    "Run the processor again for parked requests.",
    "Run the processor again for requests that are parked (discarded ones only by id).\n\n"
    "The cycle and the idempotency key stay the same. Attempts are counted from 1, a stored "
    "decision is dropped, and completed steps are not repeated.",
    "connect-worker rerun PR-5852-1608-0000",
    "connect-worker rerun --kind fulfillment --error VendorDown --yes",
)
repost = _command(
    REPOST,
    "Post the stored decision of parked requests.",
    "Post the stored decision of parked requests to Connect once more.\n\n"
    "The processor does not run.",
    "connect-worker repost PR-5852-1608-0000",
    "connect-worker repost --all --yes --json",
)
discard = _command(
    DISCARD,
    "End parked requests here; Connect keeps them.",
    "End the cycles of parked requests here, and leave the requests in Connect as they are.\n\n"
    "Nothing is posted, and no processor runs.",
    "connect-worker discard PR-5852-1608-0000",
    "connect-worker discard --product PRD-000-000-001",
)


# ---- pauses


def _pause_names(
    _context: click.Context, _parameter: click.Parameter, names: Sequence[str]
) -> Sequence[str]:
    """Refuse a name with a typo: it would pause nothing."""
    for name in names:
        if not is_pause_name(name):
            raise click.BadParameter(
                f"Unknown name {shorten(name)!r}. Choose one of: {', '.join(PAUSE_NAMES)}; "
                f"or a product ({PRODUCT_PREFIX}…, at most {MAX_NAME_CHARACTERS} characters)."
            )
    return list(dict.fromkeys(names))


def _complete_pause_name(
    _context: click.Context, _parameter: click.Parameter, begun: str
) -> list[str]:
    return [name for name in (*PAUSE_NAMES, PRODUCT_PREFIX) if name.startswith(begun)]


_names = click.argument(
    "names",
    metavar="[all|KIND|PRODUCT]...",
    nargs=-1,
    required=True,
    callback=_pause_names,
    shell_complete=_complete_pause_name,
)


@click.command(
    short_help="Stop workers from starting processors.",
    epilog=example(
        "connect-worker pause PRD-000-000-001 --reason 'the vendor is down until 9'",
        "connect-worker pause all",
    ),
)
@_names
@click.option("--reason", default="", metavar="TEXT", help="Why, for other operators.")
@ledger_command
def pause(context: CommandContext, *, names: Sequence[str], reason: str) -> None:
    """Stop all workers from starting processors, until `resume`.

    Processors that are running finish, and workers post the stored decisions. Polls continue; the
    requests that they register wait, and use no attempt.
    """
    for name in names:
        context.ledger.pause(name, reason=shorten(reason, MAX_REASON_CHARACTERS))
    pauses = context.ledger.pauses()
    context.print_result({"paused": pause_documents(pauses)})
    for line in describe_pauses(pauses, context.ledger.now()):
        context.print_text(f"Paused: {line}")


@click.command(
    short_help="End pauses.",
    epilog=example("connect-worker resume PRD-000-000-001", "connect-worker resume all"),
)
@_names
@ledger_command
def resume(context: CommandContext, *, names: Sequence[str]) -> Exit:
    """End pauses; the next sweep sends the requests that waited to the workers.

    `resume all` ends the pause with the name `all`; pauses of kinds and products stay.
    """
    before = context.ledger.pauses()
    # A pause with a longer name, from an earlier version, is named as it is shown.
    stored = [stored_pause(before, name) for name in names]
    resumed = {name: context.ledger.resume(name) for name in stored}
    not_paused = [name for name in resumed if name not in before]
    left = context.ledger.pauses()
    shown = {shorten(name): number for name, number in resumed.items()}
    context.print_result(
        {"resumed": shown, "not_paused": not_paused, "paused": pause_documents(left)}
    )
    for name, number in resumed.items():
        if name in before or number:
            due = f"the next sweep sends {format_count(number)} to the workers"
            context.print_text(f"Resumed: {shorten(name)}; {due}")
        else:
            context.print_text(f"{name} was not paused")
    for line in describe_pauses(left, context.ledger.now()):
        context.print_text(f"Still paused: {line}")
    return Exit.NOT_DONE if not_paused else Exit.DONE


@click.command(
    short_help="Poll Connect now.",
    epilog=example("connect-worker poll fulfillment", "connect-worker poll --wait 60"),
)
@click.argument("names", metavar="[KIND]...", nargs=-1, type=KIND)
@click.option(
    "--wait",
    "timeout_seconds",
    type=click.FloatRange(min=0),
    default=15,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the workers; 0 sends the messages and does not wait.",
)
@ledger_command
def poll(context: CommandContext, *, names: Sequence[str], timeout_seconds: float) -> Exit:
    """Poll the named kinds now, or all of them, and show what was found.

    A worker makes the polls: this command needs the broker and at least one worker.
    """
    kinds = [RequestKind(name) for name in dict.fromkeys(names)] or list(RequestKind)
    before = context.ledger.polls()
    try:
        remote_control().send_polls(kinds, context.account)
    except ConnectionError as error:
        raise CommandError(str(error), Exit.NO_ANSWER) from error
    polls = _wait_for_polls(context, kinds, before, timeout_seconds)
    unanswered = [kind for kind in kinds if kind not in polls]
    context.print_result(
        {
            "polls": {kind.value: poll_document(item) for kind, item in polls.items()},
            "unanswered": [kind.value for kind in unanswered],
        }
    )
    for kind, report in polls.items():
        context.print_text(f"{kind}: {_describe_poll(report)}")
    if unanswered and timeout_seconds:
        raise CommandError(
            f"no worker has polled {', '.join(unanswered)} within "
            f"{format_duration(timeout_seconds)}. Run connect-worker doctor to see whether a "
            "worker is running; the messages stay in the queue.",
            Exit.NO_ANSWER,
        )
    if unanswered:
        context.print_text(f"Sent: {', '.join(unanswered)}")
    return Exit.DONE


def _wait_for_polls(
    context: CommandContext,
    kinds: Sequence[RequestKind],
    before: Mapping[RequestKind, PollReport],
    timeout_seconds: float,
) -> dict[RequestKind, PollReport]:
    """Return the polls that ended since `before`, after all did or the time is over."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        after = context.ledger.polls()
        polls = {
            kind: after[kind] for kind in kinds if kind in after and after[kind] != before.get(kind)
        }
        if len(polls) == len(kinds) or time.monotonic() >= deadline:
            return polls
        time.sleep(CHECK_SECONDS)


def _describe_poll(poll: PollReport) -> str:
    """Return what a poll found, or why it failed."""
    seconds = format_duration(poll.seconds)
    return sanitize(poll.detail) or f"{poll.seen} pending, {poll.new} new, in {seconds}"

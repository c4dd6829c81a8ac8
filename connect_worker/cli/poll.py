"""``connect-worker poll``: have the workers poll Connect now, and show what they found."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import click

from connect_worker.cli.celery import remote_control
from connect_worker.cli.context import (
    KIND,
    CommandContext,
    CommandError,
    Exit,
    example,
    ledger_command,
)
from connect_worker.domain.states import PollReport, RequestKind
from connect_worker.observability.output import format_duration, sanitize
from connect_worker.operations.requests import poll_document

CHECK_SECONDS = 0.2


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
        context.print_text(f"{kind}: {describe_poll(report)}")
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


def describe_poll(poll: PollReport) -> str:
    """Return what a poll found, or why it failed."""
    seconds = format_duration(poll.seconds)
    return sanitize(poll.detail) or f"{poll.seen} pending, {poll.new} new, in {seconds}"

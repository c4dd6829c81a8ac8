"""``connect-worker poll``: have the workers look into Connect now, and tell what they found."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import click

from connect_worker.cli.broker import remote_control
from connect_worker.cli.context import Desk, Exit, Refused, at_desk, example
from connect_worker.cli.options import KIND
from connect_worker.domain.states import PollReport, RequestKind
from connect_worker.operations.formatting import clean, span
from connect_worker.operations.request_details import document_of_poll

LOOK_SECONDS = 0.2


@click.command(epilog=example("connect-worker poll fulfillment", "connect-worker poll --wait 60"))
@click.argument("names", metavar="[KIND]...", nargs=-1, type=KIND)
@click.option(
    "--wait",
    "patience",
    type=click.FloatRange(min=0),
    default=15,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the workers; 0 only sends the messages.",
)
@at_desk
def poll(desk: Desk, *, names: Sequence[str], patience: float) -> Exit:
    """Poll a kind now, or all of them, and tell what was found.

    The polls are made by a worker: this command needs the broker and one of them.
    """
    kinds = [RequestKind(name) for name in dict.fromkeys(names)] or list(RequestKind)
    before = desk.ledger.polls()
    try:
        remote_control().send_polls(kinds, desk.account)
    except ConnectionError as error:
        raise Refused(str(error), Exit.NO_ANSWER) from error
    found = _await(desk, kinds, before, patience)
    silent = [kind for kind in kinds if kind not in found]
    desk.answer(
        {
            "polls": {kind.value: document_of_poll(item) for kind, item in found.items()},
            "unanswered": [kind.value for kind in silent],
        }
    )
    for kind, item in found.items():
        desk.say(f"{kind}: {text_of(item)}")
    if silent and patience:
        names_of = ", ".join(silent)
        raise Refused(
            f"no worker has polled {names_of} within {span(patience)}: connect-worker doctor tells "
            "whether one runs; the messages wait for it",
            Exit.NO_ANSWER,
        )
    if silent:
        desk.say(f"Sent: {', '.join(silent)}")
    return Exit.DONE


def _await(
    desk: Desk,
    kinds: Sequence[RequestKind],
    before: Mapping[RequestKind, PollReport],
    patience: float,
) -> dict[RequestKind, PollReport]:
    """Return the polls that ended since; all of them, or those of the time there was."""
    give_up = time.monotonic() + patience
    while True:
        after = desk.ledger.polls()
        found = {
            kind: after[kind] for kind in kinds if kind in after and after[kind] != before.get(kind)
        }
        if len(found) == len(kinds) or time.monotonic() >= give_up:
            return found
        time.sleep(LOOK_SECONDS)


def text_of(poll: PollReport) -> str:
    """Say what a poll has found."""
    return clean(poll.detail) or f"{poll.seen} waiting, {poll.new} new, in {span(poll.seconds)}"

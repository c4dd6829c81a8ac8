"""The command line: `connect-worker`, or `python -m connect_worker`."""

from __future__ import annotations

import os
import sys

import click

from connect_worker.cli.actions import discard, pause, repost, rerun, resume
from connect_worker.cli.console import console
from connect_worker.cli.dev import dev
from connect_worker.cli.doctor import doctor
from connect_worker.cli.dry_run import replay, try_command
from connect_worker.cli.metrics import metrics
from connect_worker.cli.new import new
from connect_worker.cli.options import completion
from connect_worker.cli.poll import poll
from connect_worker.cli.requests import list_requests, show
from connect_worker.cli.status import status
from connect_worker.cli.webhook import webhook
from connect_worker.devtools.demo import demo

__all__ = ["main"]


@click.group(context_settings={"max_content_width": 100})
@click.version_option(package_name="connect-worker", message="%(package)s %(version)s")
def main() -> None:
    """Process the requests of CloudBlue Connect on as many machines as you like.

    The commands read the same environment as the workers (CONNECT_API_URL, CONNECT_API_KEY,
    CONNECT_REDIS_URL, …) and go to the ledger in Redis; only `poll` needs a worker.

    \b
    Exit codes:
      0  done, or all is well        3  no such request, or not all was done
      1  something needs a person    4  no settings, or no ledger
      2  not understood              5  no broker, or no worker answered
    """


@main.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def sandbox(arguments: tuple[str, ...]) -> None:
    """Run a stand-in for Connect (--help shows its options)."""
    # A program of its own: it shares no code with the rest, and replaces this process.
    os.execv(sys.executable, [sys.executable, "-m", "connect_worker.sandbox", *arguments])  # noqa: S606


# The order of an on-call's minute.
_COMMANDS = (
    status,
    list_requests,
    show,
    rerun,
    repost,
    discard,
    pause,
    resume,
    poll,
    doctor,
    metrics,
    console,
    webhook,
    completion,
    new,
    dev,
    try_command,
    replay,
    demo,
)
for _command in _COMMANDS:
    main.add_command(_command)

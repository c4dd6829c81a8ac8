"""The command line: `connect-worker`, or `python -m connect_worker`."""

from __future__ import annotations

import os
import sys
from typing import Any

import click
from click.shell_completion import get_completion_class

from connect_worker.cli.actions import discard, pause, repost, rerun, resume
from connect_worker.cli.celery import beat, flower, worker
from connect_worker.cli.console import console
from connect_worker.cli.context import CommandError, Exit
from connect_worker.cli.devtools import demo, dev, new
from connect_worker.cli.doctor import doctor
from connect_worker.cli.dry_run import replay, try_command
from connect_worker.cli.metrics import metrics
from connect_worker.cli.poll import poll
from connect_worker.cli.redis_acl import redis_acl
from connect_worker.cli.requests import list_requests, show
from connect_worker.cli.status import status
from connect_worker.cli.webhook import webhook
from connect_worker.exceptions import SettingsError
from connect_worker.observability.masking import mask_secrets
from connect_worker.observability.output import accept_any_text, escape_lines, report_crashes
from connect_worker.settings.model import mask_environment

__all__ = ["main"]


class Commands(click.Group):
    """The commands. What ends one is shown without secrets, in any encoding."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the arguments and run the command."""
        accept_any_text(sys.stdout, sys.stderr)
        report_crashes()
        mask_environment()
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        failure: click.ClickException
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            failure = CommandError(str(error), Exit.CONFIGURATION)
        except click.ClickException as error:
            failure = error
        # It may quote an answer of Connect, a log or the environment.
        shown = escape_lines(mask_secrets(failure.message))
        failure.message = shown  # type: ignore[misc]  # click reads it when it shows the error
        raise failure


@click.group(cls=Commands, context_settings={"max_content_width": 100})
@click.version_option(package_name="connect-worker", message="%(package)s %(version)s")
def main() -> None:
    """Process the requests of CloudBlue Connect on as many machines as you like.

    The commands read the same environment as the workers (CONNECT_API_URL, CONNECT_API_KEY,
    CONNECT_REDIS_URL, …), and work on the ledger in Redis. Only `poll` needs a running worker.

    \b
    Exit codes:
      0  done, or nothing is wrong     3  no such request, or not all was done
      1  something needs an operator   4  no ledger
      2  wrong usage                   5  no broker, or no worker answered
                                      78  wrong or missing settings
    """


@main.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def sandbox(arguments: tuple[str, ...]) -> None:
    """Run a local Connect with pending requests (--help shows its options)."""
    # It is a program of its own that shares no code with the rest, so it replaces this process.
    os.execv(sys.executable, [sys.executable, "-m", "connect_worker.sandbox", *arguments])  # noqa: S606


_SHELLS = ("bash", "zsh", "fish")


@click.command(
    short_help="Print the completion script of a shell.",
    epilog="\b\nExamples:\n"
    '  eval "$(connect-worker completion bash)"      # in ~/.bashrc; the same for zsh\n'
    "  connect-worker completion fish | source",
)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, *, shell: str) -> None:
    """Print the script that completes commands, options, kinds and states in a shell."""
    root = context.find_root().command
    completion_class = get_completion_class(shell)
    assert completion_class is not None  # noqa: S101 - click has one for each of _SHELLS
    script = completion_class(root, {}, "connect-worker", "_CONNECT_WORKER_COMPLETE").source()
    click.echo(script)


# First those that an operator needs in an incident.
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
    worker,
    beat,
    flower,
    console,
    webhook,
    redis_acl,
    completion,
    new,
    dev,
    try_command,
    replay,
    demo,
)
for _command in _COMMANDS:
    main.add_command(_command)

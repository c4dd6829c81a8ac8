"""``connect-worker worker|beat|flower``: Celery's commands for this project's application."""

from __future__ import annotations

import os
import sys

import click

_HELP = {
    "worker": "Run a worker, a Celery worker with your processors.",
    "beat": "Run beat, which schedules polls and sweeps; start one.",
    "flower": "Run Flower, which shows the jobs in a browser.",
}


def _command(name: str) -> click.Command:
    @click.command(
        name,
        help=_HELP[name],
        # All options are Celery's, `--help` too.
        context_settings={"ignore_unknown_options": True, "help_option_names": []},
    )
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def run(arguments: tuple[str, ...]) -> None:
        # Celery replaces this process, so that signals and the exit status are its own, and a
        # worker has nothing in memory of what the commands import. `-P` keeps the working directory
        # out of the way of Celery's own modules, as for the script `celery`.
        program = [sys.executable, "-P", "-m", "celery", "-A", "connect_worker", name]
        os.execv(sys.executable, [*program, *arguments])  # noqa: S606

    return run


worker, beat, flower = map(_command, _HELP)

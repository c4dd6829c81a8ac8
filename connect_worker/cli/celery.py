"""``connect-worker worker|beat|flower``: Celery's commands; and the way to the workers.

The other commands reach the workers through the broker, by Celery's remote control. Only those that
need the broker load the Celery application, when they need it. All others start without the time
that Celery takes to load.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from connect_worker.operations.status import Workers

if TYPE_CHECKING:
    from tasks.celery_support.remote_control import RemoteControl

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


def remote_control() -> RemoteControl:
    """Load the Celery application; return its remote control."""
    from connect_worker.celery import load_tasks

    load_tasks()
    from tasks.celery_support.remote_control import RemoteControl

    return RemoteControl()


def see_workers(*, seconds: float = 1.0) -> Workers:
    """Ask which workers are there; what is wrong with the broker is part of the answer."""
    try:
        return Workers(tuple(sorted(remote_control().workers(seconds=seconds))))
    except ConnectionError as error:
        return Workers(problem=str(error))

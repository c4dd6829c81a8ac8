"""The way from the commands to the workers: through the broker, by Celery's remote control.

Only the commands that need the broker load the Celery application, when they need it. All others
start without the time that Celery takes to load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connect_worker.operations.status import Workers

if TYPE_CHECKING:
    from tasks.celery_support.remote_control import RemoteControl


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

"""The way to the workers: through the broker, by the one room that knows Celery.

The remote control of `tasks` is loaded when it is needed. All other commands work without a broker,
and start without the time that Celery takes to load.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

from connect_worker.domain.states import RequestKind
from connect_worker.engine.ports import Publisher
from connect_worker.operations.status import Workers


class Control(Protocol):
    """What the remote control of `tasks` offers; each raises ConnectionError without a broker."""

    def workers(self, *, seconds: float) -> Sequence[str]:
        """Return the names of the workers that answer within this time."""

    def queues_taken(self, *, seconds: float) -> Mapping[str, Sequence[str]]:
        """Return the queues of which workers take messages, by worker."""

    def send_polls(self, kinds: Sequence[RequestKind], account: str = "") -> None:
        """Ask the workers to poll these kinds of an account now."""

    def publisher(self, account: str = "") -> Publisher:
        """Return what sends wake-up calls of an account; it waits for no broker."""

    def queue_lengths(self) -> Mapping[str, int]:
        """Return how many messages wait in each queue."""


def control() -> Control:
    """Load the Celery application."""
    if str(Path.cwd()) not in sys.path:
        # A deployment's own `celeryconfig.py` comes first, as for `celery -A tasks`.
        sys.path.insert(0, str(Path.cwd()))
    return cast("Control", importlib.import_module("tasks.celery_support.remote_control"))


def see_workers(*, seconds: float = 1.0) -> Workers:
    """Ask which workers are there; what is wrong with the broker is part of the answer."""
    try:
        return Workers(tuple(sorted(control().workers(seconds=seconds))))
    except ConnectionError as error:
        return Workers(problem=str(error))

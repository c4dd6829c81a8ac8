"""Tasks whose errors are small: a pool's process sends an error to its worker through a pipe.

With every frame of Celery, kombu and redis-py an error takes 75 KiB, and the pipe holds 64. A
worker that is told to stop reads it no more, and would wait for ever for a process that waits to be
read.
"""

from __future__ import annotations

from typing import Any

from celery import Task
from celery.exceptions import TaskPredicate

from connect_worker.exceptions import LedgerUnavailable
from connect_worker.logger import LogEvent, logger


class BriefTask(Task):  # type: ignore[type-arg]  # generic in celery-types only
    """A task that logs where an error came from, and passes on what it says."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task."""
        try:
            return self.run(*args, **kwargs)
        except TaskPredicate:
            raise
        except Exception as error:  # noqa: BLE001 - raised again, without its frames
            if not isinstance(error, LedgerUnavailable):
                logger.exception(LogEvent("task failed", task=self.name))
            raise error.with_traceback(None) from None

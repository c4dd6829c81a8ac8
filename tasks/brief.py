"""Tasks whose errors are small: a pool's process sends each to its worker through a pipe.

An error with the frames of Celery, kombu and redis-py takes 75 KiB; a pipe holds 64, and takes 4 at
once. A worker that is told to stop reads the pipe no more, or after its processes have ended: it
would wait for ever for one that waits to be read, or for the rest of what one had begun to write.
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

    def on_failure(self, *told: Any) -> None:
        """Leave Celery's own frames, the last that are left, out of what is sent to the worker."""
        told[-1].tb = None

    def on_retry(self, *told: Any) -> None:
        """Do the same for a retry."""
        told[-1].tb = None

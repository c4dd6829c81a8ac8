"""The class of all tasks: it says which argument a task accepts, and keeps errors small.

Answers a gap of Celery 5.6: a process of a pool sends a job's error, with all frames, to its worker
through a pipe. With the frames of Celery, kombu and redis-py that is 75 KiB; a pipe holds 64 KiB,
and takes 4 KiB in one step. A worker that stops reads the pipe no more, or after its processes have
ended, and then waits forever for the rest of an error
(docs/decisions/002-celery-and-kombu-versions.md). tests/unit/tasks/test_base_task.py notices when
Celery's own errors are small, tests/faults/redis/test_redis_refuses.py stops such a worker.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from celery import Task
from celery.exceptions import TaskPredicate

from connect_worker.domain.kinds import is_hint, is_request_name
from connect_worker.domain.states import RequestKind
from connect_worker.exceptions import LedgerUnavailable
from connect_worker.logger import LogEvent, logger
from connect_worker.observability.masking import mask_secrets

#: Whether a value is an argument that the task accepts.
Validator = Callable[[object], bool]


def accepts_request_of(kind: RequestKind) -> Validator:
    """Accept the name of one request of the kind."""
    return partial(is_request_name, kind)


def accepts_kind(value: object) -> bool:
    """Accept the name of a kind."""
    return isinstance(value, str) and value in set(RequestKind)


def accepts_hint(value: object) -> bool:
    """Accept a change hint: a kind, or a kind and a request's id in Connect."""
    return is_hint(value)


class BaseTask(Task):  # type: ignore[type-arg]  # generic in celery-types only
    """A task that logs where an error came from instead of sending it on."""

    #: What its one argument may be; None for a task without one. message_rules.py asks for it.
    validates: Validator | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task."""
        try:
            return self.run(*args, **kwargs)
        except TaskPredicate:
            raise
        except Exception as error:  # noqa: BLE001 - raised again, without its frames
            if not isinstance(error, LedgerUnavailable):
                logger.exception(LogEvent("celery.task_failed", task=self.name))
            raise _without_frames_and_secrets(error) from None

    def on_failure(self, *args: Any) -> None:
        """Drop the last frames, which are Celery's own, from what is sent to the worker."""
        args[-1].tb = None

    def on_retry(self, *args: Any) -> None:
        """Do the same for a retry."""
        args[-1].tb = None


def _without_frames_and_secrets(error: Exception) -> Exception:
    """Return the error as Flower may show it."""
    masked = mask_secrets(str(error))
    if masked == str(error):
        return error.with_traceback(None)
    return RuntimeError(f"{type(error).__name__}: {masked}")

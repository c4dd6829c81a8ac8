"""Tasks whose errors are small and without secrets, and that run for proper messages only.

A pool's process sends an error to its worker through a pipe.

An error with the frames of Celery, kombu and redis-py takes 75 KiB; a pipe holds 64, and takes 4 at
once. A worker that is told to stop reads the pipe no more, or after its processes have ended: it
would wait for ever for one that waits to be read, or for the rest of what one had begun to write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from celery import Task
from celery.exceptions import TaskPredicate

from connect_worker.domain.kinds import is_hint, is_request_name
from connect_worker.domain.states import RequestKind
from connect_worker.exceptions import LedgerUnavailable
from connect_worker.logger import LogEvent, logger
from connect_worker.observability.masking import mask_secrets

# Which messages are taken: one argument of the one right form, and nothing besides.
#
# Who can write to the broker can send anything. What none of this project's processes sends is
# refused before it has any effect: JSON alone is read (`celeryconfig.py`), and of that only these.

#: Tells whether a text is one that the task takes.
Takes = Callable[[object], bool]

#: What a message may carry for Celery to send when its task ends: other messages.
FOLLOWERS = ("callbacks", "errbacks", "chain", "chord")


class MessageRefused(Exception):  # noqa: N818 - as the project's other errors are named
    """A message that nobody of this project has sent."""


def takes_name_of(kind: RequestKind) -> Takes:
    """Take the name of one request of the kind."""
    return partial(is_request_name, kind)


def takes_kind(text: object) -> bool:
    """Take the name of a kind."""
    return isinstance(text, str) and text in set(RequestKind)


def takes_notice(text: object) -> bool:
    """Take a notice: a kind, or a kind and a request's id in Connect."""
    return is_hint(text)


def problem(args: Sequence[Any], kwargs: Mapping[str, Any], validates: Takes | None) -> str:
    """Return why a task does not take these arguments; "" when it does."""
    if kwargs or len(args) != (0 if validates is None else 1):
        return f"{len(args)} arguments and {len(kwargs)} named ones"
    if validates is not None and not validates(args[0]):
        return f"{str(args[0])[:80]!r} ({type(args[0]).__name__}) is no name that it takes"
    return ""


class BaseTask(Task):  # type: ignore[type-arg]  # generic in celery-types only
    """A task that logs where an error came from, and passes on what it says."""

    #: What its one argument may be; None for a task without one.
    validates: Takes | None = None
    # Celery logs it in one line, without a traceback.
    throws = (MessageRefused,)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task, if its message is one that this project sends.

        Raises:
            MessageRefused: It is not; nothing was done.
        """
        self._require_proper(args, kwargs)
        try:
            return self.run(*args, **kwargs)
        except TaskPredicate:
            raise
        except Exception as error:  # noqa: BLE001 - raised again, without its frames
            if not isinstance(error, LedgerUnavailable):
                logger.exception(LogEvent("celery.task_failed", task=self.name))
            raise _harmless(error) from None

    def _require_proper(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        why = problem(args, kwargs, self.validates)
        if any(getattr(self.request, name, None) for name in FOLLOWERS):
            why = why or "it carries messages to be sent after it"
        if why:
            # Else Celery would send some of them because the task failed.
            self.request.update(dict.fromkeys(FOLLOWERS))
            logger.error(LogEvent("celery.message_rejected", task=self.name, why=why))
            raise MessageRefused(why)

    def on_failure(self, *told: Any) -> None:
        """Leave Celery's own frames, the last that are left, out of what is sent to the worker."""
        told[-1].tb = None

    def on_retry(self, *told: Any) -> None:
        """Do the same for a retry."""
        told[-1].tb = None


def _harmless(error: Exception) -> Exception:
    """Return the error without its frames, and without secrets: it is shown in Flower."""
    masked = mask_secrets(str(error))
    if masked == str(error):
        return error.with_traceback(None)
    return RuntimeError(f"{type(error).__name__}: {masked}")

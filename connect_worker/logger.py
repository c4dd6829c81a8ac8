"""The logger, and the log context: facts that are added to each of its lines.

Importing this module configures nothing: no level, no handler. `observability.logging` writes the
lines.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Self, TypeVar, overload

from connect_worker._deprecated import deprecated_names
from connect_worker.observability.masking import mask_secrets, mask_value
from connect_worker.observability.output import format_traceback

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(
        __name__,
        {},
        {
            "LoggerAdapter": "the lines of `self.logger` carry the request's id; bind_log() adds "
            "more to each line",
            "log_request_data": "log request.json",
        },
    )

P = ParamSpec("P")
R = TypeVar("R")

_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})
_bound: ContextVar[Mapping[str, object]] = ContextVar("connect_worker_log", default=_NOTHING)


@contextmanager
def bind_log(**facts: object) -> Iterator[None]:
    """Add facts to every line logged inside the with-block, in this thread or task only.

    Inner blocks add to outer ones. The worker binds `request`, `product`, `cycle` and `attempt`.

    Examples:
        >>> with bind_log(request="PR-1"):
        ...     dict(log_context())
        {'request': 'PR-1'}
    """
    token = _bound.set(MappingProxyType({**_bound.get(), **facts}))
    try:
        yield
    finally:
        _bound.reset(token)


def log_context() -> Mapping[str, object]:
    """Return the facts that `bind_log` adds here.

    Examples:
        >>> dict(log_context())
        {}
    """
    return _bound.get()


class LogEvent(str):
    """A log message of an event name and facts: ``job.claimed request=PR-1 attempt=2``.

    It is text, for whatever looks at `record.msg`; a formatter finds the parts as its `name` and
    `facts`. Secrets are masked in it from the beginning, and each value is in its JSON form.

    Examples:
        >>> LogEvent("tenant created", tenant="TEN-1", seconds=3)
        'tenant created tenant=TEN-1 seconds=3'
    """

    __slots__ = ("facts", "name")

    name: str
    facts: dict[str, Any]

    def __new__(cls, name: str, /, **facts: object) -> Self:
        """Make the text."""
        name, facts = mask_secrets(name), mask_value(facts)
        event = super().__new__(cls, " ".join([name, *pairs(facts)]))
        event.name, event.facts = name, facts
        return event

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep the parts in a copy and in a pickle."""
        return _event, (self.name, self.facts)


def _event(name: str, facts: dict[str, Any]) -> LogEvent:
    return LogEvent(name, **facts)


def pairs(facts: Mapping[str, object]) -> list[str]:
    """Return ``key=value`` texts; a value that is empty or has spaces or quotes is quoted.

    Examples:
        >>> list(pairs({"tenant": "TEN-1", "note": "two words"}))
        ['tenant=TEN-1', "note='two words'"]
    """
    texts = ((key, str(value)) for key, value in facts.items())
    return [f"{key}={value if _is_plain(value) else repr(value)}" for key, value in texts]


class _EventLogger(logging.Logger):
    """A logger of events. No filter or handler, whosever it is, ends the code that logs."""

    def makeRecord(self, *args: Any, **kwargs: Any) -> logging.LogRecord:  # noqa: N802 - logging's
        """Return a record that has the facts of its event as attributes, as `extra` sets them."""
        record = super().makeRecord(*args, **kwargs)
        if isinstance(record.msg, LogEvent):
            fields = {
                f"{name}_" if name in _RESERVED else name: value
                for name, value in record.msg.facts.items()
            }
            vars(record).update(fields, event_fields=tuple(fields))
        return record

    def filter(self, record: logging.LogRecord) -> Any:  # a record since Python 3.12
        """Ask the filters; a record whose filter raises passes."""
        try:
            return super().filter(record)
        except Exception:  # noqa: BLE001 - a filter is the user's
            _report_failure()
            return True

    def callHandlers(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Pass the record to every handler, whatever an earlier one raises."""
        node: logging.Logger | None = self
        found = False
        while node:
            for handler in node.handlers:
                found = True
                if record.levelno >= handler.level:
                    try:
                        handler.handle(record)
                    except Exception:  # noqa: BLE001 - a handler is the user's
                        _report_failure()
            node = node.parent if node.propagate else None
        if not found:
            super().callHandlers(record)


#: The attributes that every record has.
_RESERVED: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def _report_failure() -> None:
    """Write to standard error what a filter or handler has raised, as logging does, but masked."""
    if logging.raiseExceptions:
        trace = format_traceback(*sys.exc_info())
        # Without a standard error there is no place for it.
        with suppress(AttributeError, OSError, ValueError):
            sys.stderr.write(f"A filter or handler of the log failed:\n{trace}\n")


def event_logger(name: str) -> logging.Logger:
    """Return the logger of a name, for lines of this project.

    Examples:
        >>> event_logger("connect_worker") is logger
        True
    """
    found = logging.getLogger(name)
    # A program may have asked for it before, or have set a class for all loggers.
    found.__class__ = _EventLogger
    return found


#: The logger of processors and of the worker. Its level is the application's to set.
logger: Final = event_logger("connect_worker")


@overload
def function_log(function: Callable[P, R]) -> Callable[P, R]: ...


@overload
def function_log(
    function: None = None, *, custom_logger: object = None, config: object = None
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def function_log(
    function: Callable[P, R] | None = None,
    *,
    custom_logger: object = None,  # noqa: ARG001 - callers of the SDK's name it
    config: object = None,  # noqa: ARG001 - the same
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function or method: each call of it is logged, on level DEBUG.

    The 2019 SDK's also logged arguments and results; this one does not, since they may be secret.
    Its options, `custom_logger` or `config`, are accepted and not used.

    Examples:
        >>> @function_log
        ... def add(a: int, b: int) -> int:
        ...     return a + b
        >>> add(1, b=2)
        3
    """
    return _log_calls if function is None else _log_calls(function)


def _log_calls(function: Callable[P, R]) -> Callable[P, R]:
    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        logger.debug(LogEvent("function.called", function=function.__qualname__))
        result = function(*args, **kwargs)
        logger.debug(LogEvent("function.returned", function=function.__qualname__))
        return result

    return wrapper


def _is_plain(value: str) -> bool:
    return bool(value) and value.isprintable() and not any(mark in value for mark in " \"'=")

"""The logger, and the log context: facts that are added to each of its lines.

Importing this module configures nothing: no level, no handler. `observability.logging` writes the
lines.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final

#: The logger of processors and of the worker. Its level is the application's to set.
logger: Final = logging.getLogger("connect_worker")

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


class LogEvent:
    """A log message of an event name and facts: ``job.claimed request=PR-1 attempt=2``.

    It becomes text only when a line is written. A formatter finds the parts as `record.msg.name`
    and `record.msg.facts`.

    Examples:
        >>> str(LogEvent("tenant created", tenant="TEN-1", seconds=3))
        'tenant created tenant=TEN-1 seconds=3'
    """

    __slots__ = ("facts", "name")

    def __init__(self, name: str, /, **facts: object) -> None:
        self.name = name
        self.facts = facts

    def __str__(self) -> str:
        return " ".join([self.name, *pairs(self.facts)])


def pairs(facts: Mapping[str, object]) -> list[str]:
    """Return ``key=value`` texts; a value that is empty or has spaces or quotes is quoted.

    Examples:
        >>> list(pairs({"tenant": "TEN-1", "note": "two words"}))
        ['tenant=TEN-1', "note='two words'"]
    """
    texts = ((key, str(value)) for key, value in facts.items())
    return [f"{key}={value if _is_plain(value) else repr(value)}" for key, value in texts]


def _is_plain(value: str) -> bool:
    return bool(value) and value.isprintable() and not any(mark in value for mark in " \"'=")

"""The logger, the facts bound to each of its lines, and the masking of secrets.

Importing this module configures nothing: no level, no handler. What starts a process (Celery, the
command line, a script) gives its handlers `prepare_handler`; then every line carries the facts that
`bind_log` holds at that moment, and none carries an API key.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final

#: The logger of processors and of the worker. Its level is the application's to set.
logger: Final = logging.getLogger("connect_worker")

_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})
_bound: ContextVar[Mapping[str, object]] = ContextVar("connect_worker_log", default=_NOTHING)

# `ApiKey SU-123-456-789:0a1b…` is how Connect writes a key; the part after the word is whatever
# the configuration holds, so the word alone is enough, and a bare key is known by its shape.
_SECRETS: Final = re.compile(r"(ApiKey[ +]|ApiKey%20)[^\s'\",;)}\]]+|\bSU-[\w-]*:[\w.~+/=-]+", re.I)


def mask_secrets(text: str) -> str:
    """Give the text with each API key in it replaced by ``***``."""
    return _SECRETS.sub(lambda found: f"{found[1] or ''}***", text)


@contextmanager
def bind_log(**facts: object) -> Iterator[None]:
    """Add facts to every line logged inside the with-block, in this thread or task only.

    Inner blocks add to outer ones. The worker binds `request`, `product`, `visit` and `attempt`.
    """
    token = _bound.set(MappingProxyType({**_bound.get(), **facts}))
    try:
        yield
    finally:
        _bound.reset(token)


def bound_facts() -> Mapping[str, object]:
    """Give the facts that `bind_log` holds here."""
    return _bound.get()


class LogEvent:
    """A log message of an event name and facts: ``claimed request=PR-1 attempt=2``.

    It becomes text only if the line is really written, and a formatter that wants the parts finds
    them as `record.msg.name` and `record.msg.facts`.
    """

    __slots__ = ("facts", "name")

    def __init__(self, name: str, /, **facts: object) -> None:
        self.name = name
        self.facts = facts

    def __str__(self) -> str:
        return " ".join([self.name, *_pairs(self.facts)])


class ContextFilter(logging.Filter):
    """Lays the bound facts on each record, as the mapping `record.facts`; drops none."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the facts and let the record pass."""
        # A record may meet several handlers, and a queue handler's other end runs in a thread
        # where nothing is bound: the first filter that sees it is the right one.
        if not hasattr(record, "facts"):
            record.facts = dict(_bound.get())
        return True


class RedactingFilter(logging.Filter):
    """Masks API keys in each record's message; drops none."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the message and let the record pass."""
        text = record.getMessage()
        masked = mask_secrets(text)
        if masked != text:
            record.msg, record.args = masked, None
        return True


class KeyValueFormatter(logging.Formatter):
    """Writes ``time level logger message key=value …``, with the bound facts at the end.

    It masks API keys once more, since a traceback is text only here.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Give the line without a traceback, the facts behind it."""
        facts = getattr(record, "facts", _NOTHING)
        said = record.msg.facts if isinstance(record.msg, LogEvent) else _NOTHING
        more = _pairs({key: value for key, value in facts.items() if key not in said})
        return " ".join([super().formatMessage(record), *more])

    def format(self, record: logging.LogRecord) -> str:
        """Give the whole entry, traceback included, without secrets."""
        return mask_secrets(super().format(record))


def prepare_handler(handler: logging.Handler) -> None:
    """Make a handler write this project's lines: facts, masked keys, ``key=value`` text."""
    handler.addFilter(ContextFilter())
    handler.addFilter(RedactingFilter())
    handler.setFormatter(KeyValueFormatter())


def _pairs(facts: Mapping[str, object]) -> list[str]:
    """Give ``key=value`` texts; a value with spaces, quotes or nothing in it is quoted."""
    texts = ((key, str(value)) for key, value in facts.items())
    return [f"{key}={value if _is_plain(value) else repr(value)}" for key, value in texts]


def _is_plain(value: str) -> bool:
    return bool(value) and value.isprintable() and not any(mark in value for mark in " \"'=")

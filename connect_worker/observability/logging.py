"""How a log line is written: as text for a person's terminal, as JSON for everything else.

What starts a process (Celery, the command line, a script) gives its handlers `prepare_handler`;
then each event is one line with the facts that `bind_log` holds at that moment, and no secret.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from connect_worker.logger import LogEvent, bound_facts, pairs
from connect_worker.observability.masking import mask_secrets

_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})

#: Of a nested value so many levels are written. Python's own limit would end the call that logs.
MAX_DEPTH: Final = 20

#: What every record has; anything else on one is an `extra` of the line's author. `data` is
#: Celery's: what its message says, once more.
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "facts", "data"}

_CONTROLS: Final = {
    code: repr(chr(code))[1:-1] for code in (*range(32), *range(127, 160), 0x2028, 0x2029)
}


class ContextFilter(logging.Filter):
    """Lays the bound facts on each record, as the mapping `record.facts`; drops none."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the facts and let the record pass."""
        # A record may meet several handlers, and a queue handler's other end runs in a thread
        # where nothing is bound: the first filter that sees it is the right one.
        if not hasattr(record, "facts"):
            record.facts = dict(bound_facts())
        return True


class RedactingFilter(logging.Filter):
    """Masks secrets in each record's message; drops none."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the message and let the record pass."""
        if isinstance(record.msg, LogEvent):
            # It stays one, so that a formatter still finds its parts.
            facts = {name: _masked(value) for name, value in record.msg.facts.items()}
            record.msg = LogEvent(mask_secrets(record.msg.name), **facts)
            return True
        # What an argument of any depth or type raises must not reach the code that logs.
        try:
            text = record.getMessage()
        except Exception as exc:  # noqa: BLE001 - an argument's `__str__` may be the user's
            text = f"{record.msg} (its arguments do not fit: {type(exc).__name__})"
            record.msg, record.args = text, None
        masked = mask_secrets(text)
        if masked != text:
            record.msg, record.args = masked, None
        return True


class KeyValueFormatter(logging.Formatter):
    """Writes ``time level logger message key=value …``, with the bound facts at the end.

    A traceback follows on lines of its own; line breaks in a message do not break the line. Secrets
    are masked once more, since a traceback is text only here.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Give the line without a traceback, the facts behind it."""
        own = record.msg.facts if isinstance(record.msg, LogEvent) else _NOTHING
        facts = {key: _masked(value) for key, value in _facts(record).items() if key not in own}
        return " ".join([super().formatMessage(record).translate(_CONTROLS), *pairs(facts)])

    def format(self, record: logging.LogRecord) -> str:
        """Give the whole entry, traceback included, without secrets."""
        return mask_secrets(super().format(record))


class JsonFormatter(logging.Formatter):
    """Writes one JSON object a line: `time`, `level`, `logger`, `event`, the facts, `exception`.

    Facts are fields beside the others: those bound, those of the event, and what the line's author
    gave as `extra`. Times are UTC.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Give the line, traceback included, without secrets."""
        event = record.msg.name if isinstance(record.msg, LogEvent) else record.getMessage()
        own = record.msg.facts if isinstance(record.msg, LogEvent) else _NOTHING
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": event,
        }
        extra = {name: value for name, value in vars(record).items() if name not in _OWN}
        for name, value in {**_facts(record), **extra, **own}.items():
            # The four above are what a log's readers sort by: a fact of that name stands beside.
            line[f"{name}_" if name in line else name] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(_masked(line), ensure_ascii=False).translate(_CONTROLS)


def prepare_handler(handler: logging.Handler, log_format: str = "auto") -> None:
    """Make a handler write this project's lines: facts, no secrets, one format.

    Args:
        handler: Any; one that writes to a terminal has its `stream`.
        log_format: `text`, `json`, or `auto`: text on a terminal and JSON elsewhere.
    """
    handler.addFilter(ContextFilter())
    handler.addFilter(RedactingFilter())
    if log_format == "auto":
        log_format = "text" if _is_terminal(handler) else "json"
    handler.setFormatter(JsonFormatter() if log_format == "json" else KeyValueFormatter())


def _is_terminal(handler: logging.Handler) -> bool:
    stream = getattr(handler, "stream", None)
    return bool(stream and stream.isatty())


def _facts(record: logging.LogRecord) -> Mapping[str, object]:
    facts: Mapping[str, object] = getattr(record, "facts", _NOTHING)
    return facts


def _masked(value: Any, depth: int = 0) -> Any:
    """Return a value in its JSON form, with secrets masked, cut below `MAX_DEPTH` levels."""
    match value:
        case bool() | int() | None:
            return value
        case float() if math.isfinite(value):
            return value
        case dict() | list() | tuple() if depth == MAX_DEPTH:
            return "…"
        case dict():
            return {
                mask_secrets(str(name)): _masked(item, depth + 1) for name, item in value.items()
            }
        case list() | tuple():
            return [_masked(item, depth + 1) for item in value]
        case _:
            return mask_secrets(str(value))

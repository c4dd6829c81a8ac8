"""How a log line is written: as text on a terminal, as JSON everywhere else.

The start of a process (Celery, the command line, a script) passes its handlers to
`prepare_handler`. Then each event is one line, with the log context of that moment and no secret.
A process that runs for long calls `log_to_standard_error` instead: where its log is JSON, all else
that it prints becomes lines of the log.
"""

from __future__ import annotations

import io
import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from connect_worker.logger import LogEvent, event_logger, log_context, pairs
from connect_worker.observability.masking import LONGEST_TEXT, mask_secrets, mask_value, text_of
from connect_worker.observability.output import (
    accept_any_text,
    dump_json,
    escape,
    escape_lines,
    format_traceback,
    iso_timestamp,
)

#: More than this without a line break becomes a line of the log; the formatter cuts it.
_LONGEST_LINE: Final = 1 << 20

_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})

#: How many lines about a flood are written.
MAX_LINES_PER_SECOND: Final = 10

#: The attributes of every record; any other is an `extra` of the call that logs. Celery's `data`
#: repeats its message.
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "facts",
    "data",
    "event_fields",
}


class LogThrottle:
    """Limits the log lines of a flood, and counts the suppressed ones.

    Args:
        lines: How many are written in each period.
        seconds: The length of a period.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        *,
        lines: int = MAX_LINES_PER_SECOND,
        seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lines = lines
        self._seconds = seconds
        self._clock = clock
        self._began = float("-inf")
        self._written = 0
        #: Suppressed since the last line that was allowed.
        self._suppressed = 0

    def allow(self) -> int | None:
        """Return None to suppress a line, else how many were suppressed before it."""
        now = self._clock()
        if now - self._began >= self._seconds:
            self._began, self._written = now, 0
        if self._written >= self._lines:
            self._suppressed += 1
            return None
        self._written += 1
        suppressed, self._suppressed = self._suppressed, 0
        return suppressed

    def facts(self) -> dict[str, int] | None:
        """Return None to suppress a line, else what it says of the suppressed ones before it."""
        suppressed = self.allow()
        if suppressed is None:
            return None
        return {"suppressed": suppressed} if suppressed else {}


class ContextFilter(logging.Filter):
    """Adds the log context to each record, as the mapping `record.facts`; drops no record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the facts and let the record pass."""
        # A record may meet several handlers, and a queue handler's other end runs in a thread
        # where nothing is bound: the first filter that sees it is the right one.
        if not hasattr(record, "facts"):
            record.facts = dict(log_context())
        return True


class RedactingFilter(logging.Filter):
    """Masks secrets in each record's message; drops no record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the message and let the record pass."""
        if isinstance(record.msg, LogEvent):
            return True
        # What an argument of any depth or type raises must not reach the code that logs.
        try:
            text = record.getMessage()
        except Exception as exc:  # noqa: BLE001 - an argument's `__str__` may be the user's
            text = f"{text_of(record.msg)} (its arguments do not fit: {type(exc).__name__})"
            record.msg, record.args = text, None
        masked = mask_secrets(text)
        if masked != text:
            record.msg, record.args = masked, None
        return True


class KeyValueFormatter(logging.Formatter):
    """Writes ``time level logger message key=value …``, with the log context at the end.

    A traceback follows on lines of its own, which are indented: whatever its error says, no line of
    it looks like a line of the log. Line breaks in a message do not break the line. Secrets are
    masked once more, since a traceback is text only here.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line without a traceback, the facts at its end."""
        own = record.msg.facts if isinstance(record.msg, LogEvent) else _NOTHING
        facts = {key: mask_value(value) for key, value in _facts(record).items() if key not in own}
        return escape(" ".join([super().formatMessage(record), *pairs(facts)]))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Return the traceback, masked."""
        return format_traceback(*ei)

    def format(self, record: logging.LogRecord) -> str:
        """Return the whole entry, traceback included, without secrets."""
        # Masked before the indent, which would tear a secret of several lines.
        return escape_lines(mask_secrets(super().format(record)))


class JsonFormatter(logging.Formatter):
    """Writes one JSON object a line: `time`, `level`, `logger`, `event`, the facts, `exception`.

    Facts become fields too: the log context, the facts of the event, and the `extra` of the call
    that logs. Times are UTC. A field that is longer than `LONGEST_TEXT` is cut.

    Args:
        stream: Where the lines go; only ASCII is written to one of another encoding than UTF-8.
    """

    def __init__(self, stream: object = None) -> None:
        super().__init__()
        self._stream = stream

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, traceback included, without secrets."""
        event = record.msg if isinstance(record.msg, LogEvent) else None
        line: dict[str, object] = {
            "time": iso_timestamp(record.created),
            "level": record.levelname,
            "logger": record.name,
            "event": event.name if event else record.getMessage(),
        }
        own = event.facts if event else _NOTHING
        hidden = _OWN.union(getattr(record, "event_fields", ()))
        extra = {name: value for name, value in vars(record).items() if name not in hidden}
        for name, value in {**_facts(record), **extra, **own}.items():
            # Readers of a log sort by the four above: a fact of the same name gets an underscore.
            line[f"{name}_" if name in line else name] = value
        if record.exc_info:
            line["exception"] = format_traceback(*record.exc_info)
        fields = {name: _bounded(value) for name, value in mask_value(line).items()}
        return dump_json(fields, stream=self._stream)


def prepare_handler(handler: logging.Handler, log_format: str = "auto") -> None:
    """Make a handler write this project's lines: facts, no secrets, one format.

    Args:
        handler: Any; one that writes to a terminal has its `stream`.
        log_format: `text`, `json`, or `auto`: text on a terminal and JSON elsewhere.
    """
    handler.addFilter(ContextFilter())
    handler.addFilter(RedactingFilter())
    stream = getattr(handler, "stream", None)
    accept_any_text(stream)
    is_json = writes_json(log_format, stream)
    handler.setFormatter(JsonFormatter(stream) if is_json else KeyValueFormatter())


def writes_json(log_format: str, stream: Any) -> bool:
    """Whether a log in this format is JSON on a stream: `auto` is text on a terminal only."""
    if log_format == "auto":
        return not (stream and stream.isatty())
    return log_format == "json"


def log_to_standard_error(log_format: str, level: int | None = None) -> None:
    """Write the log of this process to standard error, Python's warnings included.

    Where it is JSON, each line of the process is an object: what anything prints, to standard
    output too, is a line of the log. Only what the interpreter and C libraries write past Python's
    `sys.stdout` and `sys.stderr` is not, such as the reason of a crash.

    Args:
        log_format: As for `prepare_handler`.
        level: The least level that is written; None leaves it as it is.
    """
    handler = logging.StreamHandler(sys.__stderr__)
    prepare_handler(handler, log_format)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    if isinstance(handler.formatter, JsonFormatter):
        sys.stdout = _printing_to_log("stdout", logging.INFO)
        sys.stderr = _printing_to_log("stderr", logging.WARNING)


def prints_to_log() -> bool:
    """Whether this process has JSON as its log, and prints to it."""
    return isinstance(getattr(sys.stderr, "buffer", None), LogSink)


class LogSink(io.RawIOBase):
    """The end of a stream whose lines are lines of the log, at any level of the log.

    What one call prints stays together, in one line of the log.

    Args:
        name: `stdout` or `stderr`, for the logger's name and the descriptor.
        level: Of the lines.
    """

    def __init__(self, name: str, level: int) -> None:
        super().__init__()
        self._name = name
        self._level = level
        self._log = event_logger(f"connect_worker.{name}")
        # What has no line break yet, and whether the log itself prints; of each thread.
        self._local = threading.local()

    def writable(self) -> bool:
        """Whether it takes text."""
        return True

    def fileno(self) -> int:
        """Return the descriptor that the process was started with, for children of others."""
        return int(getattr(sys, f"__{self._name}__").fileno())

    def write(self, data: Any) -> int:
        """Log what ends with a line break, and keep what does not."""
        size = len(data)
        # A log that can't be written says so here: there is no place for that.
        if not getattr(self._local, "is_logging", False):
            self._local.rest = getattr(self._local, "rest", b"") + bytes(data)
            if self._local.rest.endswith(b"\n") or len(self._local.rest) > _LONGEST_LINE:
                self.flush()
        return size

    def flush(self) -> None:
        """Log what is kept."""
        kept, self._local.rest = getattr(self._local, "rest", b""), b""
        text = kept.decode(errors="backslashreplace").strip("\n")
        if not text.strip():
            return
        self._local.is_logging = True
        try:
            record = self._log.makeRecord(self._log.name, self._level, "", 0, text, (), None)
            self._log.handle(record)
        finally:
            self._local.is_logging = False


def _printing_to_log(name: str, level: int) -> io.TextIOWrapper:
    # The sink has the methods of a buffered stream that the wrapper calls, and holds nothing back.
    sink: Any = LogSink(name, level)
    return io.TextIOWrapper(sink, encoding="utf-8", errors="backslashreplace", write_through=True)


def prepare_last_resort() -> None:
    """Let a script that sets up no log write its warnings as text, without secrets."""
    handler = logging.lastResort
    if handler is not None and handler.formatter is None:
        prepare_handler(handler, "text")


def _facts(record: logging.LogRecord) -> Mapping[str, object]:
    facts: Mapping[str, object] = getattr(record, "facts", _NOTHING)
    return facts


def _bounded(value: Any) -> Any:
    """Return a masked value, or the beginning of its JSON where that is too long for a line."""
    if not isinstance(value, dict | list):
        return value
    text = dump_json(value)
    return value if len(text) <= LONGEST_TEXT else mask_secrets(text)

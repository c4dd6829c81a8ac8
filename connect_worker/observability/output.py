"""What a process writes for people and programs: one line stays one line, in any encoding.

Requests, errors and other systems supply the texts. None of them may move a terminal's cursor, turn
the direction of a line, or start a line of a log. So each character that does not print is written
as its escape (`\\x1b`), and the lines of a traceback are indented.

The module has three parts: escapes; durations, times and names for operators; and what a process
writes to its streams when it can't go on.
"""

from __future__ import annotations

import codecs
import json
import logging
import sys
import threading
import traceback
from datetime import UTC, datetime
from typing import Any, Final, NoReturn, TextIO

from connect_worker.observability.masking import mask_secrets

_INDENT: Final = "  "
_log: Final = logging.getLogger("connect_worker")

#: How a stream that lacks a character writes it; any other becomes its escape.
_IN_ASCII: Final = {"…": "...", "→": "->", "·": "-", "│": "|"}
_ERRORS: Final = "connect_worker.ascii"


class _Escapes(dict[int, str]):
    """For `str.translate`; keeps no entry, since customers choose the characters."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        return character if character.isprintable() else repr(character)[1:-1]


class _JsonEscapes(dict[int, str]):
    """As `_Escapes`, in the one way of writing an escape that JSON knows."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        return character if character.isprintable() else json.dumps(character)[1:-1]


_ESCAPES: Final = _Escapes()
_JSON_ESCAPES: Final = _JsonEscapes({ord("\n"): "\n"})


def escape(text: str) -> str:
    """Return a text on one line: each character that does not print as its escape.

    Examples:
        >>> print(escape("red \\x1b[31m, and\\n2026-01-01 INFO forged"))
        red \\x1b[31m, and\\n2026-01-01 INFO forged
    """
    return text if text.isprintable() else text.translate(_ESCAPES)


def escape_lines(text: str, *, indent: str = _INDENT) -> str:
    """Return a text whose lines stay lines, the second one and all others indented."""
    return f"\n{indent}".join(map(escape, text.split("\n")))


def dump_json(document: Any, *, stream: object = None, indent: int | None = None) -> str:
    """Return a document as JSON for a stream; each character that does not print is an escape."""
    text = json.dumps(document, ensure_ascii=needs_ascii(stream), indent=indent)
    return text if text.isprintable() else text.translate(_JSON_ESCAPES)


def needs_ascii(stream: object) -> bool:
    """Whether a stream may lack characters, so that JSON for it has to be ASCII."""
    name = getattr(stream, "encoding", None)
    try:
        return name is not None and codecs.lookup(name).name != "utf-8"
    except LookupError:
        return True


def format_traceback(
    kind: type[BaseException] | None, error: BaseException | None, trace: Any
) -> str:
    """Return a traceback, masked; its lines may still be anything."""
    try:
        text = "".join(traceback.format_exception(kind, error, trace))
    except Exception as exc:  # noqa: BLE001 - the error's class may be the user's
        text = f"{type(error).__name__}, without a traceback ({type(exc).__name__})"
    return mask_secrets(text.rstrip("\n"))


# ---- durations, times, counts and names

#: Names of Connect's products have 15 characters.
MAX_NAME_CHARACTERS: Final = 100
#: Of the reason of a pause.
MAX_REASON_CHARACTERS: Final = 200
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60))
_TIME: Final = "%Y-%m-%d %H:%M:%S"


def format_duration(seconds: float) -> str:
    """Return a duration for people: `0.4 s`, `12 s`, `3 min`, `5 h`, `2 d`.

    Examples:
        >>> format_duration(0.41), format_duration(119), format_duration(7200)
        ('0.4 s', '119 s', '2 h')
    """
    seconds = max(0.0, seconds)
    for unit, length in _UNITS:
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 or seconds < 0.05 else f"{seconds:.1f} s"


def iso_timestamp(at: float) -> str:
    """Return a time for programs: ISO 8601, UTC, with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def local_time(at: float) -> str:
    """Return a time for people, in the time zone of this machine."""
    return datetime.fromtimestamp(at).astimezone().strftime(_TIME)


def utc_time(at: float) -> str:
    """Return a time for people, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime(_TIME)


def format_count(number: int, noun: str = "request") -> str:
    """Return a number with its noun.

    Examples:
        >>> format_count(1), format_count(2), format_count(3, "failure")
        ('1 request', '2 requests', '3 failures')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def shorten(text: str, limit: int = MAX_NAME_CHARACTERS) -> str:
    """Return a name, or the beginning of one that is too long to be real."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def sanitize(text: str) -> str:
    """Return a text on one line, with keys masked; a character that does not print is escaped."""
    return escape(" ".join(mask_secrets(text).split()))


# ---- streams and the end of a process


def accept_any_text(*streams: object) -> None:
    """Let streams write every text, whatever their encoding; they raise no `UnicodeError`."""
    for stream in streams:
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors=_ERRORS)


def report_crashes() -> None:
    """Write an exception that ends the process or a thread without secrets and escapes.

    A process that has a log writes it there. A hook that something else has set stays.
    """
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _report
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _report_thread


def _report(kind: type[BaseException], error: BaseException | None, trace: Any) -> None:
    # Ctrl+C is a way to stop a process, and its traceback no event.
    if _has_log() and not issubclass(kind, KeyboardInterrupt):
        _log.critical("Uncaught exception", exc_info=(kind, error, trace))  # type: ignore[arg-type]
    else:
        _write(sys.stderr, escape_lines(format_traceback(kind, error, trace)))


def _report_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is SystemExit:
        return
    name = args.thread.name if args.thread else "a thread"
    trace = (args.exc_type, args.exc_value, args.exc_traceback)
    if _has_log():
        _log.critical("Exception in %s", name, exc_info=trace)  # type: ignore[arg-type]
    else:
        _write(sys.stderr, escape_lines(f"Exception in {name}:\n{format_traceback(*trace)}"))


def _has_log() -> bool:
    return bool(logging.getLogger().handlers)


def _write(stream: TextIO | None, text: str) -> None:
    # A process without a terminal may have no standard error.
    if stream is not None:
        accept_any_text(stream)
        stream.write(f"{text}\n")
        stream.flush()


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)  # noqa: S101 - the streams are written only
    characters = error.object[error.start : error.end]
    return "".join(_IN_ASCII.get(c) or ascii(c)[1:-1] for c in characters), error.end


codecs.register_error(_ERRORS, _in_ascii)


#: sysexits.h's EX_CONFIG. The units in deploy/systemd do not restart a process that ends with it.
EXIT_CONFIGURATION: Final = 78


def refuse_start(reason: object, *, status: int = EXIT_CONFIGURATION) -> NoReturn:
    """End a process that can't work until a person has changed its settings or processors.

    Raises:
        SystemExit: With the status, after the reason is on standard error.

    Examples:
        >>> refuse_start("CONNECT_API_URL not set")
        Traceback (most recent call last):
        SystemExit: 78
    """
    sys.stderr.write(f"connect-worker: {escape_lines(mask_secrets(str(reason)))}\n")
    raise SystemExit(status)

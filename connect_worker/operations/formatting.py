"""How durations, times and texts from elsewhere are written for operators and programs."""

from __future__ import annotations

from datetime import UTC, datetime

from connect_worker.observability.masking import mask_secrets
from connect_worker.observability.output import escape

#: Names of Connect's products have 15 characters.
MAX_NAME_CHARACTERS = 100
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))
_TIME = "%Y-%m-%d %H:%M:%S"


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


def shorten(text: str) -> str:
    """Return a name, or the beginning of one that is too long to be real."""
    return text if len(text) <= MAX_NAME_CHARACTERS else f"{text[: MAX_NAME_CHARACTERS - 1]}…"


def sanitize(text: str) -> str:
    """Return a text on one line, with keys masked; a character that does not print is escaped."""
    return escape(" ".join(mask_secrets(text).split()))

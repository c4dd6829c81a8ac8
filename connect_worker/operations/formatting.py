"""How the operator's views write times, ages and texts that others wrote."""

from __future__ import annotations

from datetime import UTC, datetime

from connect_worker.observability.masking import mask_secrets

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))


def span(seconds: float) -> str:
    """Return a length of time for people: `0.4 s`, `12 s`, `3 min`, `5 h`, `2 d`."""
    seconds = max(0.0, seconds)
    for unit, length in _UNITS:
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 or seconds < 0.05 else f"{seconds:.1f} s"


def stamp(at: float) -> str:
    """Return a moment for programs: ISO 8601, UTC, with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def moment(at: float) -> str:
    """Return a moment for people, in their own time zone."""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def clean(text: str) -> str:
    """Return a text in one line, without keys, and without what would steer a terminal."""
    line = " ".join(mask_secrets(text).split())
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in line)

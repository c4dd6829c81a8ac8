"""Processes whose clock is off, by libfaketime."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import pytest


def find_faketime() -> Path | None:
    """Find the library that shifts a process's clock, in the package of its name."""
    found = importlib.util.find_spec("libfaketime")
    if found is None or found.origin is None:
        return None
    return next(Path(found.origin).parent.rglob("libfaketime.so.1"), None)


FAKETIME = find_faketime()

needs_faketime = pytest.mark.skipif(
    FAKETIME is None, reason="no libfaketime: its wheel is for Linux on x86-64 only"
)


def shifted_clock(seconds: int) -> Mapping[str, str]:
    """Return the environment in which a process and its children read a clock that is off."""
    return {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME": f"{seconds:+d}s",
        # Time that is only measured, as a pause between heartbeats, goes on as it is.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def settable_clock(file: Path) -> Mapping[str, str]:
    """Return the environment in which a process reads a clock that is off as `file` says, such as
    `-3600s`; a change of the file sets the clock."""
    return {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }

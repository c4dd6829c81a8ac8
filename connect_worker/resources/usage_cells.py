"""What the cells of a usage record may hold: each reader gives the cell for a value.

A reader raises ValueError with what is wrong, as the end of a sentence that begins with the column.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

Cell = str | int | float | None

#: What a cell can hold (Excel's limits).
MOST_LETTERS: Final = 32_767
#: How Connect finds the item; the seed's example names the first two.
ITEM_CRITERIA: Final = ("item.mpn", "item.local_id", "item.global_id")

#: Control characters and lone surrogates, which XML can't hold.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_NUMBER = re.compile(r"[+-]?\d{1,40}(\.\d{0,40})?([eE][+-]?\d{1,3})?", re.ASCII)
_CONNECTS_TIME = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?", re.ASCII)


def plain(value: Any) -> Cell:
    """Read an optional cell."""
    match value:
        case None | "":
            return None
        case str():
            if len(value) > MOST_LETTERS:
                raise ValueError(f"is longer than {MOST_LETTERS:,} characters")
            if _UNWRITABLE.search(value):
                raise ValueError("has a character that no spreadsheet can hold")
            # A str itself: an enumeration's member would print as its name.
            return str.__str__(value)
        case date():
            return time(value)
        case bool():
            raise ValueError("is a bool; a text or a number is expected")
        case int() | float() | Decimal():
            return number(value)
        case _:
            raise ValueError(f"is a {type(value).__name__}; a text or a number is expected")


def required(value: Any) -> Cell:
    """Read a cell that may not be empty; a text of spaces is."""
    cell = plain(value)
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        raise ValueError("is missing")
    return cell


def item_criteria(value: Any) -> Cell:
    """Read what the item is found by."""
    if value not in ITEM_CRITERIA:
        required(value)
        raise ValueError(f"is {_shown(value)}; it must be one of {', '.join(ITEM_CRITERIA)}")
    return str.__str__(value)


def asset_criteria(value: Any) -> Cell:
    """Read what the asset is found by: its id, or one of its parameters."""
    cell = required(value)
    if isinstance(cell, str):
        name, _, parameter = cell.partition(".")
        if cell == "asset.id" or (name == "parameter" and parameter.strip()):
            return cell
    raise ValueError(f"is {_shown(value)}; it must be asset.id or parameter.{{id}}")


def number(value: Any) -> int | float:
    """Read a number, or the text of one, which items of a request may have as their quantity."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        text = value.strip()
        value = int(text) if text.isdecimal() else float(text)
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise ValueError(f"is {_shown(value)}, which is no number")  # noqa: TRY004 - a finding
    if not math.isfinite(value):
        raise ValueError(f"is {value}, which is no number")
    # Of a subclass (numpy's, an enumeration's) the plain number.
    return int(value) if isinstance(value, int) else float(value)


def amount(value: Any) -> Cell:
    """Read an optional number; it may be below zero."""
    return None if value in (None, "") else number(value)


def quantity(value: Any) -> Cell:
    """Read how much was used; no less than nothing, so that "unlimited" (-1) is none."""
    if value is None or value == "":
        raise ValueError("is missing")
    used = number(value)
    if used < 0:
        raise ValueError(f"is {used}, which is below zero")
    return used


def time(value: Any) -> Cell:
    """Read a time as Connect's text of it, in UTC; without a zone it is taken for UTC."""
    match value:
        case None | "":
            raise ValueError("is missing")
        case str():
            return _time_of_text(value.strip())
        case datetime():
            moment = value.astimezone(UTC) if value.tzinfo else value
            return moment.replace(tzinfo=None).isoformat(" ", "seconds")
        case date():
            return value.isoformat()
        case _:
            raise ValueError(f"is a {type(value).__name__}; a time is expected")


@lru_cache(maxsize=1024)
def _time_of_text(text: str) -> Cell:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"is {_shown(text)}; expected is YYYY-MM-DD HH:MM:SS") from None
    return text if _CONNECTS_TIME.fullmatch(text) else time(moment)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"

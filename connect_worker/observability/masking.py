"""Masking: secrets are replaced in every text that people read.

A secret is known by its shape (an API key, the password in a URL) or by its value. Values come from
`register_secret` (the deployment's own secrets) and, while a job runs, from
`register_scoped_secrets` (the passwords of its request). Every thread of the process masks them,
the threads that the processor starts included.

Customers write both the values and the texts, so masking takes time in proportion to their length:
a value is never part of a pattern, and of a very long text only the beginning is looked at.
"""

from __future__ import annotations

import math
import re
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Self

from connect_worker.observability.spellings import LEVELS, fold, forms, readings

#: A shorter value is a part of other words too often: hiding it would leave no text readable.
SHORTEST: Final = 4
#: A value up to here is hidden where it stands as a word, since `test` is a part of `latest`.
WORD: Final = 7
#: Of a longer text the beginning is given, with the number of characters that were cut off.
LONGEST_TEXT: Final = 64 * 1024
#: Of a longer value the beginning is searched; all that follows it in a text is masked.
LONGEST_VALUE: Final = 4 * 1024
#: The most values times characters of one search; a text that needs more is masked whole.
MOST_WORK: Final = 8 * 1024 * 1024

MASK: Final = "***"

#: How many levels of a nested value are kept: Python's limit would end the call that logs.
MAX_DEPTH: Final = 20
#: Python refuses to write an integer of more than 4,300 digits.
MAX_INTEGER_BITS: Final = 4096

#: How far behind the cut a secret may end that begins before it: a value whose every character is
#: escaped as `\\\\u00e9` or `%25C3%25A9`.
_MARGIN: Final = 16 * LONGEST_VALUE
#: Room for the note about what was cut off, so that a text is not cut a second time.
_NOTE: Final = 40
#: The end of a value's beginning may be half an escape.
_TORN: Final = 64

# `ApiKey SU-123-456-789:0a1b…` is how Connect writes a key; the part after the word is whatever
# the configuration holds, so the word alone is enough, and a bare key is known by its shape. Each
# pattern comes with a word that is in every text where it matches, and masks its one group. A user
# without a key matches too, with no group, so that what was read once is not read again.
_SHAPES: Final = (
    ("apikey", re.compile(r"ApiKey(?:[ +]|%20)([^\s'\",;)}\]]++)", re.I)),
    ("su-", re.compile(r"\b(SU-[\w-]*+:[\w.~+/=-]++)|\bSU-[\w-]*+", re.I)),
    ("://", re.compile(r"://[^\s/@:?#'\"]*+:([^\s/'\"]+)(?=@)")),
    ("password=", re.compile(r"[?&]password=([^\s&'\"]++)", re.I)),
)


def mask_secrets(text: str, *, is_whole: bool = False) -> str:
    """Give the text with each secret in it replaced by ``***``.

    Args:
        text: Any.
        is_whole: Whether a text longer than `LONGEST_TEXT` is kept whole, whatever that takes.
    """
    return _masked(text, _known.needles, has_shapes=True, is_whole=is_whole)


def mask_values(text: str, values: Iterable[str], *, is_whole: bool = False) -> str:
    """Give the text with each of these values in it replaced by ``***``, however it is written.

    Args:
        text: Any.
        values: Any; those that are too short stay.
        is_whole: As for `mask_secrets`.
    """
    return _masked(text, _Needles.of(values), has_shapes=False, is_whole=is_whole)


def mask_value(value: Any, depth: int = 0) -> Any:
    """Return a value in its JSON form, with secrets masked, cut below `MAX_DEPTH` levels."""
    match value:
        case int() if value.bit_length() > MAX_INTEGER_BITS:
            return f"an integer of {value.bit_length()} bits"
        case bool() | int() | None:
            return value
        case float() if math.isfinite(value):
            return value
        case dict() | list() | tuple() if depth == MAX_DEPTH:
            return "…"
        case dict():
            return {
                mask_secrets(text_of(name)): mask_value(item, depth + 1)
                for name, item in value.items()
            }
        case list() | tuple():
            return [mask_value(item, depth + 1) for item in value]
        case _:
            return mask_secrets(text_of(value))


def text_of(value: object) -> str:
    """Return a value's text, or what it is if its own code raises."""
    try:
        return str(value)
    except Exception as exc:  # noqa: BLE001 - the `__str__` may be the user's
        return f"{type(value).__name__}, without a text ({type(exc).__name__})"


def register_secret(*values: str) -> None:
    """Hide these values for as long as the process runs."""
    _known.add(values)


@contextmanager
def secret_scope() -> Iterator[None]:
    """Hide the values that `register_scoped_secrets` gets inside the with-block, until its end."""
    values: list[str] = []
    token = _here.set(values)
    try:
        yield
    finally:
        _here.reset(token)
        _known.remove(values)


def register_scoped_secrets(values: Iterable[str]) -> None:
    """Hide these values until the innermost `secret_scope` block ends; without one, do nothing."""
    block = _here.get()
    if block is not None:
        new = list(values)
        _known.add(new)
        block.extend(new)


@dataclass(frozen=True, slots=True)
class _Needles:
    """What is searched for."""

    #: How many values they are made of.
    count: int
    #: For each level of reading the forms, and whether a form is only the beginning of a value.
    levels: tuple[frozenset[tuple[str, bool]], ...]

    @classmethod
    def of(cls, values: Iterable[str]) -> Self:
        """Prepare a search for these values; those that are too short are left out."""
        known = {value for value in values if len(value) >= SHORTEST}
        levels: list[set[tuple[str, bool]]] = [set() for _ in range(LEVELS)]
        for value in known:
            is_beginning = len(value) > LONGEST_VALUE
            for level, form in zip(levels, forms(value[:LONGEST_VALUE]), strict=True):
                begin = form[:-_TORN] if is_beginning else form
                if begin:
                    level.add((begin, is_beginning))
        return cls(len(known), tuple(map(frozenset, levels)))


class _Known:
    """The values in force, counted: two jobs may have the same one."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.needles = _Needles.of(())

    def add(self, values: Iterable[str]) -> None:
        self._count(values, 1)

    def remove(self, values: Iterable[str]) -> None:
        self._count(values, -1)

    def _count(self, values: Iterable[str], step: int) -> None:
        known = [value for value in values if len(value) >= SHORTEST]
        if not known:
            return
        with self._lock:
            before = set(self._counts)
            for value in known:
                self._counts[value] += step
            self._counts += Counter()
            if self._counts.keys() != before:
                self.needles = _Needles.of(self._counts)


def _masked(text: str, needles: _Needles, *, has_shapes: bool, is_whole: bool) -> str:
    is_cut = len(text) > LONGEST_TEXT and not is_whole
    seen = text[: LONGEST_TEXT + _MARGIN] if is_cut else text
    if len(seen) * needles.count > MOST_WORK and not is_whole:
        return f"{MASK} ({len(text)} characters)"
    spans = [*_values_in(seen, needles)]
    if has_shapes:
        spans += _shapes_in(seen)
    if not spans and not is_cut:
        return text
    return _without(text, spans, keep=LONGEST_TEXT - _NOTE if is_cut else len(text))


def _without(text: str, spans: Iterable[tuple[int, int]], *, keep: int) -> str:
    """Replace the spans, and cut the text after `keep` characters of its own."""
    parts: list[str] = []
    at = 0
    for start, end in sorted(spans):
        if start >= keep:
            break
        if start >= at:
            parts += text[at:start], MASK
        at = max(at, end)
    if at < keep:
        parts.append(text[at:keep])
        at = keep
    if at < len(text):
        parts.append(f"… ({len(text) - at} more characters)")
    return "".join(parts)


def _values_in(text: str, needles: _Needles) -> Iterator[tuple[int, int]]:
    if not needles.count:
        return
    for reading in readings(text):
        for needle, is_beginning in needles.levels[reading.level]:
            for place in _places(reading.text, needle):
                start, end = reading.origin(*place)
                # `\\\\%41` is a value, but the `A` that it encodes is not.
                if end - start < SHORTEST:
                    continue
                if is_beginning:
                    yield start, sys.maxsize
                    break
                yield start, end


def _places(text: str, needle: str) -> Iterator[tuple[int, int]]:
    """Yield where the needle is: a short one only where it stands as a word."""
    at = text.find(needle)
    while at >= 0:
        end = at + len(needle)
        if len(needle) <= WORD and (_is_word(text[at - 1 : at]) or _is_word(text[end : end + 1])):
            at = text.find(needle, at + 1)
        else:
            yield at, end
            at = text.find(needle, end)


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _shapes_in(text: str) -> Iterator[tuple[int, int]]:
    folded = fold(text)
    for word, pattern in _SHAPES:
        if word in folded:
            for match in pattern.finditer(text):
                if match[1]:
                    yield match.span(1)


_known: Final = _Known()
_here: ContextVar[list[str] | None] = ContextVar("connect_worker_hidden", default=None)

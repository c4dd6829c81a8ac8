"""Secrets are kept out of texts: known by their shape, or by their value.

By its shape an API key is known, and the password in a URL. By its value is known what `hide` was
told (the deployment's own secrets), and, while a job runs, what `hide_here` was told: its request's
passwords. All threads of the process hide them then, the ones that the user's code starts included.
"""

from __future__ import annotations

import html
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final
from urllib.parse import quote

#: A shorter value is a part of other words too often: hiding it would leave no text readable.
SHORTEST: Final = 4
#: A value up to here is hidden where it stands as a word, since `test` is a part of `latest`.
WORD: Final = 7

# `ApiKey SU-123-456-789:0a1b…` is how Connect writes a key; the part after the word is whatever
# the configuration holds, so the word alone is enough, and a bare key is known by its shape.
_KEYS: Final = re.compile(r"(ApiKey[ +]|ApiKey%20)[^\s'\",;)}\]]+|\bSU-[\w-]*:[\w.~+/=-]+", re.I)
_IN_URLS: Final = re.compile(r"(://[^\s/@:?#'\"]*:)[^\s/'\"]+(?=@)|([?&]password=)[^\s&'\"]+", re.I)


def mask_secrets(text: str) -> str:
    """Give the text with each secret in it replaced by ``***``."""
    if _known.pattern is not None:
        text = _known.pattern.sub("***", text)
    text = _KEYS.sub(lambda found: f"{found[1] or ''}***", text)
    return _IN_URLS.sub(lambda found: f"{found[1] or found[2]}***", text)


def mask_values(text: str, values: Iterable[str]) -> str:
    """Give the text with each of these values in it replaced by ``***``, however it is written."""
    pattern = _pattern_of({value for value in values if len(value) >= SHORTEST})
    return pattern.sub("***", text) if pattern else text


def hide(*values: str) -> None:
    """Hide these values for as long as the process runs."""
    _known.add(values)


@contextmanager
def hiding() -> Iterator[None]:
    """Hide what `hide_here` is told inside the with-block, until its end."""
    values: list[str] = []
    token = _here.set(values)
    try:
        yield
    finally:
        _here.reset(token)
        _known.remove(values)


def hide_here(values: Iterable[str]) -> None:
    """Hide these values until the innermost `hiding` block ends; outside of one, do nothing."""
    block = _here.get()
    if block is not None:
        new = list(values)
        _known.add(new)
        block.extend(new)


class _Known:
    """The values in force, counted: two jobs may have the same one."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        #: The longest value first, since one may be a part of another.
        self.pattern: re.Pattern[str] | None = None

    def add(self, values: Iterable[str]) -> None:
        self._count(values, 1)

    def remove(self, values: Iterable[str]) -> None:
        self._count(values, -1)

    def _count(self, values: Iterable[str], step: int) -> None:
        known = [value for value in values if len(value) >= SHORTEST]
        if not known:
            return
        with self._lock:
            for value in known:
                self._counts[value] += step
            self._counts += Counter()
            self._rebuild()

    def _rebuild(self) -> None:
        self.pattern = _pattern_of(self._counts)


def _pattern_of(values: Iterable[str]) -> re.Pattern[str] | None:
    longest_first = sorted(values, key=len, reverse=True)
    spellings = "|".join(map(_any_spelling, longest_first))
    return re.compile(spellings, re.I) if spellings else None


def _any_spelling(value: str) -> str:
    """Return a pattern for a value as it is, in quotes, in JSON, a URL or HTML, or in all at once.

    An echo of a document in a document in a log line has its quotes escaped three times over.
    """
    spelled = "".join(map(_spellings, value))
    return rf"(?<!\w){spelled}(?!\w)" if len(value) <= WORD else spelled


def _spellings(character: str) -> str:
    if character.isascii() and character.isalnum():
        return character
    if character == "\\":
        return r"(?:\\|%5C)+"
    code_units = character.encode("utf-16-be", "surrogatepass").hex(" ", 2).split()
    letter = repr(character)[1:-1].removeprefix("\\")
    patterns = [
        rf"\\*{re.escape(character)}",
        rf"\\+{re.escape(letter)}",
        "".join(rf"\\+u{unit}" for unit in code_units),
        re.escape(quote(character, safe="", errors="replace")),
        re.escape(html.escape(character)),
    ]
    if character == " ":
        patterns.append(r"\+")
    return f"(?:{'|'.join(patterns)})"


_known: Final = _Known()
_here: ContextVar[list[str] | None] = ContextVar("connect_worker_hidden", default=None)

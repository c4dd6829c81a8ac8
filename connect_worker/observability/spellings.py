"""The ways in which a text writes a value: in a URL, in HTML, in JSON or Python quotes, or nested.

A text has several readings, and each undoes one more kind of escaping. A value has a form for each
of them, made by the same functions. So one plain search for each form finds the value, however
deep it is escaped.

Every function here takes time in proportion to its text, whatever is in it: texts and values come
from customers. The patterns have no alternatives that match the same characters.
"""

from __future__ import annotations

import html
import re
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

#: How many readings a text has at most, and how many forms a value has.
LEVELS: Final = 6

# `%2525C3` is what is left of a `%C3` that was encoded twice more.
_PERCENT: Final = re.compile(r"(?:%(?:25)*[0-9A-Fa-f]{2})+")
_PERCENT_TOKEN: Final = re.compile(r"%(?:25)*([0-9A-Fa-f]{2})")
_ENTITY: Final = re.compile(
    r"&(?:amp;)*((?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]\w{1,31});)", re.A
)
# Each nesting doubles the backslashes, so a run of them counts as one.
_ESCAPE: Final = re.compile(
    r"""\\++(?:
        u([dD][89abAB][0-9a-fA-F]{2})\\++u([dD][c-fC-F][0-9a-fA-F]{2})
        | (?:u([0-9a-fA-F]{4}) | U([0-9a-fA-F]{8}) | x([0-9a-fA-F]{2}))
        | (.?)
    )""",
    re.VERBOSE | re.DOTALL,
)
# As `_ESCAPE`, where Python shows bytes: each byte of UTF-8 is an escape of its own.
_BYTES: Final = re.compile(
    r"""\\++(?:
        x([cCdD][0-9a-fA-F])\\++x([89abAB][0-9a-fA-F])
        | x([eE][0-9a-fA-F])\\++x([89abAB][0-9a-fA-F])\\++x([89abAB][0-9a-fA-F])
        | x([fF][0-4])\\++x([89abAB][0-9a-fA-F])\\++x([89abAB][0-9a-fA-F])\\++x([89abAB][0-9a-fA-F])
        | u([dD][89abAB][0-9a-fA-F]{2})\\++u([dD][c-fC-F][0-9a-fA-F]{2})
        | (?:u([0-9a-fA-F]{4}) | U([0-9a-fA-F]{8}) | x([0-9a-fA-F]{2}))
        | (.?)
    )""",
    re.VERBOSE | re.DOTALL,
)
_BACKSLASHES: Final = re.compile(r"\\++(.?)", re.DOTALL)
#: What `surrogateescape` adds to a byte.
_STRAY: Final = 0xDC00
_CONTROLS: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


@dataclass(frozen=True, slots=True)
class Reading:
    """A text with some of its escapes undone, in lower case, with the way back to the text."""

    #: Which of a value's forms may be in it.
    level: int
    text: str
    #: The stages that led here, the first one first.
    _stages: tuple[_Stage, ...]

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Return where in the original text this part of the reading comes from."""
        for stage in reversed(self._stages):
            start, end = stage.origin(start, end)
        return start, end


def readings(text: str) -> Iterator[Reading]:
    """Yield the text as it is written, and one reading more for each kind of escape in it."""
    yield Reading(0, fold(text), ())
    stages: tuple[_Stage, ...] = ()
    for level, escapes in _NESTED:
        stage = _undo(text, escapes)
        if stage is not None:
            text, stages = stage.text, (*stages, stage)
            yield Reading(level, fold(text), stages)
    # `C:\new` has an escape for those who read it as JSON, and none for those who do not.
    for level, escapes in _EITHER:
        stage = _undo(text, escapes)
        if stage is not None:
            yield Reading(level, fold(stage.text), (*stages, stage))


def forms(value: str) -> tuple[str, ...]:
    """Return what to search for in a reading of each level.

    Examples:
        >>> forms("A%20b")
        ('a%20b', 'a b', 'a b', 'a b', 'a b', 'a b')
    """
    by_level = {reading.level: reading.text for reading in readings(value)}
    if len(by_level) == 1:
        return (by_level[0],) * LEVELS
    written = by_level[0]
    unquoted = by_level.get(1, written)
    unescaped = by_level.get(2, unquoted)
    return written, unquoted, unescaped, *(by_level.get(n, unescaped) for n in range(3, LEVELS))


def fold(text: str) -> str:
    """Return the text in lower case, of the same length, with a space for each plus sign.

    Examples:
        >>> fold("SU-1+\N{LATIN CAPITAL LETTER U WITH DIAERESIS}")
        'su-1 ü'
    """
    if text.isascii():
        return text.lower().replace("+", " ")
    return text.translate(_FOLDED)


class _Folded(dict[int, int]):
    """Each character alone: `str.lower` looks at the neighbors of a sigma."""

    def __missing__(self, code: int) -> int:
        character = chr(code)
        for folded in (character.casefold(), character.lower()):
            if len(folded) == 1 and folded != character:
                self[code] = ord(folded)
                return self[code]
        return code


_FOLDED: Final = _Folded({ord("+"): ord(" ")})


@dataclass(frozen=True, slots=True)
class _Escapes:
    """One kind of escape."""

    #: The character without which a text has none of them.
    mark: str
    pattern: re.Pattern[str]
    #: Gives the characters of a match, each with the length of its encoded form.
    characters: Callable[[re.Match[str]], list[tuple[str, int]]]


@dataclass(frozen=True, slots=True)
class _Stage:
    """A text with one kind of escape undone, in pieces: a piece is one escape or none."""

    text: str
    #: Where each piece begins, here and in the text before; the ends come last.
    starts: list[int]
    sources: list[int]

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Return where in the text before this part comes from; an escape is never divided."""
        first, last = self._piece(start), self._piece(end - 1)
        return (
            self.sources[first] + (start - self.starts[first] if self._is_plain(first) else 0),
            self.sources[last] + end - self.starts[last]
            if self._is_plain(last)
            else self.sources[last + 1],
        )

    def _piece(self, position: int) -> int:
        return bisect_right(self.starts, position) - 1

    def _is_plain(self, piece: int) -> bool:
        length = self.starts[piece + 1] - self.starts[piece]
        return length == self.sources[piece + 1] - self.sources[piece]


def _undo(text: str, escapes: _Escapes) -> _Stage | None:
    """Return the text without these escapes; None when it has none."""
    if escapes.mark not in text:
        return None
    parts: list[str] = []
    starts: list[int] = []
    sources: list[int] = []
    length = source = 0
    for match in escapes.pattern.finditer(text):
        begin = match.start()
        pieces = escapes.characters(match)
        if begin > source:
            pieces = [(text[source:begin], begin - source), *pieces]
        for characters, size in pieces:
            parts.append(characters)
            starts.append(length)
            sources.append(source)
            length += len(characters)
            source += size
    if not parts:
        return None
    rest = text[source:]
    return _Stage(
        "".join([*parts, rest]),
        [*starts, length, length + len(rest)],
        [*sources, source, len(text)],
    )


def _of_percent(match: re.Match[str]) -> list[tuple[str, int]]:
    if len(match[0]) == len("%20"):
        # The usual case. UTF-8 needs several for what is not ASCII.
        code = int(match[0][1:], 16)
        return [(chr(code if code < 0x80 else _STRAY + code), len(match[0]))]
    tokens = list(_PERCENT_TOKEN.finditer(match[0]))
    encoded = bytes(int(token[1], 16) for token in tokens)
    characters = []
    at = 0
    # What is no UTF-8 becomes one character a byte, in a text and in a value alike.
    for character in encoded.decode("utf-8", "surrogateescape"):
        behind = at + len(character.encode("utf-8", "surrogateescape"))
        characters.append((character, tokens[behind - 1].end() - tokens[at].start()))
        at = behind
    return characters


def _of_entity(match: re.Match[str]) -> list[tuple[str, int]]:
    return [(html.unescape(f"&{match[1]}"), len(match[0]))]


def _of_escape(match: re.Match[str]) -> list[tuple[str, int]]:
    high, low, short, long, byte, other = match.groups()[-6:]
    if other is not None:
        character = _CONTROLS.get(other, other)
    elif high:
        character = bytes.fromhex(high + low).decode("utf-16-be")
    else:
        code = short or long or byte
        number = int(code, 16)
        character = chr(number) if number <= sys.maxunicode else code
    return [(character, len(match[0]))]


def _of_bytes(match: re.Match[str]) -> list[tuple[str, int]]:
    encoded = bytes.fromhex("".join(filter(None, match.groups()[:-6])))
    if not encoded:
        return _of_escape(match)
    # It may be a code that UTF-8 does not have, in a text and in a value alike.
    return [(encoded.decode(errors="replace")[:1], len(match[0]))]


def _of_backslashes(match: re.Match[str]) -> list[tuple[str, int]]:
    return [(match[1], len(match[0]))]


_NESTED: Final = (
    (1, _Escapes("%", _PERCENT, _of_percent)),
    (2, _Escapes("&", _ENTITY, _of_entity)),
)
_EITHER: Final = (
    (3, _Escapes("\\", _ESCAPE, _of_escape)),
    (4, _Escapes("\\", _BACKSLASHES, _of_backslashes)),
    (5, _Escapes("\\", _BYTES, _of_bytes)),
)

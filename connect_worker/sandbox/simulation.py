"""Repeatable variety: the same seed, kind and number give the same object in every process."""

import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

# The time as Connect writes it.

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)


def exact(moment: datetime) -> str:
    """With microseconds, as fulfillment requests show it."""
    return moment.isoformat(timespec="microseconds")


def whole_seconds(moment: datetime) -> str:
    """Without fractions, as events and usage files show it."""
    return moment.isoformat(timespec="seconds")


T = TypeVar("T")

_WORD = (1 << 64) - 1


class Dice:
    """A small generator (splitmix64) that costs far less to seed than ``random.Random``.

    Bodies are built anew at every read, so a hundred thousand of them are seeded often.
    """

    def __init__(self, seed: int, topic: str, number: int) -> None:
        self._state = (
            seed * 0x9E3779B97F4A7C15
            + zlib.crc32(topic.encode()) * 0xD1B54A32D192ED03
            + number * 0x8CB92BA72F3D8DD7
        ) & _WORD

    def _next(self) -> int:
        self._state = (self._state + 0x9E3779B97F4A7C15) & _WORD
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _WORD
        return mixed ^ (mixed >> 31)

    def number(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + self._next() % (high - low + 1)

    def pick(self, choices: Sequence[T]) -> T:
        """One of the choices."""
        return choices[self._next() % len(choices)]

    def chance(self, percent: int) -> bool:
        """True in so many of a hundred cases."""
        return self._next() % 100 < percent

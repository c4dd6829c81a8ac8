"""Lines about refused notifications: each has one, but a flood of them is told in sums."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

MOST_PER_SECOND: Final = 10


class Quiet:
    """Counts what is told, and what is not.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._second = float("-inf")
        self._told = 0
        #: How many were not told since the last one that was.
        self._untold = 0

    def may_tell(self) -> int | None:
        """Return None when nothing is to be told; else how many were not told before it."""
        now = self._clock()
        if now - self._second >= 1:
            self._second, self._told = now, 0
        if self._told >= MOST_PER_SECOND:
            self._untold += 1
            return None
        self._told += 1
        untold, self._untold = self._untold, 0
        return untold

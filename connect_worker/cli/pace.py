"""How long the demo has run, and how fast it settles requests."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pace:
    """Follows a count over time.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._first_seen: float | None = None
        self._last_seen: float | None = None
        self._settled = 0

    def note(self, *, settled: int, active: int) -> None:
        """Take note of how many are settled by now, and how many are being worked on."""
        now = self._clock()
        if self._first_seen is None and (settled or active):
            self._first_seen = now
        if active or settled != self._settled:
            self._last_seen = now
        self._settled = settled

    @property
    def elapsed_seconds(self) -> float:
        """The time since the start."""
        return self._clock() - self._began

    @property
    def worked_seconds(self) -> float:
        """The time from the start to the last sight of work."""
        return (self._last_seen or self._began) - self._began

    @property
    def per_second(self) -> float:
        """How many were settled a second, from the first sight of work to the last."""
        if self._first_seen is None or self._last_seen is None:
            return 0.0
        seconds = self._last_seen - self._first_seen
        return self._settled / seconds if seconds > 0 else 0.0

"""The password: compared without telling how much of it was right, and not tried in a row."""

from __future__ import annotations

import hmac
import time
from collections import deque
from collections.abc import Callable
from typing import Final

WINDOW_SECONDS: Final = 60.0
#: Wrong passwords within the window, from one address and from all together.
MOST_OF_ONE: Final = 5
MOST_OF_ALL: Final = 50


class Throttle:
    """Remembers wrong passwords for a minute.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: When, and from which address; the oldest first.
        self._wrong: deque[tuple[float, str]] = deque()

    def wait_seconds(self, address: str) -> float:
        """Return how long this address has to wait until it may try; 0 when it may."""
        now = self._clock()
        while self._wrong and self._wrong[0][0] <= now - WINDOW_SECONDS:
            self._wrong.popleft()
        its_own = [at for at, whose in self._wrong if whose == address]
        waits = [0.0]
        if len(its_own) >= MOST_OF_ONE:
            waits.append(its_own[-MOST_OF_ONE] + WINDOW_SECONDS - now)
        if len(self._wrong) >= MOST_OF_ALL:
            waits.append(self._wrong[-MOST_OF_ALL][0] + WINDOW_SECONDS - now)
        return max(waits)

    def note_wrong(self, address: str) -> None:
        """Count a wrong password."""
        self._wrong.append((self._clock(), address))


def is_right(given: str, password: str) -> bool:
    """Compare, in a time that depends on neither."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), password.encode())

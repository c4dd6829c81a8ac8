"""How many of a worker's slots its accounts may take: one that hangs must not have them all.

An account takes what the others leave it. Each of them keeps as many slots as it has used lately
and one more, up to an even share: so an account alone at work has all but one for each other one,
two that are busy have half each, and what jobs of a hanging account hold, they hold of its part.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Final

#: For so long an account keeps the slots that it has used.
RECENT_SECONDS: Final = 10.0


class Shares:
    """Tells which account of a worker may take one more job.

    Args:
        accounts: All whose queues the worker takes.
        clock: Steady seconds; a test may step it.
    """

    def __init__(
        self, accounts: Collection[str], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        #: The most jobs that an account had under way at once of late, and when.
        self._peaks = {account: (0, float("-inf")) for account in accounts}

    def may_take(self, account: str, under_way: Mapping[str, int], *, slots: int) -> bool:
        """Whether the account may begin another job beside those under way, by account."""
        self._note(under_way)
        free = slots - sum(under_way.values())
        if not under_way.get(account, 0):
            # Its first one: the others have left it a slot, where there are enough for all.
            return free > 0
        even = max(1, slots // len(self._peaks))
        kept = sum(
            max(0, min(even, peak + 1) - under_way.get(other, 0))
            for other, (peak, _) in self._peaks.items()
            if other != account
        )
        return free > kept

    def _note(self, under_way: Mapping[str, int]) -> None:
        now = self._clock()
        for account, (peak, at) in self._peaks.items():
            count = under_way.get(account, 0)
            if count >= peak or now - at > RECENT_SECONDS:
                self._peaks[account] = (count, now)

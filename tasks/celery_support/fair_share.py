"""How many of a worker's slots its accounts may take: one that hangs must not have them all.

Up to an even share an account takes what is free. Beyond it, each of its jobs that has just ended,
and soon, lets two others begin: one whose jobs hang gets no further. And it leaves to each other
account as many slots as that one has used lately and one more, up to an even share.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Mapping
from typing import Final

#: For so long an account keeps the slots that it has used.
RECENT_SECONDS: Final = 10.0
#: A job that takes longer may be one that hangs.
BRISK_SECONDS: Final = 5.0
#: For so long the end of a job lets others begin beyond the even share.
CREDIT_SECONDS: Final = 0.5


class FairShare:
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
        #: Whose each job is that was seen under way, and since when.
        self._seen: dict[str, tuple[str, float]] = {}
        #: For each job that an account may begin beyond its share: when one has ended.
        self._credits: dict[str, deque[float]] = defaultdict(deque)

    def may_take(self, account: str, jobs: Mapping[str, str], *, slots: int) -> bool:
        """Whether the account may begin another job.

        Args:
            account: Who asks.
            jobs: The account of each job under way, by the job's id.
            slots: How many jobs the worker can have under way.
        """
        under_way = Counter(jobs.values())
        even = max(1, slots // len(self._peaks))
        self._look(jobs, under_way, even)
        free = slots - len(jobs)
        if not under_way[account]:
            # Its first one: the others have left it a slot, where there are enough for all.
            return free > 0
        kept = sum(
            max(0, min(even, peak + 1) - under_way[other])
            for other, (peak, _) in self._peaks.items()
            if other != account
        )
        return free > kept and (under_way[account] < even or bool(self._credits[account]))

    def _look(self, jobs: Mapping[str, str], under_way: Mapping[str, int], even: int) -> None:
        """Take note of what has begun and ended since the last look."""
        now = self._clock()
        for job in self._seen.keys() - jobs.keys():
            account, since = self._seen.pop(job)
            if now - since < BRISK_SECONDS:
                # One in its place, and one more.
                self._credits[account] += (now, now)
        begun = Counter(jobs[job] for job in jobs.keys() - self._seen.keys())
        self._seen |= {
            job: (account, now) for job, account in jobs.items() if job not in self._seen
        }
        for account, (peak, at) in self._peaks.items():
            count, credit = under_way.get(account, 0), self._credits[account]
            for _ in range(min(begun[account], count - even)):
                if credit:
                    credit.popleft()
            while credit and now - credit[0] > CREDIT_SECONDS:
                credit.popleft()
            if count >= peak or now - at > RECENT_SECONDS:
                self._peaks[account] = (count, now)

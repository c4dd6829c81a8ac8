"""How many of a worker's slots each account may take: an account that hangs must not have them all.

Up to an even share an account takes what is free. Beyond the share, each of its jobs that ends
within a few seconds lets two others begin: an account whose jobs hang stops at its share. It also
leaves each other account as many slots as that one has used lately and one more, up to an even
share.

Celery has nothing like it: a worker takes messages in the order in which they come.
tests/unit/tasks/test_fair_share.py holds the rule, tests/faults/test_account_in_trouble.py a worker
that uses it.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Mapping
from typing import Final

#: How long an account keeps the slots that it has used.
RECENT_SECONDS: Final = 10.0
#: A job that takes longer may be one that hangs.
BRISK_SECONDS: Final = 5.0
#: How long after the end of a job others may begin beyond the even share.
CREDIT_SECONDS: Final = 0.5


class FairShare:
    """Decides which account of a worker may take one more job.

    Args:
        accounts: All whose queues the worker takes.
        clock: Steady seconds; a test may step it.
    """

    def __init__(
        self, accounts: Collection[str], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        #: By account: the most jobs that lately ran at once, and when.
        self._peaks = {account: (0, float("-inf")) for account in accounts}
        #: By job id: the account, and since when the job was seen to run.
        self._seen: dict[str, tuple[str, float]] = {}
        #: By account: for each job that may begin beyond the share, when another one ended.
        self._credits: dict[str, deque[float]] = defaultdict(deque)

    def may_take(self, account: str, jobs: Mapping[str, str], *, slots: int) -> bool:
        """Whether the account may begin another job.

        Args:
            account: The account that asks.
            jobs: The account of each running job, by job id.
            slots: How many jobs the worker can run at once.
        """
        running = Counter(jobs.values())
        even = max(1, slots // len(self._peaks))
        self._update(jobs, running, even)
        free = slots - len(jobs)
        if not running[account]:
            # Its first job: the others have left it a slot, where there are enough for all.
            return free > 0
        kept = sum(
            max(0, min(even, peak + 1) - running[other])
            for other, (peak, _) in self._peaks.items()
            if other != account
        )
        return free > kept and (running[account] < even or bool(self._credits[account]))

    def _update(self, jobs: Mapping[str, str], running: Mapping[str, int], even: int) -> None:
        """Note which jobs have begun and ended since the last call."""
        now = self._clock()
        for job in self._seen.keys() - jobs.keys():
            account, since = self._seen.pop(job)
            if now - since < BRISK_SECONDS:
                # One for its place, and one more.
                self._credits[account] += (now, now)
        begun = Counter(jobs[job] for job in jobs.keys() - self._seen.keys())
        self._seen |= {
            job: (account, now) for job, account in jobs.items() if job not in self._seen
        }
        for account, (peak, at) in self._peaks.items():
            count, credit = running.get(account, 0), self._credits[account]
            for _ in range(min(begun[account], count - even)):
                if credit:
                    credit.popleft()
            while credit and now - credit[0] > CREDIT_SECONDS:
                credit.popleft()
            if count >= peak or now - at > RECENT_SECONDS:
                self._peaks[account] = (count, now)

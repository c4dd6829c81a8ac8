"""The turnstile before every call to Connect: the account's pause, and its rate.

A claim is refused while the account pauses; a job that has its claim goes on calling. So each call
of this process asks here first, whoever makes it: the engine, a poll, the user's code. Where the
account has a rate, the call waits here for its turn; heartbeats hold the job's lease meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from connect_worker.domain.states import RateLimitResult
from connect_worker.engine.lease import Lease
from connect_worker.engine.ports import CircuitBreaker
from connect_worker.exceptions import AccountPaused

#: How long what the ledger said of the pause is taken to be true. Another worker's pause is noticed
#: so much later, and a process asks at most so often, whatever the number of its calls.
FRESH_SECONDS: Final = 0.2

Clock = Callable[[], float]

_lease: ContextVar[Lease | None] = ContextVar("pulse", default=None)


@contextmanager
def calls_under_lease(pulse: Lease) -> Iterator[None]:
    """Have the calls of this block stop when the job's lease is lost while they wait."""
    token = _lease.set(pulse)
    try:
        yield
    finally:
        _lease.reset(token)


@dataclass(frozen=True, slots=True)
class _Cached:
    """One thing learnt; times are the process's steady clock."""

    asked_at: float
    paused_until: float
    reason: str


class BreakerCache:
    """What this process knows of the account's pause; shared by its jobs and its turnstile.

    Whoever asks the ledger for something that tells of the pause says here what was learnt. Of two
    findings the one that was asked for later stands, whichever is told first: so a claim that was
    given just before another thread met a 429 does not hide it.

    Args:
        clock: Steady seconds; a test may step it.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.clock = clock
        self._known = _Cached(float("-inf"), float("-inf"), "")

    def learn(self, *, asked_at: float, paused_seconds: float = 0.0, reason: str = "") -> None:
        """Take note of a pause, or that there is none, as it was at `asked_at` of the clock."""
        # Replaced as a whole, so that threads need no lock; a fork takes it along.
        if asked_at >= self._known.asked_at:
            self._known = _Cached(asked_at, self.clock() + paused_seconds, reason)

    @property
    def is_fresh(self) -> bool:
        """Whether the ledger need not be asked."""
        return self.clock() - self._known.asked_at < FRESH_SECONDS

    def require_open(self) -> None:
        """Return unless a pause is known.

        Raises:
            AccountPaused: With its reason and its length.
        """
        known = self._known
        seconds = known.paused_until - self.clock()
        if seconds > 0:
            raise AccountPaused(known.reason, retry_after_seconds=seconds)


class RateLimiter:
    """Lets a call pass, or raises; `api.Client` asks it before each attempt.

    It is on the safe side: while the ledger can't be asked, nothing is sent.

    Args:
        ledger: Knows the pause of all workers.
        pause: What this process knows of it.
        calls_per_second: The rate that all workers of the account share; None for none.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        ledger: CircuitBreaker,
        pause: BreakerCache,
        *,
        calls_per_second: float | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._ledger = ledger
        self._pause = pause
        self._calls_per_second = calls_per_second
        self._sleep = sleep

    def __call__(self) -> None:
        """Return when the call may be sent, which is at once unless there is a rate.

        Raises:
            AccountPaused: The account pauses: nothing may be sent before its end.
            LedgerUnavailable: Nobody knows whether it does.
            LeaseLost: The job's lease was lost while the call waited for its turn.
        """
        if self._calls_per_second is not None:
            self._wait_for_turn(self._calls_per_second)
        if not self._pause.is_fresh:
            self._ask(None)
        self._pause.require_open()

    def _wait_for_turn(self, calls_per_second: float) -> None:
        if self._pause.is_fresh:
            self._pause.require_open()
        turn = self._ask(calls_per_second)
        if turn.wait_seconds > 0:
            self._sleep(turn.wait_seconds)
            if pulse := _lease.get():
                pulse.ensure_held()

    def _ask(self, calls_per_second: float | None) -> RateLimitResult:
        asked_at = self._pause.clock()
        turn = self._ledger.acquire_call(calls_per_second=calls_per_second)
        self._pause.learn(
            asked_at=asked_at, paused_seconds=turn.breaker_seconds, reason=turn.reason
        )
        return turn

"""Asked before every call to Connect: the account's circuit breaker, and its rate.

A claim is denied while the circuit breaker is open, but a job that has its claim continues to call.
So each call of this process asks here first: a poll, a post, the user's code. Where the account has
a rate, the call waits here, while the job's lease is renewed.

The client calls `RateLimiter` without knowing the job. So `calls_under_lease` puts the job's lease
into a context variable, and a call that has waited for the rate checks it before it is sent: this
is why a call to Connect may raise `LeaseLost` or `LedgerUnavailable`.
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

#: How long an answer of the ledger about the circuit breaker counts as true. This process notices a
#: breaker that another worker tripped with this delay at most, and asks the ledger no more often.
FRESH_SECONDS: Final = 0.2

Clock = Callable[[], float]

_lease: ContextVar[Lease | None] = ContextVar("lease", default=None)


@contextmanager
def calls_under_lease(lease: Lease) -> Iterator[None]:
    """Stop a call of this block that waits for the rate when the job loses its lease."""
    token = _lease.set(lease)
    try:
        yield
    finally:
        _lease.reset(token)


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer of the ledger; times are the process's steady clock."""

    asked_at: float
    paused_until: float
    reason: str


class BreakerCache:
    """What this process knows of the circuit breaker; its jobs and its rate limiter share it.

    The answer to the later question counts, in whatever order answers arrive: a claim that was
    granted just before another thread met a 429 does not hide the 429.

    Args:
        clock: Steady seconds; a test may step it.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.clock = clock
        self._known = _Answer(float("-inf"), float("-inf"), "")

    def learn(self, *, asked_at: float, paused_seconds: float = 0.0, reason: str = "") -> None:
        """Remember an open breaker, or a closed one, as it was at `asked_at` of the clock."""
        # Replaced as a whole, so that threads need no lock; a fork takes it along.
        if asked_at >= self._known.asked_at:
            self._known = _Answer(asked_at, self.clock() + paused_seconds, reason)

    @property
    def is_fresh(self) -> bool:
        """Whether the ledger need not be asked."""
        return self.clock() - self._known.asked_at < FRESH_SECONDS

    def require_closed(self) -> None:
        """Return unless the breaker is known to be open.

        Raises:
            AccountPaused: With the reason and the seconds until it lets a call pass.
        """
        known = self._known
        seconds = known.paused_until - self.clock()
        if seconds > 0:
            raise AccountPaused(known.reason, retry_after_seconds=seconds)


class RateLimiter:
    """Lets a call pass, or raises; `api.Client` asks it before each attempt.

    While the ledger can't be asked, nothing is sent.

    Args:
        ledger: Has the circuit breaker and the rate of all workers.
        cache: What this process knows of the circuit breaker.
        calls_per_second: The rate that all workers of the account share; None for no rate.
        sleep: Waits for a number of seconds.
    """

    def __init__(
        self,
        ledger: CircuitBreaker,
        cache: BreakerCache,
        *,
        calls_per_second: float | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._ledger = ledger
        self._cache = cache
        self._calls_per_second = calls_per_second
        self._sleep = sleep

    def __call__(self) -> None:
        """Return when the call may be sent, which is at once unless there is a rate.

        Raises:
            AccountPaused: The circuit breaker is open.
            LedgerUnavailable: The ledger can't tell whether it is.
            LeaseLost: The job's lease was lost while the call waited for the rate.
        """
        if self._calls_per_second is not None:
            self._wait_for_rate(self._calls_per_second)
        if not self._cache.is_fresh:
            self._ask(None)
        self._cache.require_closed()

    def _wait_for_rate(self, calls_per_second: float) -> None:
        if self._cache.is_fresh:
            self._cache.require_closed()
        answer = self._ask(calls_per_second)
        if answer.wait_seconds > 0:
            self._sleep(answer.wait_seconds)
            if lease := _lease.get():
                lease.ensure_held()

    def _ask(self, calls_per_second: float | None) -> RateLimitResult:
        asked_at = self._cache.clock()
        answer = self._ledger.acquire_call(calls_per_second=calls_per_second)
        self._cache.learn(
            asked_at=asked_at, paused_seconds=answer.breaker_seconds, reason=answer.reason
        )
        return answer

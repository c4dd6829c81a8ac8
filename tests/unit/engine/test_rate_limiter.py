"""What a process knows of the account's pause, how often it asks, and how it keeps to a rate."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from connect_worker.domain.states import RateLimitResult
from connect_worker.engine.lease import Lease
from connect_worker.engine.rate_limiter import (
    FRESH_SECONDS,
    BreakerCache,
    RateLimiter,
    calls_under_lease,
)
from connect_worker.exceptions import AccountPaused, LeaseLost, LedgerUnavailable
from connect_worker.ledger.memory import MemoryLedger
from tests.support.ledger_factories import Clock, running


class CountingLedger(MemoryLedger):
    """Counts how often it is asked; can be away."""

    asked = 0
    is_away = False

    def acquire_call(self, *, calls_per_second: float | None = None) -> RateLimitResult:
        if self.is_away:
            raise LedgerUnavailable("Redis can't be reached")
        self.asked += 1
        return super().acquire_call(calls_per_second=calls_per_second)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> CountingLedger:
    return CountingLedger(clock=clock)


@pytest.fixture
def pause(clock: Clock) -> BreakerCache:
    return BreakerCache(clock)


@pytest.fixture
def turnstile(ledger: CountingLedger, pause: BreakerCache) -> RateLimiter:
    return RateLimiter(ledger, pause)


def test_while_the_gate_is_open_calls_pass_and_the_ledger_is_asked_now_and_then(
    turnstile: RateLimiter, ledger: CountingLedger, clock: Clock
) -> None:
    for _ in range(100):
        turnstile()
        clock.step(FRESH_SECONDS / 10)
    assert ledger.asked == 10


def test_another_workers_pause_refuses_calls_with_its_reason_and_its_length(
    turnstile: RateLimiter, ledger: CountingLedger, clock: Clock
) -> None:
    turnstile()
    ledger.trip_breaker(seconds=30, reason="429", failed=False)
    clock.step(FRESH_SECONDS)
    with pytest.raises(AccountPaused, match="429") as refused:
        turnstile()
    assert refused.value.reason == "429"
    assert refused.value.retry_after_seconds == pytest.approx(30 - FRESH_SECONDS, abs=0.01)


def test_calls_pass_again_when_the_pause_is_over(
    turnstile: RateLimiter, ledger: CountingLedger, clock: Clock
) -> None:
    ledger.trip_breaker(seconds=30, reason="429", failed=False)
    with pytest.raises(AccountPaused):
        turnstile()
    clock.step(30)
    turnstile()


def test_calls_pass_when_somebody_ends_the_pause_early(
    turnstile: RateLimiter, ledger: CountingLedger, clock: Clock
) -> None:
    ledger.trip_breaker(seconds=30, reason="503", failed=True)
    with pytest.raises(AccountPaused):
        turnstile()
    ledger.reset_breaker()
    clock.step(FRESH_SECONDS)
    turnstile()


def test_after_a_pause_for_failures_the_calls_of_the_probe_pass(
    turnstile: RateLimiter, ledger: CountingLedger, clock: Clock
) -> None:
    ledger.trip_breaker(seconds=30, reason="401", failed=True)
    clock.step(30)
    turnstile()
    assert ledger.breaker().failures == 1


def test_a_pause_of_this_process_is_known_without_asking(
    turnstile: RateLimiter, ledger: CountingLedger, pause: BreakerCache, clock: Clock
) -> None:
    turnstile()
    pause.learn(asked_at=clock(), paused_seconds=30, reason="429")
    with pytest.raises(AccountPaused):
        turnstile()
    assert ledger.asked == 1


def test_what_was_asked_for_earlier_does_not_hide_a_pause(
    turnstile: RateLimiter, pause: BreakerCache, clock: Clock
) -> None:
    """A claim is given; before its job goes on, another thread meets a 429."""
    asked_at = clock()
    clock.step(0.01)
    pause.learn(asked_at=clock(), paused_seconds=30, reason="429")
    pause.learn(asked_at=asked_at)
    with pytest.raises(AccountPaused):
        turnstile()


def test_a_claim_that_was_given_tells_that_there_is_no_pause(
    turnstile: RateLimiter, ledger: CountingLedger, pause: BreakerCache, clock: Clock
) -> None:
    pause.learn(asked_at=clock())
    turnstile()
    assert ledger.asked == 0


def test_without_the_ledger_nothing_is_sent(
    turnstile: RateLimiter, ledger: CountingLedger, clock: Clock
) -> None:
    turnstile()
    ledger.is_away = True
    clock.step(FRESH_SECONDS)
    with pytest.raises(LedgerUnavailable):
        turnstile()


# ---- with a rate


class Sleeper:
    """Sleeps by stepping the clock; can do something meanwhile."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.slept: list[float] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def __call__(self, seconds: float) -> None:
        self.slept.append(round(seconds, 3))
        self.clock.step(seconds)
        self.meanwhile()


@pytest.fixture
def sleeper(clock: Clock) -> Sleeper:
    return Sleeper(clock)


@pytest.fixture
def paced(ledger: CountingLedger, pause: BreakerCache, sleeper: Sleeper) -> RateLimiter:
    return RateLimiter(ledger, pause, calls_per_second=10, sleep=sleeper)


def test_each_call_waits_for_the_rate_limiter_and_asks_once(
    paced: RateLimiter, ledger: CountingLedger, sleeper: Sleeper
) -> None:
    for _ in range(4):
        paced()
    assert sleeper.slept == [0.1, 0.1, 0.1]
    assert ledger.asked == 4


def test_a_pause_acquires_no_call(
    paced: RateLimiter, ledger: CountingLedger, sleeper: Sleeper
) -> None:
    ledger.trip_breaker(seconds=5, reason="429", failed=False)
    for _ in range(3):
        with pytest.raises(AccountPaused):
            paced()
    assert ledger.asked == 1
    sleeper.clock.step(5)
    paced()
    assert sleeper.slept == []


def test_a_pause_that_begins_while_a_call_waits_refuses_it(
    ledger: CountingLedger, pause: BreakerCache, sleeper: Sleeper
) -> None:
    slow = RateLimiter(ledger, pause, calls_per_second=1, sleep=sleeper)
    slow()
    sleeper.meanwhile = lambda: ledger.trip_breaker(seconds=9, reason="429", failed=False)
    with pytest.raises(AccountPaused):
        slow()
    assert sleeper.slept == [1.0]


def test_a_lease_that_is_lost_while_a_call_waits_refuses_it(
    paced: RateLimiter, sleeper: Sleeper
) -> None:
    ledger = MemoryLedger(clock=sleeper.clock)
    sleeper.clock.calls.append(ledger.now)
    claim = running(ledger, lease_seconds=60)
    pulse = Lease(ledger, claim)

    def rescued() -> None:
        sleeper.clock.step(61)
        ledger.take_due(limit=9, requeue_seconds=60, max_attempts=9)
        pulse.renew()

    paced()
    sleeper.meanwhile = rescued
    with calls_under_lease(pulse), pytest.raises(LeaseLost):
        paced()
    paced()

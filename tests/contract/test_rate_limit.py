"""Contract of `acquire_call`: may one more call to Connect be sent, and when?"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import NamedTuple

import pytest
import redis

from connect_worker.domain.states import RateLimitResult
from connect_worker.engine.ports import Ledger
from connect_worker.ledger.memory import MemoryLedger
from connect_worker.ledger.redis import RedisLedger, connect
from tests.support.ledger_factories import Clock

Elapse = Callable[[float], None]


def test_without_a_pause_a_call_may_be_sent(ledger: Ledger) -> None:
    assert ledger.acquire_call() == RateLimitResult()


def test_a_pause_tells_its_length_and_its_reason(ledger: Ledger) -> None:
    ledger.trip_breaker(seconds=60, reason="429", failed=False)
    turn = ledger.acquire_call()
    assert turn.breaker_seconds == 60
    assert turn.reason == "429"


def test_a_pause_that_is_over_is_none_even_when_its_failures_are_counted(
    ledger: Ledger, elapse: Elapse
) -> None:
    ledger.trip_breaker(seconds=0.01, reason="401", failed=True)
    elapse(0.02)
    assert ledger.acquire_call() == RateLimitResult()
    assert ledger.breaker().failures == 1


def test_failures_that_are_only_counted_are_no_pause(ledger: Ledger) -> None:
    ledger.trip_breaker(seconds=0, reason="500", failed=True)
    assert ledger.acquire_call() == RateLimitResult()


# ---- a shared rate


def waits(ledger: Ledger, count: int, calls_per_second: float) -> list[float]:
    """Slots taken at once, as times on the ledger's clock from the first one."""
    turns = []
    for _ in range(count):
        before = ledger.now()
        turns.append(before + ledger.acquire_call(calls_per_second=calls_per_second).wait_seconds)
    return [turn - turns[0] for turn in turns]


def test_the_first_call_is_sent_at_once(ledger: Ledger) -> None:
    assert ledger.acquire_call(calls_per_second=0.5) == RateLimitResult()


@pytest.mark.parametrize("calls_per_second", [0.01, 0.07, 0.3])
def test_turns_are_evenly_spaced(ledger: Ledger, calls_per_second: float) -> None:
    found = waits(ledger, 20, calls_per_second)
    assert found == pytest.approx([n / calls_per_second for n in range(20)], abs=0.001)


def test_turns_that_nobody_waited_for_are_gone(ledger: Ledger, clock: Clock) -> None:
    waits(ledger, 3, 0.1)
    clock.step(25)
    assert waits(ledger, 3, 0.1) == pytest.approx([0, 10, 20])
    assert ledger.acquire_call(calls_per_second=0.1).wait_seconds == pytest.approx(35)


def test_a_time_without_calls_is_no_credit_for_a_burst(ledger: Ledger, clock: Clock) -> None:
    waits(ledger, 3, 0.1)
    clock.step(1000)
    assert ledger.acquire_call(calls_per_second=0.1) == RateLimitResult()
    assert ledger.acquire_call(calls_per_second=0.1).wait_seconds == pytest.approx(10)


def test_without_a_rate_no_turn_is_taken(ledger: Ledger) -> None:
    ledger.acquire_call(calls_per_second=0.1)
    assert ledger.acquire_call() == RateLimitResult()
    assert 9 < ledger.acquire_call(calls_per_second=0.1).wait_seconds <= 10


def test_during_a_pause_no_turn_is_taken(ledger: Ledger) -> None:
    ledger.trip_breaker(seconds=60, reason="429", failed=False)
    assert ledger.acquire_call(calls_per_second=0.1).wait_seconds == 0
    ledger.reset_breaker()
    assert ledger.acquire_call(calls_per_second=0.1) == RateLimitResult()


def test_a_rate_slower_than_any_account_has_is_one_call_a_day(ledger: Ledger) -> None:
    ledger.acquire_call(calls_per_second=1e-300)
    assert ledger.acquire_call(calls_per_second=1e-300).wait_seconds == pytest.approx(86_400, abs=1)


def test_a_clock_that_was_set_back_does_not_stop_all_calls(
    memory_ledger: MemoryLedger, clock: Clock
) -> None:
    memory_ledger.acquire_call(calls_per_second=10)
    clock.set(clock() - 86_400)
    assert memory_ledger.acquire_call(calls_per_second=10).wait_seconds == pytest.approx(0.1)


def test_so_does_redis(
    redis_ledger: RedisLedger, client: redis.Redis, account: str, clock: Clock
) -> None:
    """A clock that was set back by a day leaves a next free moment that is a day ahead."""
    key = f"connect-worker:{{{account}}}:rate_limit"
    client.set(key, round((clock.time + 86_400) * 1_000_000))
    assert redis_ledger.acquire_call(calls_per_second=0.2) == RateLimitResult()
    assert redis_ledger.acquire_call(calls_per_second=0.2).wait_seconds == pytest.approx(5)


def test_a_rate_that_is_not_used_leaves_no_key(
    redis_ledger: RedisLedger, client: redis.Redis, account: str
) -> None:
    redis_ledger.acquire_call(calls_per_second=0.1)
    assert 0 < client.pttl(f"connect-worker:{{{account}}}:rate_limit") <= 10_000


class Taken(NamedTuple):
    """When a call may go, by the server's clock: between the two, as far as its caller can see."""

    earliest: float
    latest: float


def turns_of_a_process(url: str, account: str, count: int) -> list[Taken]:
    with connect(url) as client:
        ledger = RedisLedger(client, account=account)
        found = []
        for _ in range(count):
            before = ledger.now()
            wait = ledger.acquire_call(calls_per_second=20).wait_seconds
            found.append(Taken(before + wait, ledger.now() + wait))
        return found


def test_processes_share_the_turns(redis_url: str, account: str) -> None:
    jobs = [(redis_url, account, 25)] * 4
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        turns = [item for own in pool.starmap(turns_of_a_process, jobs) for item in own]
    # Each of the 100 turns was given to one; `now` is in milliseconds.
    first, last = min(turn.earliest for turn in turns), max(turn.latest for turn in turns)
    assert last - first >= 99 / 20 - 0.002

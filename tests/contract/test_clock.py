"""The clock of the scripts where no test steps it: the server's own, one for all workers."""

from __future__ import annotations

import time

import pytest
import redis

from connect_worker.domain.states import ClaimDenied, State
from connect_worker.engine.ports import Ledger
from connect_worker.ledger.redis import RedisLedger
from tests.support.ledger_factories import LONG, OTHER, PR, look, running, see, take, woken


@pytest.fixture
def ledger(client: redis.Redis, account: str) -> Ledger:
    return RedisLedger(client, account=account)


def await_clock(ledger: Ledger, seconds: float) -> None:
    end = ledger.now() + seconds
    while ledger.now() < end:
        time.sleep(0.001)


def test_now_is_the_servers_time(ledger: Ledger, client: redis.Redis) -> None:
    def servers() -> float:
        seconds, microseconds = client.time()
        return float(seconds + microseconds / 1_000_000)

    before = servers()
    now = ledger.now()
    assert before - 0.001 <= now <= servers()


def test_a_lease_ends_by_the_servers_time(ledger: Ledger) -> None:
    claim = running(ledger, lease_seconds=0.01)
    await_clock(ledger, 0.02)
    assert not ledger.renew_lease(claim)
    assert woken(ledger) == [PR]
    assert take(ledger, owner="w2").attempt == 2


def test_a_delay_is_over_by_the_servers_time(ledger: Ledger) -> None:
    before = ledger.now()
    ledger.reschedule(running(ledger), State.RETRY, delay_seconds=LONG)
    assert before + LONG <= look(ledger).due <= ledger.now() + LONG
    assert ledger.claim(PR, owner="w2", lease_seconds=LONG) is ClaimDenied.NOT_DUE
    ledger.reschedule(running(ledger, OTHER), State.RETRY, delay_seconds=0.01)
    await_clock(ledger, 0.02)
    assert take(ledger, OTHER, owner="w2").attempt == 2


def test_a_turn_is_over_by_the_servers_time(ledger: Ledger) -> None:
    ledger.acquire_call(calls_per_second=100)
    await_clock(ledger, 0.02)
    assert ledger.acquire_call(calls_per_second=100).wait_seconds == 0
    before = ledger.now()
    assert ledger.acquire_call(calls_per_second=0.01).wait_seconds <= 0.01
    wait = ledger.acquire_call(calls_per_second=0.01).wait_seconds
    assert before + 100 - 0.001 <= ledger.now() + wait
    assert wait <= 100.01


def test_a_sighting_is_dated_by_the_servers_time(ledger: Ledger) -> None:
    before = ledger.now()
    see(ledger)
    assert before <= look(ledger).first_seen <= ledger.now()

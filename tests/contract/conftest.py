from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
import redis
from cryptography.fernet import Fernet

from connect_worker.engine.ports import Ledger
from connect_worker.ledger.memory import MemoryLedger
from connect_worker.ledger.redis import RedisLedger, connect
from tests.support.ledger_factories import Clock
from tests.support.redis_server import as_user, assert_nothing_denied, running_server


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with running_server() as url:
        yield url
        assert_nothing_denied(url)


@pytest.fixture(scope="session")
def user_url(redis_url: str) -> str:
    return as_user(redis_url)


@pytest.fixture
def account() -> str:
    return uuid4().hex[:12]


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """The administrator's."""
    with connect(redis_url) as client:
        yield client


@pytest.fixture
def ledger_client(user_url: str) -> Iterator[redis.Redis]:
    """The ledger's, of the user whose rules `connect-worker redis-acl` prints."""
    with connect(user_url) as client:
        yield client


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server_clock(client: redis.Redis, clock: Clock) -> Iterator[str]:
    """The clock as the scripts read it: none of them ends because the machine was slow."""
    key = f"connect-worker:clock:{uuid4().hex}"

    def tell(time: float) -> None:
        client.set(key, round(time * 1_000_000))

    clock.observers.append(tell)
    tell(clock.time)
    yield f"local exact = tonumber(redis.call('GET', '{key}'))"
    client.delete(key)


@pytest.fixture
def redis_ledger(
    ledger_client: redis.Redis, account: str, server_clock: str, clock: Clock
) -> RedisLedger:
    ledger = RedisLedger(ledger_client, account=account, clock=server_clock)
    clock.calls.append(ledger.now)
    return ledger


@pytest.fixture
def memory_ledger(clock: Clock) -> MemoryLedger:
    ledger = MemoryLedger(clock=clock)
    clock.calls.append(ledger.now)
    return ledger


@pytest.fixture
def encrypted_ledger(
    ledger_client: redis.Redis, account: str, server_clock: str, clock: Clock
) -> RedisLedger:
    keys = [Fernet.generate_key().decode()]
    ledger = RedisLedger(ledger_client, account=account, keys=keys, clock=server_clock)
    clock.calls.append(ledger.now)
    return ledger


@pytest.fixture(params=["memory", "redis", "encrypted"])
def ledger(request: pytest.FixtureRequest) -> Ledger:
    found: Ledger = request.getfixturevalue(f"{request.param}_ledger")
    return found


@pytest.fixture
def elapse(ledger: Ledger, clock: Clock) -> Callable[[float], None]:
    """Let time pass for the ledger: for its clock, and for what a server forgets by its own."""

    def wait(seconds: float) -> None:
        time.sleep(seconds)
        clock.step(seconds)

    return clock.step if isinstance(ledger, MemoryLedger) else wait

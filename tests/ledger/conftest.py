from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
import redis
from cryptography.fernet import Fernet

from connect_worker.engine.ports import Ledger
from connect_worker.ledger import MemoryLedger, RedisLedger, connect

from .server import running_server
from .world import Clock


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with running_server() as url:
        yield url


@pytest.fixture
def account() -> str:
    return uuid4().hex[:12]


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with connect(redis_url) as client:
        yield client


@pytest.fixture
def redis_ledger(client: redis.Redis, account: str) -> RedisLedger:
    return RedisLedger(client, account=account)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory_ledger(clock: Clock) -> MemoryLedger:
    return MemoryLedger(clock=clock)


@pytest.fixture
def encrypted_ledger(client: redis.Redis, account: str) -> RedisLedger:
    return RedisLedger(client, account=account, keys=[Fernet.generate_key().decode()])


@pytest.fixture(params=["memory", "redis", "encrypted"])
def ledger(request: pytest.FixtureRequest) -> Ledger:
    found: Ledger = request.getfixturevalue(f"{request.param}_ledger")
    return found


@pytest.fixture
def elapse(ledger: Ledger, clock: Clock) -> Callable[[float], None]:
    """Let time pass for the ledger: step the memory's clock, await that of the server."""

    def wait(seconds: float) -> None:
        end = ledger.now() + seconds
        while ledger.now() < end:
            time.sleep(0.001)

    return clock.step if isinstance(ledger, MemoryLedger) else wait

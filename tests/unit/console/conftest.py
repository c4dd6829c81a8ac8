from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from playwright.sync_api import Browser

from connect_worker.ledger.redis import connect
from tests.support.browser import running_chromium
from tests.support.console_client import ACCOUNT, PASSWORD, ConsoleClient, Served, serving
from tests.support.console_data import ConsoleData
from tests.support.redis_server import running_server


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with running_server() as url:
        yield url


@pytest.fixture(scope="session")
def client(redis_url: str) -> Iterator[redis.Redis]:
    with connect(redis_url) as client:
        yield client


@pytest.fixture
def scene(client: redis.Redis) -> ConsoleData:
    """An empty ledger; the consoles below show it."""
    client.flushall()
    return ConsoleData(client, ACCOUNT)


@pytest.fixture(scope="session")
def served(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A console with a password."""
    folder = tmp_path_factory.mktemp("console")
    with serving(redis_url, folder, CONNECT_CONSOLE_PASSWORD=PASSWORD) as served:
        yield served


@pytest.fixture(scope="session")
def read_only(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A console without one."""
    with serving(redis_url, tmp_path_factory.mktemp("read-only")) as served:
        yield served


@pytest.fixture
def operator(served: Served, scene: ConsoleData) -> ConsoleClient:
    return served.operator()


@pytest.fixture
def visitor(read_only: Served, scene: ConsoleData) -> ConsoleClient:
    return read_only.visitor()


# For one module only, as in tests/acceptance.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser

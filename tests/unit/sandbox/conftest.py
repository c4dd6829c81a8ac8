from collections.abc import Iterator

import pytest

from tests.support.sandbox_server import Client, running_sandbox


@pytest.fixture(scope="session")
def process() -> Iterator[Client]:
    with running_sandbox("--requests", "120") as client:
        yield client


@pytest.fixture
def client(process: Client) -> Client:
    """A sandbox as it was seeded."""
    process.control("POST", "reset")
    return process

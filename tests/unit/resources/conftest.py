from __future__ import annotations

from collections.abc import Iterator

import pytest

from connect_worker.config import Config
from tests.support.sandbox_server import API_KEY, Client, running_sandbox


@pytest.fixture(scope="session")
def sandbox_process() -> Iterator[Client]:
    with running_sandbox("--requests", "40") as client:
        yield client


@pytest.fixture
def sandbox(sandbox_process: Client) -> Client:
    """A sandbox as it was seeded."""
    sandbox_process.control("POST", "reset")
    sandbox_process.control("DELETE", "faults")
    return sandbox_process


@pytest.fixture
def config(sandbox: Client) -> Config:
    """The vendor's account at the sandbox."""
    return Config.local(f"{sandbox.root}/public/v1", API_KEY)

from __future__ import annotations

import pytest

from connect_worker.config import Config
from tests.support.sandbox_server import API_KEY, Client


@pytest.fixture
def sandbox(shared_sandbox: Client) -> Client:
    return shared_sandbox


@pytest.fixture
def config(sandbox: Client) -> Config:
    """The vendor's account at the sandbox."""
    return Config.local(f"{sandbox.root}/public/v1", API_KEY)

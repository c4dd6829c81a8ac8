from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from connect_worker.devtools.embedded_redis import NoServer, find_server
from connect_worker.observability import masking
from tests.support.sandbox_server import Client, running_sandbox


def pytest_report_header() -> str:
    """Name the Redis that the tests start, for what they measure depends on it."""
    try:
        program = find_server()
    except NoServer as error:
        return f"redis: {error}"
    words = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=True
    ).stdout.split()
    version = next(word for word in words if word.startswith("v="))
    return f"redis: {words[0]} {version.removeprefix('v=')} ({program})"


@pytest.fixture(autouse=True)
def secrets_of_this_test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process masks each secret it has seen; those of one test are no secrets in the next."""
    monkeypatch.setattr(masking, "_known", masking._Known())


@pytest.fixture(scope="session")
def sandbox_process() -> Iterator[Client]:
    with running_sandbox("--requests", "40") as client:
        yield client


@pytest.fixture
def shared_sandbox(sandbox_process: Client) -> Client:
    """The sandbox of 40 requests that all tests of a process share, as it was seeded."""
    sandbox_process.control("POST", "reset")
    sandbox_process.control("DELETE", "faults")
    return sandbox_process


@pytest.fixture
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty working directory and no setting; what a `.env` file brings in goes again."""
    before = dict(os.environ)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("CONNECT_")]:
        del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)

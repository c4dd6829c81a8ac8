"""Fixtures for pytest, there wherever connect-worker is installed: `sandbox`, `worker`, `ledger`.

Everything is imported when a test asks for it: this module is loaded by every run of pytest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from connect_worker.ledger import RedisLedger
    from connect_worker.testing.sandbox import Sandbox
    from connect_worker.testing.worker import Workers


@pytest.fixture(scope="session")
def _connect_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    from connect_worker.testing.sandbox import running_sandbox

    with running_sandbox(tmp_path_factory.mktemp("connect-sandbox")) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def _connect_redis() -> Iterator[str]:
    from connect_worker.devtools.embedded_redis import NoServer, embedded_redis

    try:
        with embedded_redis() as url:
            yield url
    except NoServer as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def sandbox(_connect_sandbox: Sandbox) -> Sandbox:
    """A stand-in for Connect, and for a vendor's system, that listens on a socket; empty."""
    _connect_sandbox.reset()
    return _connect_sandbox


@pytest.fixture
def ledger(sandbox: Sandbox, _connect_redis: str) -> RedisLedger:
    """The ledger in which the workers of this test remember the sandbox's requests; empty."""
    from connect_worker.testing.worker import empty_ledger

    return empty_ledger(sandbox, _connect_redis)


@pytest.fixture
def worker(
    sandbox: Sandbox,
    ledger: RedisLedger,  # noqa: ARG001 - emptied before a worker writes into it
    _connect_redis: str,
    tmp_path: Path,
) -> Iterator[Workers]:
    """Call it with your processors: a real worker, and beat, process the sandbox's requests."""
    from connect_worker.testing.worker import running_workers

    directory = tmp_path / "worker"
    directory.mkdir()
    with running_workers(directory, sandbox=sandbox, redis_url=_connect_redis) as workers:
        yield workers

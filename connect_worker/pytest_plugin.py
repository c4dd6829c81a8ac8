"""The pytest fixtures `sandbox`, `worker` and `ledger`; pytest finds them by an entry point.

Every run of pytest loads this module, so each fixture imports what it needs when a test uses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from connect_worker.ledger.redis import RedisLedger
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
    """A local Connect and a vendor's system, in a process of its own; empty for each test."""
    _connect_sandbox.reset()
    return _connect_sandbox


@pytest.fixture
def ledger(sandbox: Sandbox, _connect_redis: str) -> RedisLedger:
    """The Redis ledger of this test's workers; empty for each test."""
    from connect_worker.testing.worker import empty_ledger

    return empty_ledger(sandbox, _connect_redis)


@pytest.fixture
def worker(
    sandbox: Sandbox,
    ledger: RedisLedger,  # noqa: ARG001 - it empties Redis before a worker starts
    _connect_redis: str,
    tmp_path: Path,
) -> Iterator[Workers]:
    """Call it with your processors to start a real worker, and beat, for the sandbox's requests."""
    from connect_worker.testing.worker import running_workers

    directory = tmp_path / "worker"
    directory.mkdir()
    with running_workers(directory, sandbox=sandbox, redis_url=_connect_redis) as workers:
        yield workers

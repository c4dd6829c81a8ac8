from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from connect_worker.cli import main
from connect_worker.devtools.embedded_redis import embedded_redis, free_port
from connect_worker.ledger.redis import RedisLedger
from connect_worker.settings.model import Settings
from tests.support.redis_server import running_server

from . import metrics_exporter as exporting


class OperatorShell:
    """An operator's shell before a real ledger of an account of its own; nothing else runs."""

    def __init__(self, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self.set(
            CONNECT_API_URL=f"http://127.0.0.1:{free_port()}/public/v1",
            CONNECT_API_KEY=f"SU-{uuid4().hex[:12]}:key",
            CONNECT_REDIS_URL=redis_url,
        )
        self.redis_url = redis_url
        self.account = Settings.from_env(dotenv=None).account
        self.ledger = RedisLedger.from_url(redis_url, account=self.account)

    def set(self, **variables: str) -> None:
        for name, text in variables.items():
            self._patch.setenv(name, text)

    def run(self, *words: str, width: int = 80, typed: str = "") -> Result:
        """Run a command as a person does, at a terminal of this width."""
        return CliRunner().invoke(main, words, env={"COLUMNS": str(width)}, input=typed)

    def run_alone(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command as a process: Celery reads its settings once in each."""
        command = [sys.executable, "-m", "connect_worker", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def said(self, *words: str, width: int = 80) -> str:
        """What a command that succeeds says; no line of it is too long."""
        result = self.run(*words, width=width)
        assert result.exit_code == 0, result.output
        assert all(len(line) <= width for line in result.stdout.splitlines()), result.stdout
        return result.stdout

    def json(self, *words: str, code: int = 0) -> Any:
        """The one document that a command answers with."""
        result = self.run(*words, "--json")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with running_server() as url:
        yield url


@pytest.fixture
def operator_shell(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> OperatorShell:
    monkeypatch.chdir(tmp_path)
    return OperatorShell(redis_url, monkeypatch)


@pytest.fixture(scope="session")
def served() -> Iterator[str]:
    """Where an exporter serves a ledger in which something of everything has happened."""
    with embedded_redis() as url:
        exporting.fill(url)
        with exporting.serving(url) as served:
            yield served

"""Where a worker's log goes decides how it looks; a broker's password is in neither."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from connect_worker.devtools.embedded_redis import free_port
from tests.support.stack import ROOT, Stack, running_stack

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

SECRET = "canary-broker-0123456789"
ACCOUNT = {
    "CONNECT_API_URL": "http://127.0.0.1:9/public/v1",
    "CONNECT_API_KEY": "SU-000-000-001:a-key-of-the-tests",
    "PYTHONWARNINGS": "ignore",
}


@contextmanager
def on_a_terminal(stack: Stack, *arguments: str) -> Iterator[list[str]]:
    """Run a command of Celery's on a terminal; what it shows there, line by line."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "tasks", *arguments],
        cwd=ROOT,
        env=stack.environment,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown: list[str] = []

    reader = threading.Thread(target=_collect, args=(ours, shown), daemon=True)
    reader.start()
    try:
        yield shown
    finally:
        process.terminate()
        process.wait(timeout=30)
        reader.join(timeout=10)


def _collect(descriptor: int, shown: list[str]) -> None:
    # Linux ends a terminal whose other side is closed with an error.
    with os.fdopen(descriptor, errors="replace") as terminal:
        try:
            shown.extend(terminal)
        except OSError:
            return


@pytest.mark.parametrize("role", ["worker", "beat"])
def test_a_person_at_a_terminal_reads_text(role: str, tmp_path: Path) -> None:
    with running_stack(tmp_path, **ACCOUNT, CONNECT_LOG_FORMAT="auto") as stack:
        pool = ("--pool", "solo") if role == "worker" else ()
        with on_a_terminal(stack, "--quiet", role, "-l", "info", *pool) as shown:
            said = "ready." if role == "worker" else "beat: Starting..."
            stack.until(lambda: any(said in line for line in shown), said, seconds=60)
        assert any(" INFO " in line and said in line for line in shown)
        assert not any(line.startswith("{") for line in shown)


def test_a_file_gets_json_and_no_password_of_an_amqp_broker(tmp_path: Path) -> None:
    broker = f"amqp://worker:{SECRET}@127.0.0.1:{free_port()}//"
    settings = {**ACCOUNT, "CONNECT_LOG_FORMAT": "auto", "CONNECT_BROKER_URL": broker}
    with running_stack(tmp_path, **settings) as stack:
        stack.celery("worker", "--quiet", "worker", "-l", "debug", "--pool", "solo")
        stack.celery("beat", "--quiet", "beat", "-l", "debug")
        names = ("worker", "beat")
        stack.until(
            lambda: all("again in" in stack.log(name) for name in names),
            "both wait for their broker",
            seconds=60,
        )
        for name in names:
            text = (tmp_path / f"{name}.log").read_text()
            assert SECRET not in text
            assert all(json.loads(line)["event"] for line in text.splitlines())


def test_the_banner_of_a_worker_hides_the_password(tmp_path: Path) -> None:
    broker = f"amqp://worker:{SECRET}@127.0.0.1:{free_port()}//"
    with running_stack(tmp_path, **ACCOUNT, CONNECT_BROKER_URL=broker) as stack:
        stack.worker("worker", "--pool", "solo")
        stack.until(lambda: "again in" in stack.log("worker"), "it waits", seconds=60)
        assert "amqp://worker:**@127.0.0.1" in stack.log("worker", lines=200)
        assert SECRET not in stack.log("worker", lines=200)

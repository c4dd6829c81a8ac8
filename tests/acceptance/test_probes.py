"""The probes of the manifests, run as Kubernetes runs them, beside a real worker."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.support.redis_process import RedisServer, running_server
from tests.support.redis_server import tell
from tests.support.stack import ROOT, Stack, running_stack

from .test_worker_start import ACCOUNT, start

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]


def command_of(part: str, probe: str) -> list[str]:
    [manifest, *_] = yaml.safe_load_all((ROOT / f"deploy/kubernetes/{part}.yaml").read_text())
    [container] = manifest["spec"]["template"]["spec"]["containers"]
    words: list[str] = container[f"{probe}Probe"]["exec"]["command"]
    return words


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with running_stack(
        tmp_path, CONNECT_HEARTBEAT_FILE=str(tmp_path / "heartbeat"), **ACCOUNT
    ) as stack:
        yield stack


def probe(stack: Stack, name: str, *, part: str = "worker") -> bool:
    """Whether a probe finds nothing wrong."""
    command = command_of(part, name)
    assert shutil.which(command[0])
    # `python` is this one, as in the image.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**stack.environment, "PATH": path}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0


def make_stale(stack: Stack) -> None:
    os.utime(stack.environment["CONNECT_HEARTBEAT_FILE"], (0, 0))


def test_a_worker_that_hears_its_broker_is_ready_and_alive(stack: Stack) -> None:
    assert not probe(stack, "readiness")
    start(stack)
    assert probe(stack, "readiness")
    assert probe(stack, "liveness")


def test_a_worker_that_is_silent_though_its_broker_answers_is_dead(stack: Stack) -> None:
    start(stack)
    stack.kill("worker")
    make_stale(stack)
    assert not probe(stack, "liveness")


@pytest.mark.long
def test_a_worker_whose_broker_is_away_is_not_ready_and_not_killed(
    stack: Stack, tmp_path: Path
) -> None:
    start(stack)
    stack.kill("worker")
    make_stale(stack)
    stack.environment["CONNECT_BROKER_URL"] = "redis://127.0.0.1:9/0"
    assert not probe(stack, "readiness")
    assert probe(stack, "liveness")


def test_beat_is_alive_with_and_without_its_broker_and_dead_when_it_hangs(stack: Stack) -> None:
    stack.environment["CONNECT_BROKER_URL"] = "redis://127.0.0.1:9/0"
    assert not probe(stack, "liveness", part="beat")
    stack.start("beat", "-m", "celery", "-A", "tasks", "beat")
    stack.until(
        lambda: "beat.broker_unreachable" in stack.log("beat"), "beat has no broker", seconds=60
    )
    for _ in range(2):
        stack.until(
            lambda: probe(stack, "liveness", part="beat"), "beat touches its file", seconds=60
        )
        make_stale(stack)
    stack.kill("beat")
    make_stale(stack)
    assert not probe(stack, "liveness", part="beat")


def test_a_worker_whose_redis_is_frozen_is_not_killed(tmp_path: Path) -> None:
    with hurt_redis(tmp_path) as (stack, server):
        start(stack)
        server.freeze()
        make_stale(stack)
        began = time.monotonic()
        assert probe(stack, "liveness")
        # The probe's `timeoutSeconds`.
        assert time.monotonic() - began < 20


def test_a_worker_that_waits_for_a_read_only_redis_is_alive(tmp_path: Path) -> None:
    """Redis answers the probe, and refuses what the worker writes."""
    with hurt_redis(tmp_path) as (stack, server), server.client() as client:
        start(stack)
        tell(client, "REPLICAOF", "127.0.0.1", "1")
        stack.until(
            lambda: stack.whole_log("worker").count("seconds=5") >= 2,
            "the worker waits",
            seconds=60,
        )
        make_stale(stack)
        stack.until(lambda: probe(stack, "readiness"), "the file is touched", seconds=30)
        assert probe(stack, "liveness")


@contextmanager
def hurt_redis(tmp_path: Path) -> Iterator[tuple[Stack, RedisServer]]:
    """A stack with a Redis that the test can hurt."""
    with running_server(tmp_path) as server:
        settings = {**ACCOUNT, "CONNECT_HEARTBEAT_FILE": str(tmp_path / "heartbeat")}
        stack = Stack(tmp_path, server.url, **settings)
        try:
            yield stack, server
        finally:
            server.thaw()
            stack.stop()

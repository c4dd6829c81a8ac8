"""docker-compose.yml brought up for real, as a project of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from connect_worker.devtools.embedded_redis import free_port
from tests.support.stack import PROCESSORS, ROOT, listings_are_reported, waiting

PATIENCE_SECONDS = 300.0


def compose() -> list[str]:
    """Return the command of Compose 2, else of Compose 1."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]


class Project:
    """One project of Compose on the sandbox.

    Args:
        directory: An empty one of the test's; the project is called after it.
        requests: How many wait in the sandbox.
        latency_ms: Of the sandbox's answers.
    """

    def __init__(self, directory: Path, *, requests: int, latency_ms: int) -> None:
        port, flower = free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}"
        settings = {
            "COMPOSE_PROFILES": "sandbox",
            "CONNECT_API_URL": "http://sandbox:8800/public/v1",
            "CONNECT_API_KEY": "SU-000-000-001:sandbox-vendor-key",
            "CONNECT_PROCESSORS": PROCESSORS,
            "CONNECT_POLL_SECONDS": "3",
            "CONNECT_SWEEP_SECONDS": "2",
            "CONNECT_LEASE_SECONDS": "15",
            "VENDOR_URL": "http://sandbox:8800/vendor",
            "SANDBOX_REQUESTS": str(requests),
            "SANDBOX_LATENCY_MS": str(latency_ms),
            "SANDBOX_PORT": str(port),
            "FLOWER_PORT": str(flower),
            "FLOWER_PASSWORD": "a password of the tests",
        }
        self._environment = {**os.environ, **settings}
        self._command = [*compose(), "--project-directory", str(ROOT), "--project-name"]
        self._command.append(f"connect-worker-{directory.name.lower().replace('_', '-')}"[:40])

    def run(self, *arguments: str) -> str:
        """Run one command of Compose; return what it printed."""
        done = subprocess.run(
            [*self._command, *arguments],
            env=self._environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.stderr[-2000:]}"
        return done.stdout

    def containers(self, service: str) -> list[str]:
        """Return the ids of a service's containers."""
        return self.run("ps", "--quiet", service).split()

    def health(self, container: str) -> str:
        """Return `starting`, `healthy` or `unhealthy`; `none` without a check."""
        found = docker("inspect", "--format", "{{json .State}}", container)
        return str(json.loads(found).get("Health", {"Status": "none"})["Status"])

    def report(self, *, summary: bool = False) -> Any:
        """Return the sandbox's report of what was done to its requests."""
        url = f"{self.url}/sandbox/report"
        return requests.get(url, params={"summary": int(summary)}, timeout=30).json()

    def waiting(self) -> int:
        """Return how many requests and usage files wait."""
        return waiting(self.report(summary=True))

    def is_done(self) -> bool:
        """Whether nothing waits any more and each listing has its report."""
        return not self.waiting() and listings_are_reported(self.report())

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for a condition; the workers' last lines tell why it was in vain."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if time.monotonic() > give_up:
                raise AssertionError(f"not yet: {what}\n{self.run('logs', '--tail', '30')}")
            time.sleep(0.5)


def docker(*arguments: str) -> str:
    """Run one command of Docker; return what it printed."""
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout


@contextmanager
def running_project(directory: Path, *, requests: int, latency_ms: int) -> Iterator[Project]:
    """Yield a project that is not up yet; its containers and volumes end with the block."""
    assert shutil.which("docker"), "Docker is needed"
    project = Project(directory, requests=requests, latency_ms=latency_ms)
    try:
        yield project
    finally:
        project.run("down", "--volumes", "--timeout", "5")

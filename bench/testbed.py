"""The testbed of all measurements: a Redis, the stand-in, and a deployment's environment."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import psutil
import redis
import requests

from bench.sample import MeasurementError
from bench.standin import API, API_KEY
from connect_worker.devtools.embedded_redis import embedded_redis
from connect_worker.devtools.processes import Child, Processes
from connect_worker.devtools.stack import base_environment, find_root

#: Longer than any working measurement needs.
TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Testbed:
    """What all measurements share; each starts with an empty Redis and its own backlog."""

    directory: Path
    #: The broker and the ledger: one Redis, as in a default deployment.
    redis_url: str
    connect_url: str
    #: Whether small numbers are enough.
    quick: bool
    environment: Mapping[str, str]
    session: requests.Session = field(default_factory=requests.Session)

    def size(self, full: int, *, quick: int) -> int:
        """Return the size of a measurement."""
        return quick if self.quick else full

    def reset(self, count: int, *, latency_ms: float = 0.0, conversations: bool = True) -> None:
        """Empty Redis, and give the stand-in that many pending requests."""
        client = redis.Redis.from_url(self.redis_url)
        client.flushall()
        client.close()
        self.control(
            f"reset?count={count}&latency_ms={latency_ms}&conversations={int(conversations)}"
        )

    def control(self, call: str) -> Any:
        """Send a command to the stand-in."""
        answer = self.session.get(f"{self.connect_url}/bench/{call}", timeout=30)
        answer.raise_for_status()
        return answer.json()

    def until_done(self, processes: Processes) -> Mapping[str, Any]:
        """Wait until each request is approved and its message posted; return the report.

        Raises:
            MeasurementError: A process ended, or a client posted something twice.
        """
        await_condition(
            lambda: self.control("report")["done"], processes, "the backlog is processed"
        )
        report = cast("Mapping[str, Any]", self.control("report"))
        unknown = [call for call in report["calls"] if call.startswith("unknown")]
        if report["duplicates"] or unknown:
            raise MeasurementError(f"{report['duplicates']} outcomes posted twice; {unknown}")
        return report

    @contextmanager
    def processes(self) -> Iterator[Processes]:
        """Yield a supervisor whose processes end with the block."""
        with Processes(self.directory) as processes:
            yield processes

    def worker(
        self, processes: Processes, app: str, *options: str, **settings: str
    ) -> psutil.Process:
        """Start `celery -A APP worker` as README.md does, and wait until it consumes messages."""
        number = len(processes.children)
        command = [
            *(sys.executable, "-m", "celery", "-A", app, "worker"),
            *("-l", "info", "-n", f"{app}{number}@%h", *options),
        ]
        child = processes.start(
            "worker",
            command,
            environment={**self.environment, **settings},
            number=number,
            # Its work is done when it is stopped, so a graceful shutdown would only cost time.
            grace_seconds=0.0,
        )
        await_condition(lambda: _is_ready(child), processes, f"{child.name} is ready")
        return psutil.Process(child.process.pid)


def await_condition(condition: Callable[[], object], processes: Processes, what: str) -> None:
    """Wait for a condition.

    Raises:
        MeasurementError: A process ended in the meantime, or the wait timed out.
    """
    give_up = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        for child in processes.children:
            if child.status is not None:
                raise MeasurementError(f"{child.name} ended: {child.last_lines}")
        if time.monotonic() > give_up:
            raise MeasurementError(f"not within {TIMEOUT_SECONDS:.0f} s: {what}")
        time.sleep(0.1)


def _is_ready(child: Child) -> bool:
    return " ready." in child.log.read_text(errors="replace")


@contextmanager
def start_testbed(directory: Path, *, quick: bool) -> Iterator[Testbed]:
    """Start Redis and the stand-in, and stop them at the end of the block."""
    root = find_root()
    base = base_environment(root, directory)
    ready = directory / "standin.url"
    with embedded_redis() as redis_url, Processes(directory) as servers:
        command = [sys.executable, "-m", "bench.standin", "--ready-file", str(ready)]
        servers.start("standin", command, environment=base)
        await_condition(ready.exists, servers, "the stand-in listens")
        url = ready.read_text()
        environment = {
            **base,
            "CONNECT_API_URL": url + API.rstrip("/"),
            "CONNECT_API_KEY": API_KEY,
            "CONNECT_REDIS_URL": redis_url,
            "CONNECT_PROCESSORS": "bench.processors",
            "BARE_BROKER_URL": redis_url,
            "BARE_API_URL": url + API.rstrip("/"),
        }
        yield Testbed(directory, redis_url, url, quick, environment)

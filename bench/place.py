"""Where everything is measured: a Redis, the stand-in, and the environment of a deployment."""

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

from bench.sample import NotMeasured
from bench.standin import API, API_KEY
from connect_worker.devtools.embedded_redis import embedded_redis
from connect_worker.devtools.environment import base_environment, find_root
from connect_worker.devtools.processes import Child, Processes

#: More than anything needs that works.
PATIENCE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Place:
    """What all measurements share; each begins with an empty Redis and a backlog of its own."""

    directory: Path
    #: The broker and the ledger, as a deployment has them by default.
    redis_url: str
    connect_url: str
    #: Whether small numbers will do.
    quick: bool
    environment: Mapping[str, str]
    session: requests.Session = field(default_factory=requests.Session)

    def size(self, full: int, *, quick: int) -> int:
        """Return how much to measure."""
        return quick if self.quick else full

    def reset(self, count: int, *, latency_ms: float = 0.0, conversations: bool = True) -> None:
        """Empty Redis, and let so many requests wait in the stand-in."""
        client = redis.Redis.from_url(self.redis_url)
        client.flushall()
        client.close()
        self.control(
            f"reset?count={count}&latency_ms={latency_ms}&conversations={int(conversations)}"
        )

    def control(self, call: str) -> Any:
        """Call the stand-in's own part."""
        answer = self.session.get(f"{self.connect_url}/bench/{call}", timeout=30)
        answer.raise_for_status()
        return answer.json()

    def until_done(self, processes: Processes) -> Mapping[str, Any]:
        """Wait until each request is approved and its message said; return the report.

        Raises:
            NotMeasured: A process ended, or something was done twice: then it is no measurement.
        """
        await_condition(
            lambda: self.control("report")["done"], processes, "the backlog is worked off"
        )
        report = cast("Mapping[str, Any]", self.control("report"))
        unknown = [call for call in report["calls"] if call.startswith("unknown")]
        if report["doubled"] or unknown:
            raise NotMeasured(f"{report['doubled']} outcomes posted twice; {unknown}")
        return report

    @contextmanager
    def processes(self) -> Iterator[Processes]:
        """Start processes that end with the block."""
        with Processes(self.directory) as started:
            yield started

    def worker(
        self, processes: Processes, app: str, *options: str, **settings: str
    ) -> psutil.Process:
        """Start `celery -A APP worker` as README.md does, and wait until it takes messages."""
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
            # When it is stopped its work is done: an orderly end would only take time.
            grace_seconds=0.0,
        )
        await_condition(lambda: _is_ready(child), processes, f"{child.name} is ready")
        return psutil.Process(child.process.pid)


def await_condition(condition: Callable[[], object], processes: Processes, what: str) -> None:
    """Wait for a condition.

    Raises:
        NotMeasured: A process ended meanwhile, or it took too long.
    """
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        for child in processes.children:
            if child.status is not None:
                raise NotMeasured(f"{child.name} ended: {child.last_lines}")
        if time.monotonic() > give_up:
            raise NotMeasured(f"not within {PATIENCE_SECONDS:.0f} s: {what}")
        time.sleep(0.1)


def _is_ready(child: Child) -> bool:
    return " ready." in child.log.read_text(errors="replace")


@contextmanager
def place(directory: Path, *, quick: bool) -> Iterator[Place]:
    """Start Redis and the stand-in for the time of the block."""
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
        yield Place(directory, redis_url, url, quick, environment)

"""One run over a backlog: by the worker, by bare Celery, by the SDK's loop.

The times are the stand-in's: from the first call of a job to the last call. What starts before
(interpreters, the filling of the queues) is not in them.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import redis

from bench.place import Place, await_condition
from bench.sample import NotMeasured
from connect_worker.domain.states import RequestKind

HERE = Path(__file__).parent
ROOT = HERE.parent


@dataclass(frozen=True, slots=True)
class Pool:
    """How many workers, of which pool and concurrency."""

    kind: str
    concurrency: int
    workers: int = 1

    @property
    def options(self) -> tuple[str, ...]:
        """The options of one worker."""
        return "-P", self.kind, "-c", str(self.concurrency)

    def __str__(self) -> str:
        several = f"{self.workers} workers × " if self.workers > 1 else ""
        return f"{several}{self.kind} {self.concurrency}"


@dataclass(frozen=True, slots=True)
class Load:
    """How many requests wait, and how long Connect takes for an answer."""

    requests: int
    latency_ms: float = 0.0
    conversations: bool = True


@dataclass(frozen=True, slots=True)
class Run:
    """What the stand-in saw of one run."""

    load: Load
    report: Mapping[str, Any]
    #: From the first call to the last, seconds; `whole` begins with the list.
    whole_seconds: float
    jobs_seconds: float
    #: Of all workers and their children, at the end: PSS, which counts shared pages once.
    megabytes: float = 0.0

    @property
    def rate(self) -> float:
        """Requests a second, from the first call of the first job."""
        return self.load.requests / self.jobs_seconds

    @property
    def whole_rate(self) -> float:
        """Requests a second, from the first page of the list."""
        return self.load.requests / self.whole_seconds

    @property
    def calls_per_request(self) -> float:
        """The calls of the jobs; the list is the poll's."""
        calls = self.report["calls"]
        jobs = sum(calls.values()) - calls.get("GET requests", 0)
        return float(jobs / self.load.requests)

    @property
    def standin_busy(self) -> float:
        """The share of one core that the stand-in took."""
        return float(self.report["cpu_seconds"]) / self.whole_seconds


def run_ours(place: Place, load: Load, pool: Pool, **settings: str) -> Run:
    """Let a poll enqueue everything, then start workers."""
    place.reset(load.requests, conversations=load.conversations)
    with place.processes() as processes:
        _fill(place, "ours")
        place.control(f"latency?latency_ms={load.latency_ms}")
        workers = [
            place.worker(processes, "tasks", *pool.options, **settings) for _ in range(pool.workers)
        ]
        return _seen(load, place.until_done(processes), workers)


def run_deployed(place: Place, load: Load, pool: Pool, **settings: str) -> Run:
    """Start workers, then beat, whose first poll finds everything."""
    place.reset(load.requests, latency_ms=load.latency_ms, conversations=load.conversations)
    with place.processes() as processes:
        for _ in range(pool.workers):
            place.worker(processes, "tasks", *pool.options, **settings)
        start_beat(place, processes, **settings)
        return _seen(load, place.until_done(processes))


def start_beat(place: Place, processes: Any, **settings: str) -> None:
    """Start `celery -A tasks beat`."""
    command = [sys.executable, "-m", "celery", "-A", "tasks", "beat", "-l", "info"]
    processes.start("beat", command, environment={**place.environment, **settings})


def run_bare(place: Place, load: Load, pool: Pool) -> Run:
    """Publish a message for each request, then start bare workers."""
    place.reset(load.requests, latency_ms=load.latency_ms, conversations=load.conversations)
    with place.processes() as processes:
        _fill(place, "approve", load.requests)
        workers = [
            place.worker(processes, "bench.bare", *pool.options) for _ in range(pool.workers)
        ]
        return _seen(load, place.until_done(processes), workers)


def run_nothing(place: Place, count: int, pool: Pool) -> float:
    """Let bare workers take so many tasks that do nothing; return the tasks a second."""
    place.reset(0)
    queue = redis.Redis.from_url(place.redis_url)
    with place.processes() as processes:
        _fill(place, "nothing", count)
        begun = 0.0
        for _ in range(pool.workers):
            place.worker(processes, "bench.bare", *pool.options)
        while (left := int(queue.llen("bare"))) > 0:
            if not begun and left < count:
                begun, count = time.monotonic(), left
            time.sleep(0.01)
        if not begun:
            raise NotMeasured("the tasks were done before they could be counted")
        return count / (time.monotonic() - begun)


def _fill(place: Place, what: str, count: int = 0) -> None:
    """Fill the queues, in a process of its own."""
    filled = subprocess.run(
        [sys.executable, "-m", "bench.fill", what, str(count)],
        env=dict(place.environment),
        cwd=place.directory,
        capture_output=True,
        text=True,
        check=False,
    )
    if filled.returncode:
        raise NotMeasured(filled.stderr[-500:])


def run_sdk(place: Place, load: Load) -> Run:
    """Let connect-sdk 22.0 work the backlog off, in its one process."""
    python = sdk_python()
    place.reset(load.requests, latency_ms=load.latency_ms, conversations=load.conversations)
    environment = place.environment
    command = [
        *(python, "-W", "ignore", str(HERE / "peers/sdk_loop.py")),
        *(environment["CONNECT_API_URL"], environment["CONNECT_API_KEY"]),
    ]
    # It runs where the project's own modules are not to be seen.
    plain = {name: text for name, text in environment.items() if name != "PYTHONPATH"}
    subprocess.run(command, env=plain, cwd=place.directory, check=True)
    with place.processes() as processes:
        await_condition(lambda: place.control("report")["done"], processes, "the SDK is done")
        return _seen(load, place.control("report"))


@functools.cache
def sdk_python() -> str:
    """Return the interpreter that has connect-sdk 22.0, and nothing of this project.

    Raises:
        NotMeasured: It can't be installed here.
    """
    made = subprocess.run(
        [sys.executable, str(ROOT / "tests/support/foreign_environment.py")],
        env={name: text for name, text in os.environ.items() if name != "PYTHONPATH"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if made.returncode:
        raise NotMeasured("connect-sdk 22.0 can't be installed here")
    return made.stdout.strip()


def _seen(load: Load, report: Mapping[str, Any], workers: Sequence[psutil.Process] = ()) -> Run:
    families = [[worker, *worker.children(recursive=True)] for worker in workers]
    shares = [process.memory_full_info().pss for family in families for process in family]
    return Run(
        load,
        report,
        whole_seconds=report["last"] - report["first"],
        jobs_seconds=report["last"] - report["first_job"],
        megabytes=sum(shares) / 2**20,
    )


#: The kind of request that is measured.
KIND = RequestKind.FULFILLMENT

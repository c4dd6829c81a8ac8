"""One run over a backlog: by the worker, by bare Celery, or by the SDK's loop.

The stand-in takes the times: from the first call of a job to the last call. They exclude what
happens before, such as the start of interpreters and the filling of the queues.
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

from bench.sample import MeasurementError
from bench.testbed import Testbed, await_condition
from connect_worker.domain.states import RequestKind

HERE = Path(__file__).parent
ROOT = HERE.parent


@dataclass(frozen=True, slots=True)
class Pool:
    """The number of workers, their pool and its concurrency."""

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
    """The number of pending requests, and the latency of Connect."""

    requests: int
    latency_ms: float = 0.0
    conversations: bool = True


@dataclass(frozen=True, slots=True)
class Run:
    """The stand-in's report of one run."""

    load: Load
    report: Mapping[str, Any]
    #: From the first page of the list to the last call.
    seconds_with_poll: float
    #: From the first call of a job to the last call.
    jobs_seconds: float
    #: The PSS of all workers and their children at the end; PSS counts shared pages once.
    megabytes: float = 0.0

    @property
    def rate(self) -> float:
        """Requests per second, from the first call of the first job."""
        return self.load.requests / self.jobs_seconds

    @property
    def rate_with_poll(self) -> float:
        """Requests per second, from the first page of the list."""
        return self.load.requests / self.seconds_with_poll

    @property
    def calls_per_request(self) -> float:
        """The calls of the jobs, without the poll's calls for the list."""
        calls = self.report["calls"]
        jobs = sum(calls.values()) - calls.get("GET requests", 0)
        return float(jobs / self.load.requests)

    @property
    def standin_busy(self) -> float:
        """The share of one core that the stand-in took."""
        return float(self.report["cpu_seconds"]) / self.seconds_with_poll


def run_ours(testbed: Testbed, load: Load, pool: Pool, **settings: str) -> Run:
    """Run one poll that enqueues everything, then start workers."""
    testbed.reset(load.requests, conversations=load.conversations)
    with testbed.processes() as processes:
        _fill(testbed, "ours")
        testbed.control(f"latency?latency_ms={load.latency_ms}")
        workers = [
            testbed.worker(processes, "tasks", *pool.options, **settings)
            for _ in range(pool.workers)
        ]
        return _read_run(load, testbed.until_done(processes), workers)


def run_deployed(testbed: Testbed, load: Load, pool: Pool, **settings: str) -> Run:
    """Start workers, then beat, whose first poll finds everything."""
    testbed.reset(load.requests, latency_ms=load.latency_ms, conversations=load.conversations)
    with testbed.processes() as processes:
        for _ in range(pool.workers):
            testbed.worker(processes, "tasks", *pool.options, **settings)
        start_beat(testbed, processes, **settings)
        return _read_run(load, testbed.until_done(processes))


def start_beat(testbed: Testbed, processes: Any, **settings: str) -> None:
    """Start `celery -A tasks beat`."""
    command = [sys.executable, "-m", "celery", "-A", "tasks", "beat", "-l", "info"]
    processes.start("beat", command, environment={**testbed.environment, **settings})


def run_bare(testbed: Testbed, load: Load, pool: Pool) -> Run:
    """Publish a message for each request, then start bare workers."""
    testbed.reset(load.requests, latency_ms=load.latency_ms, conversations=load.conversations)
    with testbed.processes() as processes:
        _fill(testbed, "approve", load.requests)
        workers = [
            testbed.worker(processes, "bench.bare", *pool.options) for _ in range(pool.workers)
        ]
        return _read_run(load, testbed.until_done(processes), workers)


def run_nothing(testbed: Testbed, count: int, pool: Pool) -> float:
    """Run that many empty tasks on bare workers; return the tasks per second."""
    testbed.reset(0)
    queue = redis.Redis.from_url(testbed.redis_url)
    with testbed.processes() as processes:
        _fill(testbed, "nothing", count)
        started = 0.0
        for _ in range(pool.workers):
            testbed.worker(processes, "bench.bare", *pool.options)
        while (left := int(queue.llen("bare"))) > 0:
            if not started and left < count:
                started, count = time.monotonic(), left
            time.sleep(0.01)
        if not started:
            raise MeasurementError("the tasks were done before they could be counted")
        return count / (time.monotonic() - started)


def _fill(testbed: Testbed, what: str, count: int = 0) -> None:
    """Fill the queues, in a separate process."""
    process = subprocess.run(
        [sys.executable, "-m", "bench.fill", what, str(count)],
        env=dict(testbed.environment),
        cwd=testbed.directory,
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        raise MeasurementError(process.stderr[-500:])


def run_sdk(testbed: Testbed, load: Load) -> Run:
    """Process the backlog with connect-sdk 22.0, in its single process."""
    python = sdk_python()
    testbed.reset(load.requests, latency_ms=load.latency_ms, conversations=load.conversations)
    environment = testbed.environment
    command = [
        *(python, "-W", "ignore", str(HERE / "peers/sdk_loop.py")),
        *(environment["CONNECT_API_URL"], environment["CONNECT_API_KEY"]),
    ]
    # The SDK must not see this project's modules.
    without_path = {name: text for name, text in environment.items() if name != "PYTHONPATH"}
    subprocess.run(command, env=without_path, cwd=testbed.directory, check=True)
    with testbed.processes() as processes:
        await_condition(lambda: testbed.control("report")["done"], processes, "the SDK is done")
        return _read_run(load, testbed.control("report"))


@functools.cache
def sdk_python() -> str:
    """Return the interpreter that has connect-sdk 22.0, and nothing of this project.

    Raises:
        MeasurementError: pip cannot install it on this machine.
    """
    process = subprocess.run(
        [sys.executable, str(ROOT / "tests/support/foreign_environment.py")],
        env={name: text for name, text in os.environ.items() if name != "PYTHONPATH"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if process.returncode:
        raise MeasurementError("pip cannot install connect-sdk 22.0 on this machine")
    return process.stdout.strip()


def _read_run(load: Load, report: Mapping[str, Any], workers: Sequence[psutil.Process] = ()) -> Run:
    families = [[worker, *worker.children(recursive=True)] for worker in workers]
    shares = [process.memory_full_info().pss for family in families for process in family]
    return Run(
        load,
        report,
        seconds_with_poll=report["last"] - report["first"],
        jobs_seconds=report["last"] - report["first_job"],
        megabytes=sum(shares) / 2**20,
    )


#: The kind of request that is measured.
KIND = RequestKind.FULFILLMENT

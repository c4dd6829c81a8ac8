"""The `worker` fixture: real Celery workers for the sandbox's account, with their own Redis."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from connect_worker.devtools.processes import Child, Processes
from connect_worker.devtools.stack import (
    WORKER_GRACE_SECONDS,
    SandboxAddress,
    Stack,
    resolve_paths,
    worker_environment,
)
from connect_worker.ledger.redis import RedisLedger, connect
from connect_worker.resources.automation import Automation
from connect_worker.settings.model import Settings
from connect_worker.testing.sandbox import Sandbox

#: Shorter than those of a deployment or the demo: tests wait for these intervals.
_INTERVALS: Final[Mapping[str, str]] = {
    "CONNECT_POLL_SECONDS": "0.5",
    "CONNECT_SWEEP_SECONDS": "0.5",
    "CONNECT_RETRY_BASE_SECONDS": "0.5",
    "CONNECT_SKIP_SECONDS": "1",
    "CONNECT_LEASE_SECONDS": "5",
}


@dataclass(frozen=True, slots=True)
class Worker:
    """One running worker."""

    child: Child

    @property
    def log(self) -> str:
        """Its log so far."""
        return self.child.log.read_text(encoding="utf-8", errors="replace")

    @property
    def is_running(self) -> bool:
        """Whether its main process runs."""
        return self.child.status is None

    def stop(self) -> None:
        """Ask it to stop with SIGTERM, as a deployment does; it finishes its jobs first."""
        self.child.process.terminate()
        self.child.process.wait(WORKER_GRACE_SECONDS)

    def kill(self) -> None:
        """Kill it and its pool with SIGKILL, as the loss of a machine does."""
        os.killpg(self.child.process.pid, signal.SIGKILL)
        self.child.process.wait()


class Workers:
    """Starts workers, and one beat for all of them.

    Args:
        processes: Supervises the workers.
        environment: The environment of the workers.
        stack: Starts the workers.
    """

    def __init__(self, processes: Processes, environment: Mapping[str, str], stack: Stack) -> None:
        self._processes = processes
        self._environment = environment
        self._stack = stack
        self._count = 0

    def __call__(
        self,
        *processors: str | type[Automation[Any]],
        concurrency: int = 2,
        pool: str = "prefork",
        **settings: str,
    ) -> Worker:
        """Start a worker and return when it takes jobs.

        Args:
            *processors: Your automations: classes, dotted names of modules, or `.py` paths.
            concurrency: How many jobs it runs at the same time.
            pool: Celery's pool: `prefork`, `threads`, `solo`, ….
            **settings: Variables of its environment, such as `CONNECT_MAX_ATTEMPTS="3"`.

        Raises:
            RuntimeError: It did not start; the message shows the end of its log.
        """
        self._count += 1
        names = ",".join(map(_name, processors))
        environment = {**self._environment, "CONNECT_PROCESSORS": names, **settings}
        child = self._stack.start_worker(
            environment, number=self._count, concurrency=concurrency, pool=pool
        )
        worker = Worker(child)
        # Celery's own line, once it takes messages.
        self._processes.until_ready(child, lambda: " ready." in worker.log)
        if self._count == 1:
            self._stack.start_beat(environment)
        return worker


@contextmanager
def running_workers(directory: Path, *, sandbox: Sandbox, redis_url: str) -> Iterator[Workers]:
    """Yield a starter of workers; they all end with the block.

    Args:
        directory: Their working directory, with their logs.
        sandbox: The account whose requests they process.
        redis_url: Their ledger and broker.
    """
    with Processes(directory) as processes:
        stack = Stack(processes)
        environment = worker_environment(
            stack.environment,
            redis_url=redis_url,
            sandbox=SandboxAddress(sandbox.url, sandbox.api_url, sandbox.api_key),
        )
        # A worker finds the modules that the tests find.
        paths = [environment["PYTHONPATH"], str(Path.cwd()), *filter(None, sys.path)]
        environment |= {**_INTERVALS, "PYTHONPATH": os.pathsep.join(paths)}
        environment["VENDOR_URL"] = os.environ.get("VENDOR_URL", sandbox.vendor_url)
        yield Workers(processes, environment, stack)


def empty_ledger(sandbox: Sandbox, redis_url: str) -> RedisLedger:
    """Empty a Redis, and return the ledger of a sandbox's account in it."""
    connect(redis_url).flushall()
    account = Settings(api_url=sandbox.api_url, api_key=sandbox.api_key).account
    return RedisLedger.from_url(redis_url, account=account)


def _name(processors: str | type[Automation[Any]]) -> str:
    if isinstance(processors, str):
        # The worker runs in a directory of its own.
        return resolve_paths([processors])[0]
    return f"{processors.__module__}:{processors.__qualname__}"

"""Real workers for a test: Celery processes, a Redis of their own, and the sandbox's account."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from connect_worker.devtools.environment import (
    absolute,
    base_environment,
    celery_command,
    find_root,
)
from connect_worker.devtools.processes import Child, Processes
from connect_worker.ledger import RedisLedger
from connect_worker.ledger.redis import connect
from connect_worker.resources.automation import Automation
from connect_worker.settings.model import Settings
from connect_worker.testing.sandbox import Sandbox

START_SECONDS: Final = 60.0
#: A worker that is told to stop finishes its jobs first.
GRACE_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.05

#: A test does not wait for what a deployment waits for.
_IN_HURRY: Final[Mapping[str, str]] = {
    "CONNECT_POLL_SECONDS": "0.5",
    "CONNECT_SWEEP_SECONDS": "0.5",
    "CONNECT_RETRY_BASE_SECONDS": "0.5",
    "CONNECT_SKIP_SECONDS": "1",
    "CONNECT_LEASE_SECONDS": "5",
    "CONNECT_LOG_FORMAT": "text",
}


@dataclass(frozen=True, slots=True)
class Worker:
    """One running worker."""

    child: Child

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self.child.log.read_text(encoding="utf-8", errors="replace")

    @property
    def is_running(self) -> bool:
        """Whether its main process is there."""
        return self.child.status is None

    def stop(self) -> None:
        """Ask it to stop, as a deployment does; it finishes its jobs first."""
        self.child.process.terminate()
        self.child.process.wait(GRACE_SECONDS)

    def kill(self) -> None:
        """Kill it and its pool at once, as a lost machine does."""
        os.killpg(self.child.process.pid, signal.SIGKILL)
        self.child.process.wait()


class Workers:
    """Starts workers, and the one beat that they need.

    Args:
        processes: Where they run.
        environment: Theirs.
    """

    def __init__(self, processes: Processes, environment: Mapping[str, str]) -> None:
        self._processes = processes
        self._environment = environment
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
            concurrency: How many jobs it runs at once.
            pool: Celery's pool: `prefork`, `threads`, `solo`, ….
            **settings: Variables of its environment, such as `CONNECT_MAX_ATTEMPTS="3"`.

        Raises:
            RuntimeError: It does not start; shows the end of its log.
        """
        self._count += 1
        environment = {
            **self._environment,
            "CONNECT_PROCESSORS": ",".join(map(_name, processors)),
            **settings,
        }
        name = f"worker{self._count}@%h"
        options = ("-n", name, "-c", str(concurrency), "-P", pool, "-l", "info")
        child = self._processes.start(
            "worker",
            celery_command("worker", *options),
            environment=environment,
            number=self._count,
            grace_seconds=GRACE_SECONDS,
        )
        worker = Worker(child)
        _await_ready(worker)
        if self._count == 1:
            beat = celery_command("beat", "-l", "info")
            self._processes.start("beat", beat, environment=environment)
        return worker


@contextmanager
def running_workers(directory: Path, *, sandbox: Sandbox, redis_url: str) -> Iterator[Workers]:
    """Give a starter of workers for the time of the block; they all end with it.

    Args:
        directory: Where they work and log.
        sandbox: The account whose requests they process.
        redis_url: Their ledger and broker.
    """
    base = base_environment(find_root(), directory)
    # A worker finds the modules that the tests find.
    paths = [base["PYTHONPATH"], str(Path.cwd()), *filter(None, sys.path)]
    environment = {
        **base,
        **_IN_HURRY,
        "PYTHONPATH": os.pathsep.join(paths),
        "CONNECT_API_URL": sandbox.api_url,
        "CONNECT_API_KEY": sandbox.api_key,
        "CONNECT_REDIS_URL": redis_url,
        "VENDOR_URL": os.environ.get("VENDOR_URL", sandbox.vendor_url),
    }
    with Processes(directory) as processes:
        yield Workers(processes, environment)


def empty_ledger(sandbox: Sandbox, redis_url: str) -> RedisLedger:
    """Return the ledger of a sandbox's account, in a Redis that is emptied for it."""
    connect(redis_url).flushall()
    account = Settings(api_url=sandbox.api_url, api_key=sandbox.api_key).account
    return RedisLedger.from_url(redis_url, account=account)


def _await_ready(worker: Worker) -> None:
    give_up = time.monotonic() + START_SECONDS
    while " ready." not in worker.log:
        if not worker.is_running or time.monotonic() > give_up:
            raise RuntimeError(f"the worker did not start:\n{worker.child.last_lines}")
        time.sleep(_LOOK_SECONDS)


def _name(processors: str | type[Automation[Any]]) -> str:
    if isinstance(processors, str):
        # The worker works in a directory of its own.
        return absolute([processors])[0]
    return f"{processors.__module__}:{processors.__qualname__}"

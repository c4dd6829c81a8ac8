"""A deployment of real processes that a test can hurt at an exact point."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from connect_worker.config import Config
from connect_worker.devtools.embedded_redis import embedded_redis
from connect_worker.domain.states import RequestKey, RequestKind, RequestRecord
from connect_worker.ledger.redis import RedisLedger
from connect_worker.settings.model import Settings, account_name
from tests.support.stack import ROOT, Stack

from .orders import Orders
from .redis_server import assert_nothing_denied

LEASE_SECONDS = 3.0
SWEEP_SECONDS = 0.5
#: More than any row needs on a machine that others use too.
PATIENCE_SECONDS = 60.0

PURCHASES = ROOT / "tests/support/processors/purchases.py"
WEAK = ROOT / "tests/support/processors/weak.py"
LISTINGS = ROOT / "tests/support/processors/listings.py"
QUEUED = ROOT / "tests/support/processors/queued.py"
SLOW = ROOT / "tests/support/processors/slow.py"
STEPS = ROOT / "tests/support/processors/steps.py"
REVIEWS = ROOT / "tests/support/processors/reviews.py"


class FaultStack(Stack):
    """A stack with its sandbox's rules, its ledger and the orders to its processors."""

    def __init__(self, directory: Path, redis_url: str, **settings: str) -> None:
        orders = directory / "orders"
        orders.mkdir()
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        own = {
            "FAULTS_DIRECTORY": str(orders),
            "PYTHONPATH": os.pathsep.join(paths),
            "CONNECT_PROCESSORS": str(PURCHASES),
            "CONNECT_LEASE_SECONDS": str(LEASE_SECONDS),
            "CONNECT_SWEEP_SECONDS": str(SWEEP_SECONDS),
            "CONNECT_RETRY_BASE_SECONDS": "0.2",
        }
        super().__init__(directory, redis_url, **{**own, **settings})
        self.orders = Orders(orders)

    def seed(self, *options: str, **spread: int) -> None:
        """Start the sandbox with so many requests of each kind (`fulfillment=1`)."""
        counts = [part for kind, n in spread.items() for part in (f"--{kind}", str(n))]
        self.start_sandbox("--requests", "0", *counts, *options)

    def work(self, *names: str, pool: str = "prefork", concurrency: int = 2) -> None:
        """Start beat, and workers with these names."""
        for name in names or ("one",):
            self.worker(name, "--pool", pool, "-c", str(concurrency))
        self.celery("beat", "beat", "-l", "info")

    def control(self, method: str, path: str, json: Any = None) -> Any:
        """Call the sandbox's own control part."""
        url = f"{self.sandbox_url}/sandbox/{path}"
        answer = requests.request(method, url, json=json, timeout=30)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def misbehave(self, action: str, **rule: Any) -> None:
        """Put a rule in force by which the sandbox misbehaves."""
        self.control("POST", "faults", {"action": action, **rule})

    def hits(self) -> int:
        """How many calls the rules in force have met so far."""
        return sum(rule["hits"] for rule in self.control("GET", "faults"))

    def entry(self, request_id: str) -> Any:
        """What the sandbox says of one request."""
        return self.control("GET", f"report/{request_id}")

    def ids(self, scenario: str) -> list[str]:
        """The requests of a scenario, in the order of their creation."""
        rows = self.report()["requests"].values()
        return [row["id"] for row in rows if row["scenario"] == scenario]

    def until_soon(self, condition: Any, what: str) -> None:
        """Wait for what is due within seconds."""
        self.until(condition, what, seconds=PATIENCE_SECONDS)

    def until_done(self) -> None:
        """Wait until nothing waits in Connect, and no job is under way in the ledger."""
        self.until_soon(self.is_done, "every request is resolved")
        self.until_soon(self.is_idle, "every job has ended")

    def is_idle(self) -> bool:
        """Whether the ledger has no cycle that goes on, parked ones aside."""
        ended = {"completed", "superseded", "discarded", "parked"}
        counts = self.ledger().counts()
        return not any(
            number
            for states in counts.values()
            for state, number in states.items()
            if state.value not in ended
        )

    def until_polled_again(self, times: int = 2) -> None:
        """Wait until whole polls have begun and ended since now: what they do twice, they did."""
        seen = self._polls()
        self.until_soon(lambda: self._polls() >= seen + times + 1, "polls go on")

    def _polls(self) -> int:
        routes = self.report(summary=True)["calls"]["by_route"]
        return int(routes.get("GET requests", 0) + routes.get("GET listings", 0))

    def until_ended(self, name: str) -> int:
        """Wait for the end of a process that kills itself, or was asked to stop; its exit code."""
        code = self.processes[name].wait(timeout=PATIENCE_SECONDS)
        del self.processes[name]
        return code

    def stop_within(self, seconds: float, *names: str) -> None:
        """Ask processes to stop, and wait for their end; one that hangs shows where it does."""
        deadline = time.monotonic() + seconds
        processes = {name: self.processes.pop(name) for name in names}
        for process in processes.values():
            process.terminate()
        for name, process in processes.items():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                # With PYTHONFAULTHANDLER it dumps the stacks of its threads into its log.
                process.send_signal(signal.SIGABRT)
                process.wait(10)
                pytest.fail(f"{name} not ended within {seconds} s:\n{self.log(name, lines=200)}")

    def stop(self) -> None:
        """End all processes; what a test has to say of an orderly end, it says itself."""
        for name in list(self.processes):
            # A process that ended unexpectedly has shown it already.
            with suppress(ProcessLookupError):
                self.kill(name)
        assert_nothing_denied(self.redis_url)

    @property
    def account(self) -> str:
        """The name under which the workers' ledger is stored."""
        config = Config.local(
            self.environment["CONNECT_API_URL"], self.environment["CONNECT_API_KEY"]
        )
        return account_name(config)

    def ledger(self) -> RedisLedger:
        """The workers' ledger."""
        prefix = Settings(prefix=self.environment.get("CONNECT_PREFIX", "")).key_prefix
        return RedisLedger.from_url(self.redis_url, account=self.account, prefix=prefix)

    def record(self, request_id: str, kind: RequestKind = RequestKind.FULFILLMENT) -> RequestRecord:
        """What the ledger has of a request."""
        found = self.ledger().get_record(RequestKey(kind, request_id))
        assert found is not None
        return found


@contextmanager
def running_fault_stack(directory: Path, **settings: str) -> Iterator[FaultStack]:
    """A Redis of its own, and no other process yet."""
    with embedded_redis() as redis_url:
        stack = FaultStack(directory, redis_url, **settings)
        try:
            yield stack
        finally:
            stack.stop()

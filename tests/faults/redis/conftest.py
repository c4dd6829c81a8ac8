from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.fault_stack import FaultStack
from tests.support.orders import Order, Point
from tests.support.redis_process import RedisServer, running_server

#: Waits that end by themselves on a quiet machine within a few seconds.
PATIENCE_SECONDS = 90.0


@dataclass(frozen=True)
class Deployment:
    """A stack whose Redis the test can hurt, with one job held inside its processor."""

    stack: FaultStack
    redis: RedisServer
    workers: tuple[str, ...] = ("one", "two")

    def begin(self, requests: int = 40) -> str:
        """Start all, and return the held request when others are resolved and some still wait."""
        self.stack.seed("--latency-ms", "40", fulfillment=requests)
        held = self.stack.ids("purchase")[0]
        self.stack.orders.give(Order.HOLD, Point.INSIDE, held)
        self.stack.work(*self.workers)
        self.until(lambda: self.stack.orders.reached(Point.INSIDE, held), "a job is held")
        self.until(lambda: self.settled() >= requests // 5, "a part of the backlog is resolved")
        return held

    def release(self, request_id: str) -> None:
        self.stack.orders.release(Point.INSIDE, request_id)

    def settled(self) -> int:
        """How many decisions Connect has taken."""
        totals = self.stack.report(summary=True)["totals"]
        return sum(sum(total["accepted"].values()) for total in totals.values())

    def done(self) -> tuple[int, int, int]:
        """How many runs of processors, tenants at the vendor and decisions in Connect there are."""
        entries = self.stack.report()["requests"].values()
        runs = sum(len(self.stack.orders.runs(entry["id"])) for entry in entries)
        effects = sum(entry["vendor"]["effects"] for entry in entries)
        return runs, effects, self.settled()

    def until(
        self, condition: Callable[[], object], what: str, *, seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Wait; a worker or beat that ended meanwhile fails the test."""
        self.stack.until(condition, what, seconds=seconds)

    def lines(self, words: str) -> int:
        """How many log lines of the workers have the words."""
        return sum(
            words in line
            for name in self.workers
            for line in self.stack.whole_log(name).splitlines()
        )

    def all_say(self, words: str) -> bool:
        """Whether each worker has logged the words."""
        return all(words in self.stack.whole_log(name) for name in self.workers)

    def log_lines(self) -> int:
        """How many lines the workers and beat have logged."""
        return sum(len(self.stack.whole_log(name).splitlines()) for name in (*self.workers, "beat"))


def is_resolved_once(entry: Any) -> bool:
    """Whether Connect took one outcome, and the vendor made one thing of one key, if any."""
    vendor = entry["vendor"]
    return len(entry["accepted"]) == 1 and vendor["effects"] == len(vendor["keys"]) <= 1


@pytest.fixture(params=["forgetful"])
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    """Redis without persistence, unless the test asks for an append-only one."""
    with running_server(tmp_path, append_only=request.param == "append-only") as server:
        stack = FaultStack(tmp_path, server.url)
        try:
            yield Deployment(stack, server)
        finally:
            stack.stop()

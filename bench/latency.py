"""The time from pending in Connect to posted, on an idle system."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from bench.jobs import start_beat
from bench.sample import Row, Target, sample
from bench.testbed import Testbed, await_condition
from bench.throughput import PREFORK


def measure(testbed: Testbed) -> Iterator[Row]:
    """Yield one row: each request becomes pending at a random time between two polls."""
    poll_seconds = testbed.size(4, quick=1)
    settings = {"CONNECT_POLL_SECONDS": str(poll_seconds)}
    generator = random.Random(1)
    testbed.reset(1)
    with testbed.processes() as processes:
        testbed.worker(processes, "tasks", *PREFORK.options, **settings)
        start_beat(testbed, processes, **settings)
        testbed.until_done(processes)
        # Discard the first request: its worker was still starting.
        testbed.control("reset?count=0&latency_ms=0&conversations=1")
        for _ in range(testbed.size(40, quick=8)):
            time.sleep(generator.uniform(0.1, 0.1 + poll_seconds))
            testbed.control("add")
            await_condition(
                lambda: testbed.control("report")["done"], processes, "the decision is posted"
            )
        waits = testbed.control("waits")
    yield Row(
        what="from pending in Connect to posted, idle system",
        measured=sample(waits),
        unit="s",
        target=Target(poll_seconds / 2 + 0.5),
        peer=f"half of the poll interval ({poll_seconds} s), and 0.5 s",
    )

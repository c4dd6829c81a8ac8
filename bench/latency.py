"""From pending in Connect to posted, on a system that has nothing else to do."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from bench.jobs import start_beat
from bench.place import Place, await_condition
from bench.sample import Row, Target, sample
from bench.throughput import PREFORK


def measure(place: Place) -> Iterator[Row]:
    """Yield one row: each request comes at a random moment between two polls."""
    poll_seconds = place.size(4, quick=1)
    settings = {"CONNECT_POLL_SECONDS": str(poll_seconds)}
    moments = random.Random(1)
    place.reset(1)
    with place.processes() as processes:
        place.worker(processes, "tasks", *PREFORK.options, **settings)
        start_beat(place, processes, **settings)
        place.until_done(processes)
        # The first one found a worker that was just starting.
        place.control("reset?count=0&latency_ms=0&conversations=1")
        for _ in range(place.size(40, quick=8)):
            time.sleep(moments.uniform(0.1, 0.1 + poll_seconds))
            place.control("add")
            await_condition(lambda: place.control("report")["done"], processes, "it is posted")
        waits = place.control("waits")
    yield Row(
        what="from pending in Connect to posted, idle system",
        measured=sample(waits),
        unit="s",
        target=Target(poll_seconds / 2 + 0.5),
        peer=f"half of the poll interval ({poll_seconds} s), and 0.5 s",
    )

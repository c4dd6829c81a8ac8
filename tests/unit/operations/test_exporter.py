"""Many scrapes at the same time cost as much as one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from connect_worker.operations.exporter import AppState

SCRAPES = 20
TEXT, OPEN_METRICS = "text/plain", "application/openmetrics-text"


class Counting(Collector):
    """Waits for the test, and counts how often it is read."""

    def __init__(self) -> None:
        self.reads = 0
        self.may_end = threading.Event()

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        self.reads += 1
        assert self.may_end.wait(timeout=30)
        yield GaugeMetricFamily("reads", "How often.", value=self.reads)


def test_scrapes_at_the_same_time_share_one_reading_and_a_later_one_reads_again() -> None:
    collector, registry = Counting(), CollectorRegistry()
    registry.register(collector)

    async def run() -> None:
        with ThreadPoolExecutor(1) as threads:
            state = AppState(threads, registry)
            scrapes = [state.scrape(TEXT)[1] for _ in range(SCRAPES)]
            collector.may_end.set()
            assert {b"reads 1.0" in text for text in await asyncio.gather(*scrapes)} == {True}
            assert b"reads 2.0" in await state.scrape(TEXT)[1]
            assert b"# EOF" in await state.scrape(OPEN_METRICS)[1]
            assert state.running == {}

    # In a thread: a browser of another test may have a loop in this one.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, run()).result()
    assert collector.reads == 3


@pytest.mark.parametrize("version", ["x", "1.x", "1.0.0-x", "9" * 5000])
def test_a_version_that_is_none_gets_the_default_format(version: str) -> None:
    async def scrape() -> str:
        with ThreadPoolExecutor(1) as threads:
            state = AppState(threads, CollectorRegistry())
            content_type, text = state.scrape(f"{OPEN_METRICS}; version={version}")
            assert await text == b""
            return content_type

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(asyncio.run, scrape()).result().startswith(TEXT)

"""Connections to Redis that carry nothing more and are not closed: row 37.

A lost link, a firewall that forgets and a frozen host look like this: existing connections are
silent, and new ones work, at once or after a while.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from connect_worker.devtools.embedded_redis import embedded_redis
from tests.support.fault_stack import FaultStack
from tests.support.runs import settled
from tests.support.silent_relay import silent_relay
from tests.support.stack import POOLS, assert_each_resolved_once

pytestmark = [pytest.mark.faults, pytest.mark.slow]

#: As for every other absence of Redis.
RESUMED_SECONDS = 60.0
#: A stop waits for the calls that the shutdown and the running jobs make to Redis, one after the
#: other: each ends after 5 to 10 s. The first one of the ledger is tried 4 times, those after it
#: once. Most stops take 40 s, some under gevent 90 s.
STOPPED_SECONDS = 120.0


@pytest.mark.parametrize(
    ("pool", "down_seconds"),
    [
        *[(pool, 0.0) for pool, _ in POOLS],
        *[pytest.param(pool, 30.0, marks=pytest.mark.long) for pool, _ in POOLS],
    ],
)
def test_silent_connections_are_made_again(tmp_path: Path, pool: str, down_seconds: float) -> None:
    with embedded_redis() as real, silent_relay(real) as (url, relay):
        stack = FaultStack(tmp_path, url)
        try:
            stack.seed("--latency-ms", "100", fulfillment=60)
            stack.work(pool=pool)
            stack.until(lambda: settled(stack) >= 10, "the worker is at work", seconds=60)
            assert relay.silence(new_ones_too=down_seconds > 0) > 0
            time.sleep(down_seconds)
            # Calls to Connect that ran are at their end.
            time.sleep(2)
            before = settled(stack)
            relay.restore()
            stack.until(lambda: settled(stack) > before, "work resumes", seconds=RESUMED_SECONDS)
            # `until` fails when a process has ended: these are the same ones.
            stack.until(stack.is_done, "all is decided", seconds=120)
            assert_each_resolved_once(stack.report())
        finally:
            stack.stop()


@pytest.mark.parametrize("pool", [pool for pool, _ in POOLS])
def test_a_stop_ends_what_waits_on_a_silent_connection(tmp_path: Path, pool: str) -> None:
    with embedded_redis() as real, silent_relay(real) as (url, relay):
        stack = FaultStack(tmp_path, url, PYTHONFAULTHANDLER="1")
        try:
            stack.seed("--latency-ms", "100", fulfillment=60)
            stack.work(pool=pool)
            stack.until(lambda: settled(stack) >= 10, "the worker is at work", seconds=60)
            assert relay.silence(new_ones_too=True) > 0
            time.sleep(1)
            stack.stop_within(STOPPED_SECONDS, "one", "beat")
        finally:
            stack.stop()

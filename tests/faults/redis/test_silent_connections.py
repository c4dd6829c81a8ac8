"""Connections to Redis that carry nothing more and are not closed: row 37.

A lost link, a firewall that forgets and a frozen host look like this: existing connections are
silent, and new ones work, at once or after a while.
"""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from connect_worker.devtools.embedded_redis import embedded_redis
from tests.support.fault_stack import FaultStack
from tests.support.silent_relay import silent_relay
from tests.support.stack import POOLS, assert_each_resolved_once

pytestmark = [pytest.mark.faults, pytest.mark.slow]

#: As for every other absence of Redis.
RESUMED_SECONDS = 60.0
#: A stop waits for the calls that the shutdown and the running jobs make to Redis, one after the
#: other: each ends after 5 to 10 s, and those of the ledger are tried 4 times. Most stops take
#: 40 s; a job that stores, reschedules and releases in this time has three such calls.
STOPPED_SECONDS = 240.0


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
            stack.until(lambda: outcomes(stack) >= 10, "the worker is at work", seconds=60)
            assert relay.silence(new_ones_too=down_seconds > 0) > 0
            time.sleep(down_seconds)
            # Calls to Connect that ran are at their end.
            time.sleep(2)
            before = outcomes(stack)
            relay.restore()
            stack.until(lambda: outcomes(stack) > before, "work resumes", seconds=RESUMED_SECONDS)
            # `until` fails when a process has ended: these are the same ones.
            stack.until(stack.is_done, "all is decided", seconds=120)
            assert_each_resolved_once(stack.report())
        finally:
            stack.stop()


@pytest.mark.parametrize("pool", [pool for pool, _ in POOLS])
def test_a_stop_ends_what_waits_on_a_silent_connection(tmp_path: Path, pool: str) -> None:
    with embedded_redis() as real, silent_relay(real) as (url, relay):
        stack = FaultStack(tmp_path, url)
        stack.environment["PYTHONFAULTHANDLER"] = "1"
        try:
            stack.seed("--latency-ms", "100", fulfillment=60)
            stack.work(pool=pool)
            stack.until(lambda: outcomes(stack) >= 10, "the worker is at work", seconds=60)
            assert relay.silence(new_ones_too=True) > 0
            time.sleep(1)
            stopped_at = time.monotonic()
            processes = [stack.processes.pop(name) for name in ("one", "beat")]
            for process in processes:
                process.terminate()
            for process in processes:
                end(stack, process, stopped_at + STOPPED_SECONDS)
            assert time.monotonic() < stopped_at + STOPPED_SECONDS
        finally:
            stack.stop()


def end(stack: FaultStack, process: subprocess.Popen[bytes], deadline: float) -> None:
    try:
        process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        # It dumps the stacks of its threads into its log.
        process.send_signal(signal.SIGABRT)
        process.wait(10)
        pytest.fail(f"not ended within {STOPPED_SECONDS} s:\n{stack.log('one', lines=200)}")


def outcomes(stack: FaultStack) -> int:
    return sum(bool(entry["accepted"]) for entry in stack.report()["requests"].values())

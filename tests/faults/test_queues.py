"""An automation's `queue` and `priority`: who takes its requests, and that none is lost; row 35."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from connect_worker.cli.context import Exit
from tests.support.fault_stack import QUEUED, FaultStack, running_fault_stack
from tests.support.stack import assert_each_resolved_once

pytestmark = [pytest.mark.faults]

REQUESTS = 12
#: Where kombu puts messages of priority 9.
LAST = "fulfillment\x06\x169"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[FaultStack]:
    settings = {"CONNECT_PROCESSORS": str(QUEUED), "CONNECT_QUEUES": "slow"}
    with running_fault_stack(tmp_path, **settings) as stack:
        stack.seed(fulfillment=REQUESTS)
        rows = stack.report()["requests"].values()
        stack.environment["SLOW_PRODUCT"] = next(iter(rows))["product"]
        yield stack


def parts(stack: FaultStack) -> tuple[set[str], set[str]]:
    """The requests whose messages wait in `slow`, and the others."""
    rows = stack.report()["requests"].items()
    slow = {name for name, row in rows if row["product"] == stack.environment["SLOW_PRODUCT"]}
    others = {name for name, _ in rows} - slow
    assert slow
    assert others
    return slow, others


def pending(stack: FaultStack) -> set[str]:
    rows = stack.report()["requests"].items()
    return {name for name, row in rows if row["status"] == "pending"}


@pytest.mark.long
def test_what_no_worker_takes_waits_and_is_reported_and_is_done_as_soon_as_one_does(
    stack: FaultStack,
) -> None:
    slow, _ = parts(stack)
    stack.worker("one", "--pool", "prefork", "-c", "2", "-Q", "control,fulfillment")
    stack.celery("beat", "beat", "-l", "info")
    stack.until_soon(lambda: pending(stack) == slow, "the others are resolved")
    # Long enough for sweeps to send each message again, if they did.
    stack.until_polled_again(6)
    assert pending(stack) == slow
    assert not any(stack.orders.runs(name) for name in slow)
    with redis.Redis.from_url(stack.redis_url) as client:
        assert client.llen("slow") == len(slow)

    doctor = stack.run("doctor", "--json")
    assert doctor.returncode == Exit.NEEDS_ATTENTION
    (finding,) = [
        load for load in json.loads(doctor.stdout)["findings"] if load["part"] == "queues"
    ]
    assert finding["level"] == "fail"
    assert "no worker takes slow: requests of SlowPurchases" in finding["text"]
    assert finding["remedy"].endswith("-Q slow")

    stack.worker("two", "--pool", "prefork", "-c", "2", "-Q", "slow")
    stack.until_done()
    assert_each_resolved_once(stack.report())
    assert {run.attempt for name in slow for run in stack.orders.runs(name)} == {1}
    log = stack.whole_log("one")
    assert not [name for name in slow if name in log]
    assert stack.run("doctor").returncode == Exit.DONE


def test_messages_that_are_lost_from_a_queue_of_an_automations_are_sent_again(
    stack: FaultStack,
) -> None:
    slow, _ = parts(stack)
    stack.worker("one", "--pool", "prefork", "-c", "2", "-Q", "control,fulfillment")
    stack.celery("beat", "beat", "-l", "info")
    stack.until_soon(lambda: pending(stack) == slow, "the others are resolved")
    with redis.Redis.from_url(stack.redis_url) as client:
        client.delete("slow")
    stack.worker("two", "--pool", "prefork", "-c", "2", "-Q", "slow")
    stack.until_done()
    assert_each_resolved_once(stack.report())


@pytest.mark.long
def test_a_worker_without_a_word_takes_them_too(stack: FaultStack) -> None:
    stack.work("one")
    stack.until_done()
    assert_each_resolved_once(stack.report())


@pytest.mark.long
def test_those_of_priority_9_are_taken_last(stack: FaultStack) -> None:
    slow, others = parts(stack)
    stack.worker("poller", "--pool", "solo", "-Q", "control")
    stack.celery("beat", "beat", "-l", "info")
    with redis.Redis.from_url(stack.redis_url) as client:
        stack.until_soon(lambda: client.llen(LAST) == len(others), "all messages wait")
        assert client.llen("slow") == len(slow)
        assert client.llen("fulfillment") == 0
    stack.worker("one", "--pool", "solo", "-Q", "fulfillment,slow")
    stack.until_done()

    def times(names: set[str]) -> list[float]:
        return [run.at for name in names for run in stack.orders.runs(name)]

    assert max(times(slow)) < min(times(others))
    assert_each_resolved_once(stack.report())


@pytest.mark.slow
def test_a_worker_whose_settings_do_not_name_the_queue_does_not_start(stack: FaultStack) -> None:
    stack.environment["CONNECT_QUEUES"] = ""
    stack.worker("one")
    assert stack.until_ended("one") == 78
    assert "which is not in CONNECT_QUEUES" in stack.log("one")

"""RabbitMQ as the broker, at its worst: gone, without a queue, tired of waiting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fault_stack import LEASE_SECONDS, FaultStack, running_fault_stack
from tests.support.orders import Order, Point
from tests.support.rabbitmq import RabbitMQ, needs_rabbitmq, running_rabbitmq
from tests.support.stack import POOLS, assert_each_resolved_once

pytestmark = [pytest.mark.faults, pytest.mark.rabbitmq, needs_rabbitmq]

#: How long RabbitMQ lets a message be unacknowledged, and how often it looks; 30 and 1 minutes
#: by itself.
IMPATIENT = {"consumer_timeout": "2000", "channel_tick_interval": "1000"}
#: Until it has looked, a few times over.
HELD_SECONDS = 3 * LEASE_SECONDS
TWO_POOLS = POOLS[:2]


@pytest.fixture
def broker() -> Iterator[RabbitMQ]:
    with running_rabbitmq(**IMPATIENT) as broker:
        yield broker


@pytest.fixture
def stack(tmp_path: Path, broker: RabbitMQ) -> Iterator[FaultStack]:
    with running_fault_stack(tmp_path, CONNECT_BROKER_URL=broker.url) as stack:
        yield stack


@pytest.mark.long
def test_queues_that_no_worker_has_declared_stop_no_sweep(stack: FaultStack) -> None:
    """To ask RabbitMQ for a queue that does not exist closes the channel it was asked on."""
    stack.seed(fulfillment=3)
    stack.worker("one", "-Q", "control,fulfillment", "-c", "2")
    stack.celery("beat", "beat", "-l", "info")
    stack.until_done()

    ended = "0 woken, 0 rescued, 0 parked"
    stack.until_soon(lambda: stack.whole_log("one").count(ended) >= 3, "sweeps go on")
    assert "raised unexpected" not in stack.whole_log("one")
    assert_each_resolved_once(stack.report())


@pytest.mark.long
@pytest.mark.parametrize(("pool", "concurrency"), TWO_POOLS)
def test_a_killed_rabbitmq_strands_no_job_and_doubles_none(
    stack: FaultStack, broker: RabbitMQ, pool: str, concurrency: int
) -> None:
    stack.seed("--latency-ms", "20", fulfillment=60)
    stack.work("one", "two", pool=pool, concurrency=concurrency)
    stack.until_soon(lambda: settled(stack) > 10, "some are done")
    broker.kill()
    assert settled(stack) < 60, "the kill came midway"
    stack.until_soon(
        lambda: all("Trying again in" in stack.whole_log(name) for name in ("one", "two")),
        "both workers notice",
    )
    lengths = {name: len(stack.whole_log(name)) for name in ("one", "two")}
    broker.start()
    stack.until_done()

    for name, length in lengths.items():
        assert "raised unexpected" not in stack.whole_log(name)[length:]
    assert_each_resolved_once(stack.report())


@pytest.mark.long
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_what_is_held_behind_a_long_job_is_done_elsewhere(stack: FaultStack, pool: str) -> None:
    """A worker holds messages behind its jobs; the sweep sends others, and RabbitMQ gives up."""
    stack.seed(fulfillment=8)
    first = stack.ids("purchase")[0]
    stack.orders.give(Order.WORK_LONG, Point.INSIDE, first, seconds=HELD_SECONDS)
    stack.work("one", "two", pool=pool, concurrency=1)
    stack.until_soon(lambda: stack.orders.runs(first), "the long job runs")
    stack.until_soon(lambda: waiting(stack) == {first}, "all others are resolved before it")
    stack.until_done()

    assert len(stack.orders.runs(first)) == 1
    assert_each_resolved_once(stack.report())


def settled(stack: FaultStack) -> int:
    return sum(bool(row["accepted"]) for row in stack.report()["requests"].values())


def waiting(stack: FaultStack) -> set[str]:
    rows = stack.report()["requests"].values()
    return {row["id"] for row in rows if not row["accepted"]}

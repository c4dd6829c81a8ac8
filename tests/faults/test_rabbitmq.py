"""RabbitMQ as the broker, at its worst: gone, silent, refusing, tired of waiting."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fault_stack import LEASE_SECONDS, FaultStack, running_fault_stack
from tests.support.orders import Order, Point
from tests.support.rabbitmq import RabbitMQ, needs_rabbitmq, running_rabbitmq
from tests.support.runs import settled
from tests.support.silent_relay import silent_relay
from tests.support.stack import POOLS, assert_each_resolved_once

pytestmark = [pytest.mark.faults, pytest.mark.rabbitmq, needs_rabbitmq]

#: How long RabbitMQ lets a message be unacknowledged, and how often it looks; 30 and 1 minutes
#: by itself.
IMPATIENT = {"consumer_timeout": "2000", "channel_tick_interval": "1000"}
#: Until it has looked, a few times over.
HELD_SECONDS = 3 * LEASE_SECONDS
TWO_POOLS = POOLS[:2]
#: A heartbeat is missed twice, and what waits in between is tried again.
RESUMED_SECONDS = 120.0
STOPPED_SECONDS = 120.0


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


@pytest.mark.slow
@pytest.mark.parametrize(
    "pool",
    [
        name if name == "prefork" else pytest.param(name, marks=pytest.mark.long)
        for name, _ in POOLS
    ],
)
def test_silent_connections_to_rabbitmq_are_made_again(tmp_path: Path, pool: str) -> None:
    """Row 46: the worker's own connection has a heartbeat; those that publish have none."""
    with (
        running_rabbitmq() as broker,
        silent_relay(broker.url) as (url, relay),
        running_fault_stack(tmp_path, CONNECT_BROKER_URL=url) as stack,
    ):
        stack.seed("--latency-ms", "100", fulfillment=60)
        stack.work(pool=pool)
        stack.until_soon(lambda: settled(stack) >= 10, "the worker is at work")
        assert relay.silence() > 0
        # Calls to Connect that ran are at their end.
        time.sleep(2)
        before = settled(stack)
        stack.until(lambda: settled(stack) > before, "work resumes", seconds=RESUMED_SECONDS)
        # `until` fails when a process has ended: these are the same ones.
        stack.until(stack.is_done, "all is decided", seconds=RESUMED_SECONDS)
        assert_each_resolved_once(stack.report())


@pytest.mark.slow
@pytest.mark.parametrize(
    "pool",
    [
        name if name == "threads" else pytest.param(name, marks=pytest.mark.long)
        for name, _ in POOLS
    ],
)
def test_a_stop_ends_what_waits_on_a_silent_connection_to_rabbitmq(
    tmp_path: Path, pool: str
) -> None:
    """Row 46."""
    with (
        running_rabbitmq() as broker,
        silent_relay(broker.url) as (url, relay),
        running_fault_stack(tmp_path, CONNECT_BROKER_URL=url, PYTHONFAULTHANDLER="1") as stack,
    ):
        stack.seed("--latency-ms", "100", fulfillment=60)
        stack.work(pool=pool)
        stack.until_soon(lambda: settled(stack) >= 10, "the worker is at work")
        assert relay.silence(new_ones_too=True) > 0
        time.sleep(1)
        stack.stop_within(STOPPED_SECONDS, "one", "beat")


REFUSALS = {
    "virtual host": ("//", "/wrong", "RabbitMQ has no such virtual host"),
    "password": ("guest:guest", "guest:wrong", "RabbitMQ refused the user"),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "refusal", ["virtual host", pytest.param("password", marks=pytest.mark.long)]
)
def test_a_rabbitmq_that_refuses_the_connection_is_named_with_a_remedy(
    stack: FaultStack, broker: RabbitMQ, refusal: str
) -> None:
    """Row 47."""
    right, wrong, sentence = REFUSALS[refusal]
    address = broker.url.removeprefix("amqp://")
    stack.environment |= {
        "CONNECT_BROKER_URL": "amqp://" + wrong.join(address.rsplit(right, 1)),
        # Nothing listens there.
        "CONNECT_API_URL": "http://127.0.0.1:9/public/v1",
        "CONNECT_API_KEY": "SU-000-000-001:key",
    }
    problems = stack.answer("status", "--check", code=1)["problems"]
    assert any(item.startswith(sentence) and "CONNECT_BROKER_URL" in item for item in problems)
    findings = {item["part"]: item for item in stack.answer("doctor", code=1)["findings"]}
    assert findings["workers"]["text"].startswith(sentence)
    assert "CONNECT_BROKER_URL" in findings["workers"]["remedy"]
    assert stack.answer("poll", code=5)["error"].startswith(sentence)
    metrics = stack.run("metrics", "--once").stdout.splitlines()
    assert "connect_worker_broker_up 0.0" in metrics
    assert "connect_worker_ledger_up 1.0" in metrics
    assert any(line.startswith("connect_worker_requests{") for line in metrics)

    # Worker and beat go on trying, with a line each five seconds.
    stack.work("one")
    for name in ("one", "beat"):
        stack.until_soon(
            lambda name=name: stack.whole_log(name).count(f'error="{sentence}') >= 2,
            f"{name} has tried twice",
        )
        log = stack.whole_log(name)
        assert "Traceback" not in log
        assert log.count(sentence) <= 3 * (1 + log.count("seconds=5"))


def waiting(stack: FaultStack) -> set[str]:
    rows = stack.report()["requests"].values()
    return {row["id"] for row in rows if not row["accepted"]}

"""A broker to which anybody writes: no message ends, stops or slows a process of the project."""

from __future__ import annotations

import json
import time
from base64 import b64decode
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import amqp
import pytest
import redis
import requests
from celery import Celery
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import hostile_messages as hostile
from tests.support.fault_stack import FaultStack, running_fault_stack
from tests.support.rabbitmq import RabbitMQ, needs_rabbitmq, running_rabbitmq
from tests.support.stack import POOLS, assert_each_resolved_once

pytestmark = [pytest.mark.faults]

REFUSED = "celery.message_rejected"
MAX_LINE = 700
MAX_MEGABYTES = 250


class Broker:
    """What anyone who can write to the broker's Redis can do."""

    def __init__(self, stack: FaultStack) -> None:
        self.stack = stack
        self.client = redis.Redis.from_url(stack.redis_url)
        self.celery = Celery(broker=stack.redis_url, set_as_current=False)

    def push(self, messages: Iterable[bytes], queue: str = "fulfillment") -> int:
        with self.client.pipeline(transaction=False) as pipe:
            for message in messages:
                pipe.lpush(queue, message)
            return len(pipe.execute())

    def tell(self, messages: Iterable[bytes], channel: str = "/0.celery.pidbox") -> None:
        for message in messages:
            self.client.publish(channel, message)

    def keep_unacknowledged(self, entries: Iterable[bytes]) -> None:
        """As a worker notes messages; they are put back when the time for them is over."""
        for number, entry in enumerate(entries):
            self.client.hset("unacked", f"tag-{number}", entry)
            self.client.zadd("unacked_index", {f"tag-{number}": 0})

    def keep_for_another_application(self) -> None:
        """As another application at this Redis notes messages, or someone who knows the ledger."""
        message = {**hostile.envelope(), "body": "W10="}
        places: list[list[Any]] = [["", "connect-worker:x"], ["x", "y"], [{}, []], [None, None]]
        for number, place in enumerate(places):
            self.client.hset("unacked", f"foreign-{number}", hostile.raw([message, *place]))
            self.client.zadd("unacked_index", {f"foreign-{number}": 0})

    def bind_answers(self) -> None:
        """Have the workers' answers written to a key of the ledger."""
        for member in (b"77aa\x06\x16\x06\x16connect-worker:x", b"77aa", b"\xff"):
            self.client.sadd("_kombu.binding.reply.celery.pidbox", member)

    def is_drained(self) -> bool:
        notes: Any = self.client.hkeys("unacked")
        return not self.client.exists("fulfillment") and all(b"foreign" in note for note in notes)

    def answers(self) -> bool:
        return bool(self.celery.control.ping(timeout=2))


@pytest.fixture
def broker(stack: FaultStack) -> Iterator[Broker]:
    broker = Broker(stack)
    yield broker
    broker.celery.close()
    broker.client.close()


def start_worker(stack: FaultStack, pool: str = "threads", concurrency: int = 2) -> int:
    worker = stack.worker("one", "--pool", pool, "-c", str(concurrency))
    stack.until_soon(lambda: " ready." in stack.whole_log("one"), "the worker is ready")
    return worker.pid


def assert_log_is_short(stack: FaultStack, name: str, seconds: float) -> None:
    lines = stack.whole_log(name).splitlines()
    refused = [line for line in lines if REFUSED in line]
    assert refused
    assert len(refused) <= 10 * (seconds + 4)
    assert max(map(len, refused)) < MAX_LINE
    assert "Traceback" not in stack.whole_log(name)


def peak_megabytes(pid: int) -> float:
    [line] = [
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmHWM")
    ]
    return int(line.split()[1]) / 1024


# ---- Redis


@pytest.mark.parametrize(
    ("pool", "concurrency"),
    [
        POOLS[1],
        pytest.param(*POOLS[0], marks=pytest.mark.slow),
        *(pytest.param(*pool, marks=pytest.mark.long) for pool in POOLS[2:]),
    ],
)
def test_a_worker_refuses_every_malformed_message_and_goes_on(
    stack: FaultStack, broker: Broker, pool: str, concurrency: int
) -> None:
    stack.seed(fulfillment=3)
    # A busy worker of greenlets never looks at what is unacknowledged.
    broker.keep_unacknowledged(unacknowledged() if pool != "gevent" else [])
    broker.keep_for_another_application()
    broker.bind_answers()
    pid, began = start_worker(stack, pool, concurrency), time.monotonic()
    stack.celery("beat", "beat", "-l", "info")
    broker.tell(hostile.commands())
    assert broker.push(hostile.jobs()) > 500
    broker.push(hostile.RAW[1:-1], queue="control")
    stack.control("POST", "requests", {"kind": "fulfillment", "scenario": "purchase"})
    stack.until_soon(broker.is_drained, "every message is read and acknowledged")
    stack.until_done()

    assert stack.processes["one"].poll() is None
    assert stack.processes["one"].pid == pid
    assert broker.answers()
    assert_each_resolved_once(stack.report())
    assert peak_megabytes(pid) < MAX_MEGABYTES
    assert not broker.client.exists("connect-worker:x")
    assert broker.client.hlen("unacked") == broker.client.zcard("unacked_index") == 4
    assert_log_is_short(stack, "one", time.monotonic() - began)
    assert "Traceback" not in stack.whole_log("beat")


def unacknowledged() -> Iterator[bytes]:
    """Notes of messages that no worker has acknowledged: message, exchange and queue."""
    yield from hostile.RAW[:-1]
    good = hostile.envelope()
    yield hostile.raw([5, "", "fulfillment"])
    yield hostile.raw([hostile.put(good, ("headers", "id"), 5), "", "fulfillment"])


@pytest.mark.slow
def test_no_random_message_ends_a_worker(stack: FaultStack, broker: Broker) -> None:
    stack.seed()
    start_worker(stack)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(hostile.messages(hostile.envelope()), min_size=20, max_size=20),
        st.lists(hostile.messages(hostile.command()), min_size=5, max_size=5),
    )
    def send(jobs: list[bytes], commands: list[bytes]) -> None:
        if stack.processes["one"].poll() is not None:
            start_worker(stack)
        broker.tell(commands)
        broker.push(jobs)
        stack.until_soon(broker.is_drained, "every message is read and acknowledged")

    send()
    assert broker.answers()
    assert "Traceback" not in stack.whole_log("one")


PAGES = ("", "workers", "tasks", "broker", "metrics", "task/PR-2.last", "api/workers")


def test_flower_shows_what_good_events_say_between_malformed_ones(
    stack: FaultStack, broker: Broker
) -> None:
    stack.start_flower()
    flower = stack.processes["flower"]

    def tell(*messages: bytes) -> None:
        broker.tell(messages, channel="/0.celeryev/worker.heartbeat")

    def shows(job: str) -> bool:
        tell(hostile.raw(hostile.put(hostile.events(), ("body", 1, "uuid"), job)))
        return job in stack.flower("tasks")

    stack.until_soon(lambda: shows("PR-1.first"), "Flower takes events")
    tell(*hostile.RAW[1:-1], *map(hostile.raw, hostile.changed(hostile.events())))
    stack.until_soon(lambda: shows("PR-2.last"), "Flower goes on")
    assert flower.poll() is None
    for page in PAGES:
        answer = requests.get(f"{stack.flower_url}/{page}", auth=stack.flower_auth, timeout=20)
        assert answer.ok, page
    assert REFUSED in stack.whole_log("flower")
    assert "Traceback" not in stack.whole_log("flower")
    assert "Failed to capture events" not in stack.whole_log("flower")


# ---- RabbitMQ


class RawMessage(amqp.Message):
    """A message whose properties are any bytes."""

    raw = b""

    def _serialize_properties(self) -> bytes:
        return self.raw


@pytest.fixture
def rabbitmq() -> Iterator[RabbitMQ]:
    with running_rabbitmq() as rabbitmq:
        yield rabbitmq


@pytest.mark.slow
@pytest.mark.rabbitmq
@needs_rabbitmq
@pytest.mark.parametrize(
    ("pool", "concurrency"),
    [POOLS[1], *(pytest.param(*pool, marks=pytest.mark.long) for pool in (POOLS[0], POOLS[2]))],
)
def test_a_worker_on_rabbitmq_refuses_every_malformed_message_and_goes_on(
    tmp_path: Path, rabbitmq: RabbitMQ, pool: str, concurrency: int
) -> None:
    with running_fault_stack(tmp_path, CONNECT_BROKER_URL=rabbitmq.url) as stack:
        stack.seed(fulfillment=3)
        pid, began = start_worker(stack, pool, concurrency), time.monotonic()
        stack.celery("beat", "beat", "-l", "info")
        with amqp.Connection(f"127.0.0.1:{rabbitmq.port}") as connection:
            channel = connection.channel()
            assert sum(publish(channel, message) for message in amqp_jobs()) > 300
            for properties in hostile.amqp_properties():
                message = RawMessage("[]")
                message.raw = properties
                channel.basic_publish(message, routing_key="fulfillment")
            stack.control("POST", "requests", {"kind": "fulfillment", "scenario": "purchase"})
            stack.until_soon(lambda: not waiting(channel), "every message is read")
        stack.until_done()

        assert stack.processes["one"].poll() is None
        assert stack.processes["one"].pid == pid
        assert_each_resolved_once(stack.report())
        assert "Connection to broker lost" not in stack.whole_log("one")
        assert_log_is_short(stack, "one", time.monotonic() - began)
        # A worker that is killed may not have acknowledged its last good message yet.
        stack.stop_within(60, "beat", "one")
    with amqp.Connection(f"127.0.0.1:{rabbitmq.port}") as connection:
        assert not waiting(connection.channel()), "none is put back when the worker has ended"


def amqp_jobs() -> Iterator[amqp.Message]:
    """The malformed jobs, as far as AMQP has a place for them."""
    for raw in hostile.jobs():
        yield amqp.Message(raw[:1_000_000], content_type="application/json")
        try:
            envelope = json.loads(raw)
            body = b64decode(envelope["body"])
            headers, properties = envelope["headers"], envelope["properties"]
            given = {"content_type": envelope["content-type"], **properties}
            # RabbitMQ closes the sender's connection for a number that is none.
            json.dumps(headers, allow_nan=False)
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        # RabbitMQ itself refuses a delivery mode that does not exist.
        names = ("content_type", "correlation_id", "priority")
        own = {name: given[name] for name in names if name in given}
        yield amqp.Message(body, application_headers=headers, content_encoding="utf-8", **own)


def publish(channel: Any, message: amqp.Message) -> bool:
    """Send a message, if it can be written as one."""
    try:
        message._serialize_properties()  # type: ignore[attr-defined]
    except Exception:  # noqa: BLE001 - what AMQP can't write nobody can send
        return False
    channel.basic_publish(message, routing_key="fulfillment")
    return True


def waiting(channel: Any) -> int:
    return int(channel.queue_declare("fulfillment", passive=True).message_count)

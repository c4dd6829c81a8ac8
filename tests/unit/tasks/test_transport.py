"""What workers, Flower and commands that are gone leave behind in the broker's Redis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
import redis
from kombu import Exchange
from kombu.pidbox import Mailbox

from tasks.app import app
from tasks.celery_support.transport import ANSWER_MS, BrokerConnection
from tests.support.redis_server import running_server


@pytest.fixture
def client() -> Iterator[redis.Redis]:
    with running_server() as url:
        socket = url.removeprefix("unix://")
        with redis.Redis(unix_socket_path=socket, decode_responses=True) as client:
            yield client


@pytest.fixture
def broker(client: redis.Redis) -> Iterator[BrokerConnection]:
    path = client.connection_pool.connection_kwargs["path"]
    with BrokerConnection(f"redis+socket://{path}") as connection:
        yield connection


def test_who_listens_to_commands_and_events_leaves_no_key(
    broker: BrokerConnection, client: redis.Redis
) -> None:
    node = Mailbox("celery", type="fanout").Node("one@host", channel=broker.channel())
    node.listen(callback=print)
    channel = broker.channel()
    app.events.Receiver(channel).get_consumers(broker.Consumer, channel)[0].consume()
    with suppress(TimeoutError):
        broker.drain_events(timeout=0.1)
    assert client.pubsub_numpat() + len(client.pubsub_channels()) == 2
    assert client.keys() == []


def test_an_answer_waits_for_who_asked_but_not_for_ever(
    broker: BrokerConnection, client: redis.Redis
) -> None:
    answers = Exchange("reply.celery.pidbox", type="direct", delivery_mode="transient")
    broker.Producer().publish({}, exchange=answers, routing_key="77aa", declare=[answers])
    [queue] = client.keys()
    assert queue == "77aa.reply.celery.pidbox"
    assert 0 < client.pttl(queue) <= ANSWER_MS

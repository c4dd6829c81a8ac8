"""How many messages wait at the broker."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kombu.exceptions import ChannelError

from tasks.app import app


def lengths(connection: Any, queues: Iterable[str] = ()) -> dict[str, int]:
    """Return how many messages wait in each of these queues; in each that there is, without any.

    A connection that the broker's restart has broken is noticed here: RabbitMQ's client does not
    connect anew by itself.
    """
    names = list(queues) or [queue.name for queue in app.conf.task_queues]

    def count(*, channel: Any) -> list[int]:
        return [_length(channel, name) for name in names]

    counts, _ = connection.autoretry(count, max_retries=1, interval_start=0)()
    return dict(zip(names, counts, strict=True))


def _length(channel: Any, queue: str) -> int:
    """Count a queue's messages; to kombu an empty queue on Redis is one that does not exist.

    So is, on RabbitMQ, one that no worker has declared yet. It closes the channel for the question,
    and py-amqp opens it again.
    """
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except ChannelError:
        return 0

"""A worker's consumer with a channel for each account, so that each waits for messages by itself.

On one channel there is one wait for all queues: it can't leave those of one account out, and take
them in again in the moment in which one of its jobs has ended.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from types import MethodType
from typing import Any

from celery.worker import state
from kombu import Queue

from connect_worker.accounts import account_at
from connect_worker.logger import LogEvent, logger
from tasks.shares import Shares


class AccountConsumers:
    """What Celery asks of its one consumer of tasks, for several of them.

    Args:
        worker: Celery's consumer, connected to Redis.
        queues: All that are to be consumed from.
    """

    def __init__(self, worker: Any, queues: Iterable[Queue]) -> None:
        self._worker = worker
        self._on_message: Any = None
        by_account: dict[str, list[Queue]] = defaultdict(list)
        for queue in queues:
            by_account[account_at(queue.name)].append(queue)
        self._shares = Shares(by_account)
        self._consumers: dict[str, Any] = {
            account: self._open(account, found) for account, found in by_account.items()
        }
        if self._slots < len(self._consumers):
            logger.warning(
                LogEvent(
                    "fewer slots than accounts",
                    slots=self._slots,
                    accounts=len(self._consumers),
                    why="accounts that hang can hold up the others: give it more (-c), or workers "
                    "to single accounts (-Q)",
                )
            )

    @property
    def queues(self) -> list[Queue]:
        """All queues that are consumed from."""
        return [queue for consumer in self._consumers.values() for queue in consumer.queues]

    @property
    def on_message(self) -> Any:
        """What is called with each message."""
        return self._on_message

    @on_message.setter
    def on_message(self, handler: Any) -> None:
        self._on_message = handler
        for consumer in self._consumers.values():
            consumer.on_message = handler

    def consume(self) -> None:
        """Begin to take messages; of queues that were added, too."""
        for consumer in self._consumers.values():
            consumer.consume()

    def cancel(self) -> None:
        """Take no more messages."""
        for consumer in self._consumers.values():
            consumer.cancel()

    close = cancel

    def qos(self, **_: Any) -> None:
        """Do nothing: nothing is prefetched."""

    def consuming_from(self, queue: str) -> bool:
        """Whether a queue is consumed from."""
        return any(consumer.consuming_from(queue) for consumer in self._consumers.values())

    def add_queue(self, queue: Queue) -> None:
        """Add a queue of one of the accounts; of another one nobody here knows the processors."""
        if consumer := self._consumers.get(account_at(queue.name)):
            consumer.add_queue(queue)

    def cancel_by_queue(self, queue: str) -> None:
        """Take no more messages of a queue."""
        for consumer in self._consumers.values():
            consumer.cancel_by_queue(queue)

    @property
    def _slots(self) -> int:
        """How many jobs the pool runs at once, as Celery counts where nothing is prefetched."""
        most = getattr(self._worker.controller, "max_concurrency", None)
        return int(most or self._worker.pool.num_processes)

    def _open(self, account: str, queues: list[Queue]) -> Any:
        channel = self._worker.connection.channel()
        consumer = self._worker.app.amqp.TaskConsumer(
            channel, queues=queues, on_decode_error=self._worker.on_decode_error
        )
        can_consume = channel.qos.can_consume

        def may_take(_: Any) -> bool:
            is_free = self._shares.may_take(account, jobs_under_way(), slots=self._slots)
            return bool(is_free and can_consume())

        channel.qos.can_consume = MethodType(may_take, channel.qos)
        return consumer


def jobs_under_way() -> Mapping[str, str]:
    """Return the account of each job that this worker has taken and not ended, by the job's id."""
    # A copy made in one step: other threads add and remove.
    return {job: account_at(request.name) for job, request in list(state.requests.items())}

"""A worker that takes messages under every pool, and outlives a broker that refuses.

A Redis refuses when it is full, read-only, or unable to save. Celery counts that among the
channel's errors: by default the worker exits, and with `broker_channel_error_retry` it connects
anew at once, dozens of times a second with a traceback each, since connecting is not what is
refused. Of each refused connection it leaves the sockets open.
"""

from __future__ import annotations

import socket
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from time import monotonic, sleep
from types import MethodType
from typing import Any

from celery.app.events import Events
from celery.events.dispatcher import EventDispatcher
from celery.worker import state
from celery.worker.consumer import Consumer
from kombu import Queue
from redis.exceptions import RedisError

from connect_worker.ledger.scripts import remedy
from connect_worker.logger import LogEvent, logger
from connect_worker.settings.accounts import account_at
from tasks.celery_support.fair_share import FairShare

# Waking a worker's event loop from another thread.
#
# Under the threads pool nobody tells the loop that a job has ended. Without prefetching a worker
# whose threads are all busy then looks for messages once a second only, and stands still in
# between.


class Waker:
    """A pair of sockets: what is written to one ends the loop's wait at the other."""

    def __init__(self) -> None:
        self._near, self._far = socket.socketpair()
        for end in (self._near, self._far):
            end.setblocking(False)

    def watch(self, hub: Any) -> None:
        """Have an event loop listen; again after each of its resets."""
        hub.add_reader(self._far.fileno(), self._drain)

    def wake(self) -> None:
        """End the loop's wait; from any thread, any number of times."""
        # A full pair wakes it as well.
        with suppress(BlockingIOError):
            self._near.send(b"\0")

    def close(self) -> None:
        """Close both ends."""
        self._near.close()
        self._far.close()

    def _drain(self) -> None:
        with suppress(BlockingIOError):
            self._far.recv(65536)


# Task events that arrive: Flower shows each job's end only if the worker sent it.
#
# Celery 5.6 drops events when its buffer is flushed: those that another thread adds meanwhile
# (celery
# issue 10434), and those whose sending fails (celery pull requests 10401 and 10417). The jobs are
# not
# concerned, but Flower would show some as RECEIVED for ever. To be deleted when the allowed Celery
# versions have the fixes: tests/unit/tasks/test_task_events.py tells.


class LosslessDispatcher(EventDispatcher):
    """Sends buffered events, and takes out of the buffer only what it has sent."""

    # What Celery's class has and celery-types does not tell.
    mutex: threading.Lock
    producer: Any
    _outbound_buffer: deque[tuple[Any, ...]]
    _group_buffer: dict[str, list[Any]]
    _publish: Callable[..., None]

    def flush(self, errors: bool = True, groups: bool = True) -> None:
        """Send what is buffered; what can't be sent is buffered for the next time."""
        with self.mutex:
            if errors:
                # One that is refused again goes to the end, behind the ones counted here.
                for _ in range(len(self._outbound_buffer)):
                    event, routing_key = self._outbound_buffer.popleft()[:2]
                    self._publish(event, self.producer, routing_key)
            if groups:
                for group, buffer in self._group_buffer.items():
                    # Other threads append to the buffer: what they add comes behind the copy.
                    events = list(buffer)
                    self._publish(events, self.producer, f"{group}.multi")
                    del buffer[: len(events)]


class LosslessEvents(Events):
    """Celery's events, with the dispatcher above."""

    dispatcher_cls = "tasks.celery_support.consumer:LosslessDispatcher"


# A worker's consumer with a channel for each account, so that each waits for messages by itself.
#
# On one channel there is one wait for all queues: it can't leave those of one account out, and
# take
# them in again in the moment in which one of its jobs has ended.


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
        self._shares = FairShare(by_account)
        self._consumers: dict[str, Any] = {
            account: self._open(account, found) for account, found in by_account.items()
        }
        if self._slots < len(self._consumers):
            logger.warning(
                LogEvent(
                    "worker.fewer_slots_than_accounts",
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


#: Between two tries of a broker that answers and refuses.
PAUSE_SECONDS = 5
#: So long events wait for others, to be sent in one message.
FLUSH_SECONDS = 0.1
#: For so long a worker whose greenlets are all busy waits for one of them; then it looks up.
FULL_SECONDS = 2
#: So often a worker of greenlets looks whether an account that had its share has room again.
LOOK_SECONDS = 0.05


class PatientConsumer(Consumer):
    """Celery's consumer, for every pool, at less cost, and patient with a broker that refuses."""

    # What Celery's class has and celery-types does not tell.
    connection: Any
    connection_for_read: Any
    controller: Any
    hub: Any
    pool: Any
    amqheartbeat: Any
    task_consumer: Any
    channel_errors: tuple[type[Exception], ...]
    _flush_events: Callable[[], None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._flush_planned_at = 0.0
        self._waker = Waker()
        if self.pool.is_green and not self.controller.max_concurrency:
            # Without prefetching Celery takes no more than the pool's size, for which a gevent pool
            # gives the number of its running jobs: at first none, so that none would ever run.
            self.controller.max_concurrency = self.pool.limit

    def on_send_event_buffered(self) -> None:  # type: ignore[override]  # celery-types is wrong
        """Have the events of a moment sent together.

        Celery sends them whenever it looks up, which under load is for nearly every event: a
        quarter of a worker's time.
        """
        now = monotonic()
        # One that was planned before a connection was lost is forgotten with it.
        if self.hub and now - self._flush_planned_at > 2 * FLUSH_SECONDS:
            self._flush_planned_at = now
            # Threads of the pool come here, too, and timers are the loop's own.
            self.hub._ready.add(self._plan_flush)
        if threading.current_thread() is not threading.main_thread():
            # A job of the threads pool begins or has ended: there may be room for another one.
            self._waker.wake()

    def register_with_event_loop(self, hub: Any) -> None:
        """Let the loop be woken too."""
        super().register_with_event_loop(hub)
        self._waker.watch(hub)

    def loop_args(self) -> Any:
        """Give the loop what it works with: of several accounts, a consumer of each."""
        queues = self.app.amqp.queues.consume_from
        if self.app.conf.worker_disable_prefetch and len(set(map(account_at, queues))) > 1:
            self.task_consumer = AccountConsumers(self, queues.values())
            if self.pool.is_green:
                self._look_often()
        return super().loop_args()

    def _look_often(self) -> None:
        """Let no wait for messages be long: the end of a greenlet's job does not wake the loop."""
        drain_events = self.connection.drain_events

        def drain_soon(timeout: float | None = None, **kwargs: Any) -> Any:
            return drain_events(timeout=min(timeout or LOOK_SECONDS, LOOK_SECONDS), **kwargs)

        self.connection.drain_events = drain_soon

    def _plan_flush(self) -> None:
        self.hub.call_later(FLUSH_SECONDS, self._flush_events)

    def shutdown(self) -> None:
        """Send the last events before the connection is closed."""
        with suppress(Exception):
            self._flush_events()
        super().shutdown()

    def connect(self) -> Any:
        """Connect as Celery does; what is refused its first command is not left behind open."""
        connection = self.connection_for_read(heartbeat=self.amqheartbeat)
        try:
            if self.hub:
                # Writes: it takes the lock under which lost messages are restored.
                connection.transport.register_with_event_loop(connection.connection, self.hub)
        except self.channel_errors:
            let_go(connection)
            raise
        return connection

    def perform_pending_operations(self) -> None:
        """Do what is scheduled, before each look for messages.

        With all greenlets busy Celery would wait two seconds for nothing before it looks again:
        the end of a job does not wake it as it does under the other pools.
        """
        super().perform_pending_operations()
        wait_available = getattr(self.pool._pool, "wait_available", None)
        if self.pool.is_green and wait_available is not None:
            wait_available(timeout=FULL_SECONDS)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Let go of the connection; the caller takes a new one, of a refusal only after a pause."""
        if not isinstance(exc, self.channel_errors):
            super().on_connection_error_after_connected(exc)
            return
        said = f"{remedy(exc)} ({exc})" if isinstance(exc, RedisError) else exc
        logger.error(LogEvent("celery.broker_rejected", seconds=PAUSE_SECONDS, error=said))
        let_go(self.connection)
        for _ in range(PAUSE_SECONDS):
            # Raises when the worker was told to stop.
            state.maybe_shutdown()
            sleep(1)


def let_go(connection: Any) -> None:
    """Close a connection and its sockets, though a refused write stops kombu half-way."""
    transport, channels = connection.transport, []
    if transport.driver_type == "redis":
        channels = [*transport.channels, *transport._avail_channels]
    with suppress(Exception):
        # Writes too: it deletes the queues of remote control. As Celery, who does not mind here.
        connection.collect()
    for channel in channels:
        with suppress(Exception):
            channel._disconnect_pools()
            channel._close_clients()

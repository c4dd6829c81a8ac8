"""The part of a worker that takes messages: under every pool, from a broker that may refuse.

Answers these faults and gaps of Celery 5.6 and kombu 5.7:

- A Redis that is full, read-only or unable to save refuses writes. The worker exits by default.
  With `broker_channel_error_retry` it connects again at once, dozens of times a second, with a
  traceback each, and leaves the sockets of each connection open: `WorkerConsumer.connect` and
  `on_connection_error_after_connected`; tests/faults/redis/test_redis_refuses.py.
- A RabbitMQ that refuses the user or the virtual host is asked again at once, 50 times a second:
  `on_connection_error_before_connected`; tests/faults/test_rabbitmq.py.
- Events are dropped when the buffer is flushed: those that another thread adds during the flush
  (celery issue 10434), and those whose sending fails (celery pull requests 10401 and 10417). Flower
  would show some jobs as RECEIVED forever: `LosslessDispatcher`;
  tests/unit/tasks/test_task_events.py fails as soon as Celery needs no replacement.
- A heartbeat is repeated in the main loop until the broker takes it, and a stop does not reach it
  there: `LosslessDispatcher.send`; tests/faults/redis/test_silent_connections.py.
- Events are sent at nearly every turn of the loop, a quarter of a worker's time under load:
  `on_send_event_buffered`; bench/ measures it.
- Without prefetching a worker whose threads are all busy looks for messages once a second, because
  no thread of the pool wakes the loop: `Waker`; tests/unit/tasks/test_wake_ups.py. A busy gevent
  pool waits two seconds: `perform_pending_operations`. And Celery takes no more messages than the
  pool has processes, of which a gevent pool has none at first: `__init__`.
  tests/unit/tasks/test_celery_gaps.py has these two.
- Each lost connection leaves heartbeats under gevent and solo, which open a connection of their
  own for ever: `_repeat`. Under the other pools it leaves a part of the loop: `connect`.
  tests/unit/tasks/test_celery_gaps.py, tests/faults/test_soak.py.
- A worker has one channel, with one wait for the messages of all queues, so that one account's
  backlog can take all slots: `AccountConsumers` and fair_share.py;
  tests/faults/test_account_in_trouble.py.
"""

from __future__ import annotations

import socket
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from time import monotonic, sleep
from types import MethodType
from typing import Any

from amqp.exceptions import IrrecoverableConnectionError
from celery.app.events import Events
from celery.events.dispatcher import EventDispatcher
from celery.worker import state
from celery.worker.consumer import Consumer
from kombu import Queue

from connect_worker.domain.metrics import WORKER_SECONDS, WorkerLoad
from connect_worker.engine.ports import Counters
from connect_worker.exceptions import LedgerUnavailable
from connect_worker.ledger.redis import RedisLedger
from connect_worker.logger import LogEvent, logger
from connect_worker.settings.accounts import account_at
from tasks.celery_support.bootstrap import settings
from tasks.celery_support.fair_share import FairShare
from tasks.celery_support.remote_control import describe_failure
from tasks.celery_support.signals import (
    check_ledger_redis,
    check_queues,
    served_accounts,
    touch_heartbeat_file,
)


class Waker:
    """Wakes the event loop from any thread: a pair of sockets, at one of which the loop waits."""

    def __init__(self) -> None:
        self._near, self._far = socket.socketpair()
        for end in (self._near, self._far):
            end.setblocking(False)

    def watch(self, hub: Any) -> None:
        """Make an event loop listen; needed again after each of its resets."""
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


#: How long events are kept after RabbitMQ has not confirmed one.
KEEP_SECONDS = 20
#: A second attempt, at once.
ONE_MORE = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
#: In one message: message_rules.py limits how long it may be.
MAX_EVENTS = 1000


class LosslessDispatcher(EventDispatcher):
    """Sends buffered events, and takes out of the buffer only what it has sent."""

    # Celery's class has these; celery-types does not declare them.
    app: Any
    mutex: threading.Lock
    producer: Any
    _outbound_buffer: deque[tuple[Any, ...]]
    _group_buffer: dict[str, list[Any]]
    _next_attempt_at = 0.0

    def send(self, *args: Any, **fields: Any) -> None:
        """Send an event in one attempt, with texts that Flower can show.

        Celery repeats a heartbeat until it is sent. It waits for the broker in the main loop then,
        where a stop does not reach it. After an error the consumer connects again. An error may
        quote any text of a customer.
        """
        texts = {name: _shown(value) for name, value in fields.items()}
        super().send(*args, **{**texts, "retry": False})

    def _publish(self, event: Any, producer: Any, routing_key: str, **_: Any) -> None:
        """Send one message; over a new connection when RabbitMQ does not confirm it.

        Events have a connection of their own, which no heartbeat watches. Celery would go on with
        it after an error, and wait for the confirmation of each event. After a failure events are
        kept for a while without another attempt, so that they hold up no job and no stop.
        """
        if not self.app.conf.broker_url.startswith("amqp"):
            super()._publish(event, producer, routing_key)  # type: ignore[misc]
            return
        if monotonic() < self._next_attempt_at:
            self._outbound_buffer.append((event, routing_key, None))
            return
        kept = len(self._outbound_buffer)
        super()._publish(  # type: ignore[misc]
            event, producer, routing_key, retry=True, retry_policy=ONE_MORE
        )
        if len(self._outbound_buffer) > kept:
            self._next_attempt_at = monotonic() + KEEP_SECONDS

    def flush(self, errors: bool = True, groups: bool = True) -> None:
        """Send what is buffered, and keep what can't be sent for the next time."""
        with self.mutex:
            if errors:
                # An event that is refused again goes to the end, behind those counted here.
                for _ in range(len(self._outbound_buffer)):
                    event, routing_key = self._outbound_buffer.popleft()[:2]
                    self._publish(event, self.producer, routing_key)
            if groups:
                for group, buffer in self._group_buffer.items():
                    for _ in range(0, len(buffer), MAX_EVENTS):
                        # Other threads may append now: their events come behind the copied ones.
                        events = buffer[:MAX_EVENTS]
                        self._publish(events, self.producer, f"{group}.multi")
                        del buffer[: len(events)]


def _shown(value: Any) -> Any:
    """Return a text without halves of surrogate pairs, which no page can show."""
    if not isinstance(value, str) or value.isascii():
        return value
    return value.encode(errors="backslashreplace").decode()


class LosslessEvents(Events):
    """Celery's events, with the dispatcher above."""

    dispatcher_cls = "tasks.celery_support.consumer:LosslessDispatcher"


class AccountConsumers:
    """A consumer for each account, with the interface of the one that Celery expects.

    Each account has its own channel, with its own wait for messages. A single channel has one wait
    for all queues, which can't leave out the queues of one account for a while.

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
            account: self._open(account, own) for account, own in by_account.items()
        }
        if pool_slots(worker) < len(self._consumers):
            logger.warning(
                LogEvent(
                    "worker.fewer_slots_than_accounts",
                    slots=pool_slots(self._worker),
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
        """The function that is called with each message."""
        return self._on_message

    @on_message.setter
    def on_message(self, handler: Any) -> None:
        self._on_message = handler
        for consumer in self._consumers.values():
            consumer.on_message = handler

    def consume(self) -> None:
        """Begin to take messages, also from queues that were added."""
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
        """Add a queue of one of the accounts; this worker has no processors for any other."""
        if consumer := self._consumers.get(account_at(queue.name)):
            consumer.add_queue(queue)

    def cancel_by_queue(self, queue: str) -> None:
        """Take no more messages of a queue."""
        for consumer in self._consumers.values():
            consumer.cancel_by_queue(queue)

    def _open(self, account: str, queues: list[Queue]) -> Any:
        channel = self._worker.connection.channel()
        consumer = self._worker.app.amqp.TaskConsumer(
            channel, queues=queues, on_decode_error=self._worker.on_decode_error
        )
        can_consume = channel.qos.can_consume

        def may_take(_: Any) -> bool:
            is_free = self._shares.may_take(account, running_jobs(), slots=pool_slots(self._worker))
            return bool(is_free and can_consume())

        channel.qos.can_consume = MethodType(may_take, channel.qos)
        return consumer


def running_jobs() -> Mapping[str, str]:
    """Return the account of each job that this worker has taken and not finished, by job id."""
    # A copy made in one step: other threads add and remove.
    return {job: account_at(request.name) for job, request in list(state.requests.items())}


def pool_slots(worker: Any) -> int:
    """Return how many jobs a pool runs at once, as Celery counts where nothing is prefetched."""
    maximum = getattr(worker.controller, "max_concurrency", None)
    return int(maximum or worker.pool.num_processes)


@cache
def _reports(account: str) -> Counters:
    """Return the ledger of an account, with a connection that gives up soon."""
    own = settings(account)
    return RedisLedger.from_url(
        own.redis_url,
        account=own.account,
        prefix=own.key_prefix,
        timeout_seconds=REPORT_SECONDS,
        retries=0,
        is_checked=True,
    )


class LedgerUnusableError(OSError):
    """The ledger's Redis can't be used now; Celery connects again after such an error."""


#: How long a worker waits before it tries a broker again that refuses commands.
PAUSE_SECONDS = 5
#: How long the main loop waits for the ledger to take a report.
REPORT_SECONDS = 1
#: How long events wait for others, to be sent in one message.
FLUSH_SECONDS = 0.1
#: How long a worker whose greenlets are all busy waits for one of them at a time.
BUSY_WAIT_SECONDS = 2
#: How often a worker of greenlets checks whether an account that had its share has room again.
SHARE_CHECK_SECONDS = 0.05


class WorkerConsumer(Consumer):
    """Celery's consumer, for every pool, with fewer messages, and with pauses for a broker."""

    # Celery's class has these; celery-types does not declare them.
    connection: Any
    connection_for_read: Any
    controller: Any
    hub: Any
    pool: Any
    timer: Any
    amqheartbeat: Any
    task_consumer: Any
    channel_errors: tuple[type[Exception], ...]
    _flush_events: Callable[[], None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Both read what other workers send, which raises where it has another shape. They serve
        # elections, which nothing here holds, and pass on what an operator revoked: the sweep would
        # send another message for it.
        kwargs |= {"without_gossip": True, "without_mingle": True}
        super().__init__(*args, **kwargs)
        self._flush_planned_at = 0.0
        self._was_connected = False
        #: What the loop does at each turn for the connection.
        self._ticks: set[Callable[[], None]] = set()
        #: What a pool without a loop does repeatedly for it.
        self._repeated: list[Any] = []
        self._waker = Waker()
        if self.pool.is_green and not self.controller.max_concurrency:
            # Without prefetching Celery takes no more messages than the pool's size. A gevent pool
            # gives the number of its running jobs for it: none at first, so that none would ever
            # run.
            self.controller.max_concurrency = self.pool.limit
        if not self.hub:
            self._call_repeatedly = self.timer.call_repeatedly
            self.timer.call_repeatedly = self._repeat

    def on_send_event_buffered(self) -> None:  # type: ignore[override]  # celery-types is wrong
        """Plan to send the events of a moment together."""
        now = monotonic()
        # A flush that was planned before a connection was lost is forgotten with it.
        if self.hub and now - self._flush_planned_at > 2 * FLUSH_SECONDS:
            self._flush_planned_at = now
            # Threads of the pool call this too, and only the loop may set its timers.
            self.hub._ready.add(self._plan_flush)
        if threading.current_thread() is not threading.main_thread():
            # A job of the threads pool has begun or ended: there may be room for another one.
            self._waker.wake()

    def register_with_event_loop(self, hub: Any) -> None:
        """Make the loop listen to the waker too."""
        super().register_with_event_loop(hub)
        self._waker.watch(hub)

    def loop_args(self) -> Any:
        """Return what the loop works with: for several accounts, one consumer for each."""
        self._was_connected = True
        self._report_load()
        self.timer.call_repeatedly(WORKER_SECONDS / 3, self._report_load)
        queues = self.app.amqp.queues.consume_from
        if self.app.conf.worker_disable_prefetch and len(set(map(account_at, queues))) > 1:
            self.task_consumer = AccountConsumers(self, queues.values())
            if self.pool.is_green:
                self._shorten_waits()
        return super().loop_args()

    def _report_load(self) -> None:
        """Write to the ledger of each account how many of its jobs run here.

        The main loop waits for it: one short attempt, and the next one comes in time.
        """
        busy = Counter(account_at(request.name) for request in list(state.active_requests))
        slots = pool_slots(self)
        try:
            for account in served_accounts():
                load = WorkerLoad(slots, busy[account])
                _reports(account).record_worker(self.hostname, load)
        except LedgerUnavailable as error:
            logger.warning(LogEvent("worker.load_not_reported", error=error))

    def _shorten_waits(self) -> None:
        """Keep each wait for messages short: the end of a greenlet's job does not wake the loop."""
        drain_events = self.connection.drain_events

        def drain_briefly(timeout: float | None = None, **kwargs: Any) -> Any:
            return drain_events(
                timeout=min(timeout or SHARE_CHECK_SECONDS, SHARE_CHECK_SECONDS), **kwargs
            )

        self.connection.drain_events = drain_briefly

    def _plan_flush(self) -> None:
        self.hub.call_later(FLUSH_SECONDS, self._flush_events)

    def shutdown(self) -> None:
        """Send the last events before the connection is closed."""
        with suppress(Exception):
            self._flush_events()
        super().shutdown()

    def connect(self) -> Any:
        """Connect as Celery does, and close a connection whose first command is refused."""
        connection = self.connection_for_read(heartbeat=self.amqheartbeat)
        try:
            self._require_servers(connection)
            if self.hub:
                # kombu adds what the loop does at each turn, and never takes it away.
                self.hub.on_tick -= self._ticks
                others = set(self.hub.on_tick)
                # This writes: it takes the lock under which lost messages are restored.
                connection.transport.register_with_event_loop(connection.connection, self.hub)
                self._ticks = self.hub.on_tick - others
        except Exception:
            close_connection(connection)
            raise
        return connection

    def _require_servers(self, connection: Any) -> None:
        """Check the ledger's Redis and the queues at each connection: they may be others now.

        Raises:
            LedgerUnusableError: Redis may lose requests or does not answer, so that no job could
                run; or another deployment has the queues.
        """
        try:
            problem = check_ledger_redis()
            if problem is None and settings().has_own_broker:
                problem = check_queues(connection)
        except LedgerUnavailable as error:
            raise LedgerUnusableError(str(error)) from error
        if problem:
            raise LedgerUnusableError(problem.message)

    def perform_pending_operations(self) -> None:
        """Do what is scheduled before each wait for messages.

        Under the other pools the end of a job wakes the loop. With all greenlets busy Celery would
        wait two seconds, whether a job ends or not.
        """
        super().perform_pending_operations()
        wait_available = getattr(self.pool._pool, "wait_available", None)
        if self.pool.is_green and wait_available is not None:
            wait_available(timeout=BUSY_WAIT_SECONDS)

    def _repeat(self, *args: Any, **kwargs: Any) -> Any:
        """Have the timer call a function repeatedly, as long as the connection is there."""
        run = self._call_repeatedly(*args, **kwargs)
        # A greenlet is one call; what it enters again and again is its entry.
        self._repeated.append(getattr(run, "entry", run))
        return run

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Close the connection; the caller opens a new one, after a refusal only after a pause."""
        while self._repeated:
            self._repeated.pop().cancel()
        refusals = *self.channel_errors, IrrecoverableConnectionError, LedgerUnusableError
        if not isinstance(exc, refusals):
            super().on_connection_error_after_connected(exc)
            # Else it would be opened again by whatever still has it.
            self.connection.release()
            return
        close_connection(self.connection)
        self._pause(exc)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Pause: the broker is there and refuses the connection, and Celery retries at once."""
        self._pause(exc)

    def _pause(self, exc: Exception) -> None:
        if isinstance(exc, LedgerUnusableError):
            logger.error(LogEvent("worker.redis_unusable", seconds=PAUSE_SECONDS, error=exc))
        else:
            text = describe_failure(exc)
            logger.error(LogEvent("celery.broker_rejected", seconds=PAUSE_SECONDS, error=text))
        for _ in range(PAUSE_SECONDS):
            # Raises when an operator has stopped the worker.
            state.maybe_shutdown()
            if self._was_connected:
                # The worker is alive. One that was never connected is not ready, however.
                touch_heartbeat_file()
            sleep(1)


def close_connection(connection: Any) -> None:
    """Close a connection and all its sockets; a refused write stops kombu halfway."""
    transport, channels = connection.transport, []
    if transport.driver_type == "redis":
        channels = [*transport.channels, *transport._avail_channels]
    with suppress(Exception):
        # This writes too: it deletes the queues of remote control. Celery also ignores the error.
        connection.collect()
    for channel in channels:
        with suppress(Exception):
            channel._disconnect_pools()
            channel._close_clients()

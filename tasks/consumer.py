"""A worker that takes messages under every pool, and outlives a broker that refuses.

A Redis refuses when it is full, read-only, or unable to save. Celery counts that among the
channel's errors: by default the worker exits, and with `broker_channel_error_retry` it connects
anew at once, dozens of times a second with a traceback each, since connecting is not what is
refused. Of each refused connection it leaves the sockets open.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, sleep
from typing import Any

from celery.worker import state
from celery.worker.consumer import Consumer
from redis.exceptions import RedisError

from connect_worker.accounts import account_at
from connect_worker.ledger.unavailable import remedy
from connect_worker.logger import LogEvent, logger
from tasks.bulkheads import AccountConsumers
from tasks.waker import Waker

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
        logger.error(LogEvent("broker refuses", seconds=PAUSE_SECONDS, error=said))
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

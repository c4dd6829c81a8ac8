"""A worker that outlives a broker that refuses: Redis full, read-only, or unable to save.

Celery counts a refused command among the channel's errors: by default the worker exits, and with
`broker_channel_error_retry` it connects anew at once, dozens of times a second with a traceback
each, since connecting is not what is refused. Of each refused connection it leaves the sockets
open.
"""

from __future__ import annotations

from contextlib import suppress
from time import sleep
from typing import Any

from celery.worker import state
from celery.worker.consumer import Consumer
from redis.exceptions import RedisError

from connect_worker.ledger.unavailable import remedy
from connect_worker.logger import LogEvent, logger

#: Between two tries of a broker that answers and refuses.
PAUSE_SECONDS = 5


class PatientConsumer(Consumer):
    """Celery's consumer, which says in one line what is refused, and waits."""

    # What Celery's class has and celery-types does not tell.
    connection: Any
    connection_for_read: Any
    hub: Any
    amqheartbeat: Any
    channel_errors: tuple[type[Exception], ...]

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

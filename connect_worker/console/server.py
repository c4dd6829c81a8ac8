"""The console's process: it listens until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from connect_worker.console.application import make_application
from connect_worker.console.deployment import Deployment

#: A form of the console has a few kilobytes: the names of a page's requests.
MOST_BODY_BYTES = 256 * 1024
IDLE_SECONDS = 60.0


def serve(deployment: Deployment, *, address: str, port: int, ready: Callable[[int], None]) -> None:
    """Listen until SIGTERM or Ctrl-C; `ready` is told the port.

    Raises:
        OSError: The address or the port can't be had.
    """
    sockets = bind_sockets(port, address)
    chosen: int = sockets[0].getsockname()[1]

    async def until_told() -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        server = HTTPServer(
            make_application(deployment, port=chosen),
            max_body_size=MOST_BODY_BYTES,
            max_buffer_size=MOST_BODY_BYTES,
            idle_connection_timeout=IDLE_SECONDS,
            body_timeout=IDLE_SECONDS,
        )
        server.add_sockets(sockets)
        ready(chosen)
        await stopped.wait()
        server.stop()
        await server.close_all_connections()

    asyncio.run(until_told())

"""The receiver's process: it listens until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler, url

from connect_worker.webhook.background_publisher import Messenger
from connect_worker.webhook.handler import Account, House, Receive

IDLE_SECONDS: Final = 30.0
MOST_HEADER_BYTES: Final = 16 * 1024
#: Read at once; the receiver itself counts how much a body has.
CHUNK_BYTES: Final = 64 * 1024
THREADS: Final = 8


class Healthcheck(RequestHandler):
    """For probes: the receiver runs. Without its ledger it says 503 to Connect, not to them."""

    def get(self) -> None:
        """Say so."""
        self.write("OK")


def serve(
    accounts: Mapping[str, Account], *, address: str, port: int, ready: Callable[[int], None]
) -> None:
    """Listen until SIGTERM or Ctrl-C; `ready` is told the port.

    Raises:
        OSError: The address or the port can't be had.
    """
    sockets = bind_sockets(port, address)

    async def until_told() -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        server = HTTPServer(
            make_application(accounts, threads=threads, messenger=messenger),
            # No limit: a larger body would be answered by Tornado, before the receiver sees it.
            max_body_size=2**62,
            max_header_size=MOST_HEADER_BYTES,
            chunk_size=CHUNK_BYTES,
            max_buffer_size=4 * CHUNK_BYTES,
            idle_connection_timeout=IDLE_SECONDS,
            body_timeout=IDLE_SECONDS,
        )
        server.add_sockets(sockets)
        ready(sockets[0].getsockname()[1])
        await stopped.wait()
        server.stop()
        await server.close_all_connections()
        messenger.close()

    messenger = Messenger()
    with ThreadPoolExecutor(THREADS, thread_name_prefix="ledger") as threads:
        asyncio.run(until_told())


def make_application(
    accounts: Mapping[str, Account], *, threads: ThreadPoolExecutor, messenger: Messenger
) -> Application:
    """Return the receiver as a Tornado application."""
    house = House(accounts=accounts, threads=threads, messenger=messenger)
    return Application(
        [url(r"/healthcheck", Healthcheck), url(r"/.*", Receive, {"house": house})],
        # Each notification has a line of its own.
        log_function=lambda _: None,
    )

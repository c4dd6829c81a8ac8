"""What the console and the receiver of notifications share: a Tornado server until SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

#: How many requests to a server wait for a ledger at the same time.
THREADS: Final = 8


# ---- log lines

MAX_LINES_PER_SECOND: Final = 10


class LogThrottle:
    """Limits the log lines of a flood of refused calls, and counts the suppressed ones.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._second = float("-inf")
        self._written = 0
        #: Suppressed since the last line that was allowed.
        self._suppressed = 0

    def allow(self) -> int | None:
        """Return None to suppress a line, else how many were suppressed before it."""
        now = self._clock()
        if now - self._second >= 1:
            self._second, self._written = now, 0
        if self._written >= MAX_LINES_PER_SECOND:
            self._suppressed += 1
            return None
        self._written += 1
        suppressed, self._suppressed = self._suppressed, 0
        return suppressed


# ---- the process


@dataclass
class AppState:
    """What the handlers of one server share."""

    #: Runs what waits for a ledger, so that the server keeps answering other requests.
    threads: Executor


class Healthcheck(RequestHandler):
    """For probes: the process serves. It does not ask the ledger, whose health is not its own."""

    def get(self) -> None:
        """Answer 200."""
        self.write("OK")


def serve_until_stopped(
    make_application: Callable[[int, Executor], Application],
    *,
    address: str,
    port: int,
    ready: Callable[[int], None],
    idle_seconds: float,
    **limits: Any,
) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        make_application: Gets the port, and the threads that wait for ledgers.
        address: Where to listen.
        port: 0 for a free one.
        ready: Called with the port once the server listens.
        idle_seconds: How long a connection may send nothing.
        limits: Of Tornado's `HTTPServer`.

    Raises:
        OSError: The address or the port is not available.
    """
    sockets = bind_sockets(port, address)
    bound_port: int = sockets[0].getsockname()[1]

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        server = HTTPServer(
            make_application(bound_port, threads),
            idle_connection_timeout=idle_seconds,
            body_timeout=idle_seconds,
            **limits,
        )
        server.add_sockets(sockets)
        ready(bound_port)
        await stop.wait()
        server.stop()
        await server.close_all_connections()

    with ThreadPoolExecutor(THREADS, thread_name_prefix="ledger") as threads:
        asyncio.run(serve())


def log_no_access(_handler: RequestHandler) -> None:
    """Write no access log line: the handlers log what matters."""

"""The HTTP server of the console, the receiver and the exporter: limits, deadlines, and its end.

Anyone who reaches the port may connect and send bytes. A connection that sends no complete request
is closed at its deadline, or before, when the server needs its place: so a health check is answered
even while others hold connections open. No handler gets a body that it has no use for.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import socket
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, cast

from tornado.http1connection import HTTP1ServerConnection
from tornado.httpserver import HTTPServer
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerRequest,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import IOStream
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler, stream_request_body

from connect_worker._web_access import client_network
from connect_worker.logger import LogEvent, event_logger
from connect_worker.observability.logging import LogThrottle

log: Final = event_logger("connect_worker.webserver")

#: How many requests to a server wait for a ledger at the same time.
THREADS: Final = 8
MAX_CONNECTIONS: Final = 512
#: Beyond them the connection ends without an answer.
MAX_HEADER_BYTES: Final = 64 * 1024
#: A complete request of Connect has about ten kilobytes, as has a form of the console.
MAX_BODY_BYTES: Final = 256 * 1024
_MAX_LENGTH_DIGITS: Final = 12
#: How much of a body is read at once.
CHUNK_BYTES: Final = 64 * 1024
#: How many connections are accepted before other work has its turn.
ACCEPTS_AT_ONCE: Final = 64
#: How long a server without descriptors accepts nothing.
ACCEPT_PAUSE_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections a server has, and how long each may take."""

    connections: int
    #: Of one client: an IPv4 address or an IPv6 network of 64 bits. A proxy counts as one client.
    connections_per_client: int
    #: From the connection to the end of the first request's header.
    header_seconds: float = 30.0
    #: From an answer to the end of the next request's header. Load balancers keep connections for
    #: 60 seconds; a server that closes them earlier makes them lose requests.
    idle_seconds: float = 75.0
    #: From the end of the header to the end of the body.
    body_seconds: float = 30.0
    #: From the end of the request until the client has the whole answer.
    answer_seconds: float = 60.0

    @classmethod
    def of_process(cls) -> Limits:
        """Return limits that leave half of the process's descriptors to everything else."""
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        is_unlimited = descriptors == resource.RLIM_INFINITY
        connections = MAX_CONNECTIONS if is_unlimited else min(MAX_CONNECTIONS, descriptors // 2)
        return cls(connections, connections_per_client=max(1, connections // 2))


# ---- log lines

#: A library's line quotes what a client sent.
MAX_LINE_CHARACTERS: Final = 300


class _TornadoLines(logging.Filter):
    """Limits and shortens what Tornado logs, such as a line for each malformed request."""

    def __init__(self) -> None:
        super().__init__()
        self._of_clients = LogThrottle()
        #: Apart, so that what clients send hides no error of the program.
        self._of_program = LogThrottle()

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a line is written."""
        is_error = record.levelno >= logging.ERROR
        suppressed = (self._of_program if is_error else self._of_clients).allow()
        if suppressed is None:
            return False
        text = record.getMessage()[:MAX_LINE_CHARACTERS]
        record.msg = f"{text} ({suppressed} lines suppressed)" if suppressed else text
        record.args = None
        return True


# ---- connections


class _Connection:
    """One open connection, and the time when it is closed if nothing happens."""

    def __init__(self, stream: IOStream, client: str) -> None:
        self.stream = stream
        self.client = client
        #: Whether the server waits for a request or for the rest of one.
        self.is_receiving = True
        self.has_been_answered = False
        self._deadline: asyncio.TimerHandle | None = None

    def close_after(self, seconds: float) -> None:
        """Set the deadline."""
        self.clear_deadline()
        self._deadline = asyncio.get_running_loop().call_later(seconds, self.stream.close)

    def clear_deadline(self) -> None:
        """Remove the deadline."""
        if self._deadline is not None:
            self._deadline.cancel()


class _WatchedRequest(HTTPMessageDelegate):
    """Sets the deadlines of one request while Tornado reads it."""

    def __init__(
        self, request: HTTPMessageDelegate, connection: _Connection, limits: Limits
    ) -> None:
        self._request = request
        self._connection = connection
        self._limits = limits

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        self._connection.close_after(self._limits.body_seconds)
        return self._request.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._request.data_received(chunk)

    def finish(self) -> None:
        self._connection.is_receiving = False
        self._connection.close_after(self._limits.answer_seconds)
        self._request.finish()

    def on_connection_close(self) -> None:
        self._request.on_connection_close()


class LimitedServer(HTTPServer):
    """Tornado's server with limits.

    When there are too many connections, the one that has waited longest for a request makes room
    for a new one: of the same client if that client has too many, else of all.
    """

    def initialize(self, *args: Any, limits: Limits | None = None, **kwargs: Any) -> None:
        """Take the application, and the limits; without them those of the process."""
        sizes: dict[str, Any] = {
            "max_header_size": MAX_HEADER_BYTES,
            # No limit: `LimitedApplication` checks the length. Tornado would close the connection
            # with an answer of its own, before a handler sees the request.
            "max_body_size": 2**62,
            "chunk_size": CHUNK_BYTES,
            "max_buffer_size": 4 * CHUNK_BYTES,
        }
        super().initialize(*args, **sizes | kwargs)
        self._limits = limits or Limits.of_process()
        self._listeners: list[socket.socket] = []
        #: In the order in which they began to wait for their current request.
        self._open: dict[IOStream, _Connection] = {}
        self._throttle = LogThrottle(lines=1, seconds=10.0)

    # ---- accepting

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        """Accept connections from these sockets."""
        for listener in sockets:
            self._listeners.append(listener)
            self._resume(listener)

    def stop(self) -> None:
        """Accept no more connections."""
        for listener in self._listeners:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()
        super().stop()

    def _resume(self, listener: socket.socket) -> None:
        if listener.fileno() != -1:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                client, address = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                # No descriptor or no memory is free: trying again at once would take a whole core.
                loop = asyncio.get_running_loop()
                loop.remove_reader(listener)
                loop.call_later(ACCEPT_PAUSE_SECONDS, self._resume, listener)
                self._close_oldest(self._open.values())
                self._warn("webserver.accept_failed", error=error.strerror)
                return
            stream = IOStream(
                client, max_buffer_size=self.max_buffer_size, read_chunk_size=self.read_chunk_size
            )
            self.handle_stream(stream, address)

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """Serve a connection, if there is room for it."""
        client = client_network(address[0])
        if not self._make_room(client):
            stream.close()
            return
        self._open[stream] = _Connection(stream, client)
        super().handle_stream(stream, address)

    def _make_room(self, client: str) -> bool:
        of_client = [item for item in self._open.values() if item.client == client]
        if len(of_client) >= self._limits.connections_per_client:
            has_room = self._close_oldest(of_client)
        elif len(self._open) >= self._limits.connections:
            has_room = self._close_oldest(self._open.values())
        else:
            return True
        self._warn(
            "webserver.connection_limit",
            client=client,
            of_client=len(of_client),
            open=len(self._open),
            closed="the longest waiting" if has_room else "the new one",
        )
        return has_room

    def _close_oldest(self, connections: Iterable[_Connection]) -> bool:
        """Close the connection that has waited longest for a request; False if none waits."""
        oldest = next((item for item in connections if item.is_receiving), None)
        if oldest is None:
            return False
        self._forget(oldest.stream)
        oldest.stream.close()
        return True

    def _warn(self, event: str, **fields: object) -> None:
        if (more := self._throttle.facts()) is not None:
            log.warning(LogEvent(event, **fields, **more))

    # ---- requests

    def start_request(
        self, server_conn: object, request_conn: HTTPConnection
    ) -> HTTPMessageDelegate:
        """Wait for the next request of a connection, and set its deadline."""
        request = super().start_request(server_conn, request_conn)
        stream = _stream_of(server_conn)
        connection = self._open.pop(stream, None)
        if connection is None:
            # It was closed to make room, before its first request.
            return request
        self._open[stream] = connection
        connection.is_receiving = True
        limits = self._limits
        connection.close_after(
            limits.idle_seconds if connection.has_been_answered else limits.header_seconds
        )
        connection.has_been_answered = True
        return _WatchedRequest(request, connection, limits)

    def on_close(self, server_conn: object) -> None:
        """Forget a connection."""
        self._forget(_stream_of(server_conn))
        super().on_close(server_conn)

    def _forget(self, stream: IOStream) -> None:
        connection = self._open.pop(stream, None)
        if connection is not None:
            connection.clear_deadline()


def _stream_of(server_conn: object) -> IOStream:
    return cast(HTTP1ServerConnection, server_conn).stream


# ---- bodies


class LimitedApplication(Application):
    """Gives a body only to a handler that has a method for it, and only a short one."""

    def get_handler_delegate(
        self,
        request: HTTPServerRequest,
        target_class: type[RequestHandler],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Return what reads the request."""
        if _refusal_of_body(request, target_class):
            # mypy takes the hash of the handlers for the hash of their class.
            target_class = _without_body(target_class)  # type: ignore[arg-type]
        return super().get_handler_delegate(request, target_class, *args, **kwargs)


def _refusal_of_body(request: HTTPServerRequest, handler: type[RequestHandler]) -> int:
    """Return the status that refuses the body of a request; 0 if the body is accepted."""
    if "Transfer-Encoding" in request.headers:
        return 411
    length = request.headers.get("Content-Length", "0")
    if not (length.isascii() and length.isdigit()):
        return 400
    has_method = request.method == "POST" and handler.post is not RequestHandler.post
    limit = MAX_BODY_BYTES if has_method else 0
    # A number with more digits is too large in any case, and Python refuses to read thousands.
    return 413 if len(length) > _MAX_LENGTH_DIGITS or int(length) > limit else 0


class _WithoutBody(RequestHandler):
    """Refuses a request before its body is read, if the handler has not refused it already."""

    def set_default_headers(self) -> None:
        super().set_default_headers()
        # The rest of the request is not read.
        self.set_header("Connection", "close")

    def check_xsrf_cookie(self) -> None:
        """Check nothing: the token is in the body, and nothing happens without one."""

    async def prepare(self) -> None:
        waiting = super().prepare()
        if waiting is not None:
            await waiting
        if not self._finished:
            raise HTTPError(_refusal_of_body(self.request, type(self)))


@cache
def _without_body(handler: type[RequestHandler]) -> type[RequestHandler]:
    return stream_request_body(type(handler.__name__, (_WithoutBody, handler), {}))


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
    make_application: Callable[[int, Executor], LimitedApplication],
    *,
    address: str,
    port: int,
    ready: Callable[[int], None],
    alongside: AbstractAsyncContextManager[object] | None = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        make_application: Gets the port, and the threads that wait for ledgers.
        address: Where to listen.
        port: 0 for a free one.
        ready: Called with the port once the server listens.
        alongside: Entered before the server accepts a connection, and left before it closes those
            that it has.

    Raises:
        OSError: The address or the port is not available.
    """
    sockets = bind_sockets(port, address, backlog=MAX_CONNECTIONS)
    bound_port: int = sockets[0].getsockname()[1]
    tornado_lines = _TornadoLines()
    for name in ("tornado.general", "tornado.application"):
        logging.getLogger(name).addFilter(tornado_lines)

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        async with alongside or nullcontext():
            server = LimitedServer(make_application(bound_port, threads))
            server.add_sockets(sockets)
            ready(bound_port)
            await stop.wait()
            server.stop()
        await server.close_all_connections()

    with ThreadPoolExecutor(THREADS, thread_name_prefix="ledger") as threads:
        asyncio.run(serve())


def log_no_access(_handler: RequestHandler) -> None:
    """Write no access log line: the handlers log what matters."""

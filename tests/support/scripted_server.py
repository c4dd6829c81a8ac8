"""A server that plays what a test has written for it, and remembers every call and connection."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from connect_worker.api import Client

CANARY = "canary-0123456789"
KEY = f"ApiKey SU-111-222-333:{CANARY}"


@dataclass(frozen=True)
class Call:
    """One call as the server got it."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def number(self, name: str) -> int:
        """A number in the query."""
        return int(parse_qs(self.query)[name][0])


@dataclass(frozen=True)
class Reply:
    """What the server does with a call."""

    status: int = 200
    #: Bytes as they are; anything else as JSON.
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    #: "" to answer; "reset" the connection, "hang", or "cut" the answer off in its middle.
    action: str = ""

    @property
    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else json.dumps(self.body).encode()


Play = Callable[[Call], Reply]


class Server(ThreadingHTTPServer):
    """Answers with the replies it was given, the last one for ever, or as a function says."""

    daemon_threads = True

    def __init__(self, play: Play) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.play = play
        self.calls: list[Call] = []
        self.connections: list[socket.socket] = []
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/public/v1"

    def client(self, **options: Any) -> Client:
        return Client(self.url, KEY, **{"timeout_seconds": 5.0, **options})


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    # Head and body in one packet: apart, each answer would wait for the client's delayed ACK.
    wbufsize = -1
    disable_nagle_algorithm = True

    def setup(self) -> None:
        self.server.connections.append(self.request)
        super().setup()

    def answer(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        call = Call(self.command, url.path, url.query, dict(self.headers), body)
        self.server.calls.append(call)
        reply = self.server.play(call)
        if reply.action == "hang":
            self.server.closing.wait(30)
            self.close_connection = True
        elif reply.action == "reset":
            self._reset()
        else:
            self._send(reply)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def _send(self, reply: Reply) -> None:
        content = reply.content
        self.send_response(reply.status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if reply.action == "cut":
            self.wfile.write(content[: len(content) // 2])
            self._reset()
        else:
            self.wfile.write(content)

    def _reset(self) -> None:
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def finish(self) -> None:
        # After a reset there is nothing left to flush.
        if self.connection.fileno() >= 0:
            super().finish()

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


@contextmanager
def serving(*script: Reply | Play) -> Iterator[Server]:
    """A server that plays the replies one after the other, and then the last one again.

    A function in their place is asked at every call.
    """
    with Server(_player(script)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()
            for connection in server.connections:
                connection.close()


def _player(script: tuple[Reply | Play, ...]) -> Play:
    left = list(script)

    def play(call: Call) -> Reply:
        entry = left.pop(0) if len(left) > 1 else left[0]
        return entry if isinstance(entry, Reply) else entry(call)

    return play


def error_document(*errors: str, code: str = "VAL_001", **params: Any) -> dict[str, Any]:
    """An error as Connect words it."""
    return {"error_code": code, "errors": list(errors), "params": params}

"""A server of raw sockets that answers with whatever bytes a test gives, or as the sandbox does."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO
from urllib.parse import urlsplit

MEBIBYTE = 2**20
#: Formats of `zlib`; the last one has no checksum.
GZIP, ZLIB, DEFLATE = 31, 15, -15

#: The bytes of an answer, one block after the other; it may be endless.
Shape = Callable[["Request"], Iterable[bytes]]


class Request:
    """One call as the server got it: its first line, its headers and its body as bytes."""

    def __init__(self, head: bytes, body: bytes) -> None:
        self.line, *headers = head.decode("latin-1").split("\r\n")
        self.method, self.target = self.line.split(" ")[:2]
        self.headers = dict(line.split(": ", 1) for line in headers if line)
        self.body = body


class HostileConnect:
    """Plays one shape for every call, until a test gives it another one."""

    def __init__(
        self, shape: Shape, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
    ) -> None:
        self.shape = shape
        self._tls = tls
        self.requests: list[Request] = []
        self.connections = 0
        self._listener = socket.create_server((host, 0), backlog=64)
        self._host, self.port = self._listener.getsockname()[:2]
        self.closing = threading.Event()

    @property
    def root(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self._host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.root}/public/v1"

    def count(self, begin: str) -> int:
        """How many calls have a target that begins so."""
        return sum(request.target.startswith(begin) for request in list(self.requests))

    def serve(self) -> None:
        while not self.closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def close(self) -> None:
        self.closing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _converse(self, connection: socket.socket) -> None:
        with suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as received:
                self._answer_all(connection, received)

    def _answer_all(self, connection: socket.socket, received: BinaryIO) -> None:
        while head := b"".join(iter(received.readline, b"\r\n")):
            length = _header(head, b"content-length")
            request = Request(head, received.read(int(length or 0)))
            self.requests.append(request)
            for block in self.shape(request):
                if self.closing.is_set():
                    return
                connection.sendall(block)
            if not getattr(self.shape, "keeps_alive", False):
                return


def _header(head: bytes, name: bytes) -> bytes:
    lines = (line.partition(b":") for line in head.lower().split(b"\r\n"))
    return next((value.strip() for key, _, value in lines if key == name), b"")


@contextmanager
def hostile_connect(
    shape: Shape, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> Iterator[HostileConnect]:
    server = HostileConnect(shape, host, tls)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Return a well-formed answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def always(*blocks: bytes) -> Shape:
    """Return the shape that always answers with these bytes."""
    return lambda _request: blocks


def endless(begin: bytes, block: bytes) -> Shape:
    """Return the shape of an answer that never ends."""

    def play(_request: Request) -> Iterator[bytes]:
        yield begin
        while True:
            yield block

    return play


class Dripping:
    """The shape of an answer that takes so many seconds for each byte."""

    def __init__(self, begin: bytes, rest: bytes, *, seconds: float = 0.05) -> None:
        self._begin, self._rest, self._seconds = begin, rest, seconds
        self._stopped = threading.Event()

    def __call__(self, _request: Request) -> Iterator[bytes]:
        yield self._begin
        for byte in self._rest:
            if self._stopped.wait(self._seconds):
                return
            yield bytes([byte])


def bomb(mebibytes: int, *, unit: bytes = b" ", begin: bytes = b"", wbits: int = GZIP) -> bytes:
    """Return so many MiB of a unit, compressed to a thousandth.

    The same block again and again: with more than one, the checksum at the end is wrong.
    """
    packer = zlib.compressobj(9, wbits=wbits)
    head = packer.compress(begin) + packer.flush(zlib.Z_FULL_FLUSH)
    block = b""
    if mebibytes:
        block = packer.compress(unit * (MEBIBYTE // len(unit))) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * mebibytes + packer.flush()


class Forwarding:
    """The shape of a gateway before the sandbox: a Connect that is well."""

    keeps_alive = True

    def __init__(self, root: str) -> None:
        self._address = urlsplit(root).netloc

    def __call__(self, request: Request) -> Iterator[bytes]:
        connection = http.client.HTTPConnection(self._address, timeout=30)
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in ("host", "accept-encoding", "connection")
        }
        connection.request(request.method, request.target, request.body or None, headers)
        got = connection.getresponse()
        body = got.read()
        connection.close()
        kept = [
            f"{name}: {value}"
            for name, value in got.getheaders()
            if name.lower() not in ("content-length", "transfer-encoding", "connection")
        ]
        yield answer(body, *kept, status=f"{got.status} {got.reason}")

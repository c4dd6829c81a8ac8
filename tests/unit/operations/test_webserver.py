"""The limits of the HTTP servers, with real sockets and short deadlines."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from tornado.netutil import bind_sockets
from tornado.web import RequestHandler, url

from connect_worker.operations.webserver import (
    MAX_BODY_BYTES,
    MAX_CONNECTIONS,
    MAX_HEADER_BYTES,
    Healthcheck,
    LimitedApplication,
    LimitedServer,
    Limits,
    log_no_access,
)

#: How long a test waits for what should come sooner.
PATIENCE = 30.0
FEW = Limits(connections=4, connections_per_client=3)
SHORT = 0.3
FORM = b"POST /form HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n"
PROBE = b"GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n"


class Form(RequestHandler):
    """Takes a body with POST, and answers GET without end or with much."""

    started = 0

    def post(self, _what: str) -> None:
        self.write(f"{len(self.request.body)} bytes")

    async def get(self, what: str) -> None:
        type(self).started += 1
        if what == "slow":
            await asyncio.sleep(PATIENCE)
        self.write(b"x" * 50_000_000)

    def prepare(self) -> None:
        if self.request.path == "/forbidden":
            self.set_status(403)
            self.finish("no")


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> str:
        """The status line and the body of the next answer; "" when the connection is closed."""
        try:
            head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE)
        except (asyncio.IncompleteReadError, ConnectionError):
            return ""
        lines = head.decode().split("\r\n")
        lengths = [int(line.split()[1]) for line in lines if line.startswith("Content-Length")]
        body = await asyncio.wait_for(self.reader.readexactly(sum(lengths)), PATIENCE)
        return f"{lines[0].removeprefix('HTTP/1.1 ')} {body[:40].decode()}"

    async def is_open(self) -> bool:
        """Whether it is still served."""
        try:
            await self.send(PROBE)
        except ConnectionError:
            return False
        return (await self.answer()).startswith("200")

    async def seconds_until_closed(self) -> float:
        began = time.monotonic()
        with suppress(ConnectionError):
            await asyncio.wait_for(self.reader.read(), PATIENCE)
        return time.monotonic() - began


class Site:
    def __init__(self, port: int) -> None:
        self.port = port
        self._clients: list[Client] = []

    async def connect(self, source: str = "127.0.0.1", data: bytes = b"", **options: Any) -> Client:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, local_addr=(source, 0), **options
        )
        client = Client(reader, writer)
        self._clients.append(client)
        if data:
            await client.send(data)
        return client

    async def ask(self, data: bytes) -> str:
        return await (await self.connect(data=data)).answer()

    def close(self) -> None:
        for client in self._clients:
            client.writer.transport.abort()


@asynccontextmanager
async def site(**limits: Any) -> AsyncIterator[Site]:
    application = LimitedApplication(
        [
            url(r"/healthcheck", Healthcheck),
            url(r"/(?:form|forbidden)()", Form),
            url(r"/(slow|much)", Form),
        ],
        log_function=log_no_access,
    )
    server = LimitedServer(application, limits=replace(FEW, **limits))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    found = Site(sockets[0].getsockname()[1])
    try:
        yield found
    finally:
        found.close()
        server.stop()
        await server.close_all_connections()


def in_loop(test: Coroutine[Any, Any, None]) -> None:
    """Run a test in a thread: a browser of another test may have a loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, test).result()


# ---- deadlines


def test_a_connection_that_sends_nothing_is_closed() -> None:
    async def run() -> None:
        async with site(header_seconds=SHORT) as at:
            assert SHORT / 2 < await (await at.connect()).seconds_until_closed() < PATIENCE / 2

    in_loop(run())


@pytest.mark.parametrize(
    ("limit", "beginning"), [("header_seconds", PROBE[:-2]), ("body_seconds", FORM)]
)
def test_what_never_ends_is_closed_however_often_a_byte_comes(limit: str, beginning: bytes) -> None:
    async def run() -> None:
        async with site(**{limit: SHORT}) as at:
            client = await at.connect(data=beginning)
            closed = asyncio.ensure_future(client.seconds_until_closed())
            while not closed.done():
                client.writer.write(b"X")
                await asyncio.sleep(SHORT / 10)
            assert SHORT / 2 < await closed < PATIENCE / 2

    in_loop(run())


def test_a_kept_connection_has_longer_for_its_next_request_than_a_new_one() -> None:
    async def run() -> None:
        async with site(header_seconds=SHORT, idle_seconds=4 * SHORT) as at:
            client = await at.connect()
            assert await client.is_open()
            assert 3 * SHORT < await client.seconds_until_closed() < PATIENCE / 2

    in_loop(run())


def test_a_client_that_does_not_read_its_answer_is_closed() -> None:
    async def run() -> None:
        async with site(answer_seconds=SHORT) as at:
            small = socket.socket()
            small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            small.setblocking(False)
            with small:
                loop = asyncio.get_running_loop()
                await loop.sock_connect(small, ("127.0.0.1", at.port))
                await loop.sock_sendall(small, b"GET /much HTTP/1.1\r\nHost: x\r\n\r\n")
                await asyncio.sleep(3 * SHORT)
                received = 0
                with suppress(ConnectionError):
                    while chunk := await asyncio.wait_for(loop.sock_recv(small, 2**20), PATIENCE):
                        received += len(chunk)
            assert received < 50_000_000

    in_loop(run())


# ---- how many connections


def test_the_longest_waiting_connection_of_a_client_makes_room_for_its_next_one() -> None:
    async def run() -> None:
        async with site() as at:
            first, second, third = [await at.connect() for _ in range(3)]
            assert await first.is_open()
            fourth = await at.connect()
            assert await second.seconds_until_closed() < PATIENCE
            assert [await client.is_open() for client in (first, third, fourth)] == [True] * 3

    in_loop(run())


def test_a_client_with_too_many_connections_takes_none_from_others() -> None:
    async def run() -> None:
        async with site() as at:
            other = await at.connect("127.0.0.2")
            crowd = [await at.connect("127.0.0.3") for _ in range(20)]
            assert await crowd[-1].is_open()
            assert await other.is_open()
            assert not await crowd[0].is_open()

    in_loop(run())


def test_many_clients_have_no_more_than_all_connections_and_the_next_one_is_served() -> None:
    async def run() -> None:
        async with site() as at:
            crowd = [await at.connect(f"127.0.0.{number}") for number in range(2, 12)]
            probe = await at.connect()
            assert await probe.is_open()
            assert [await client.is_open() for client in crowd] == [False] * 7 + [True] * 3

    in_loop(run())


def test_a_request_that_is_being_answered_is_not_closed_for_a_new_connection() -> None:
    async def run() -> None:
        Form.started = 0
        async with site() as at:
            ask = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"
            busy = [await at.connect(data=ask) for _ in range(3)]
            while Form.started < 3:
                await asyncio.sleep(0.01)
            assert not await (await at.connect()).is_open()
            assert await (await at.connect("127.0.0.2")).is_open()
            assert [client.reader.at_eof() for client in busy] == [False] * 3

    in_loop(run())


def test_half_of_the_descriptors_are_left_to_everything_else() -> None:
    limits = Limits.of_process()
    assert 2 <= limits.connections <= MAX_CONNECTIONS
    assert limits.connections_per_client == limits.connections // 2


# ---- bodies


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("POST /form HTTP/1.1\r\nContent-Length: 5", "200 OK 5 bytes"),
        (f"POST /form HTTP/1.1\r\nContent-Length: {MAX_BODY_BYTES + 1}", "413"),
        ("POST /form HTTP/1.1\r\nContent-Length: " + "9" * 5000, "413"),
        ("POST /form HTTP/1.1\r\nTransfer-Encoding: chunked", "411"),
        ("POST /form HTTP/1.1\r\nTransfer-Encoding: gzip", "411"),
        ("POST /form HTTP/1.1\r\nContent-Length: 5, 5", "400"),
        ("POST /form HTTP/1.1\r\nContent-Length: -5", "400"),
        ("GET /healthcheck HTTP/1.1\r\nContent-Length: 5", "413"),
        ("GET /healthcheck HTTP/1.1\r\nContent-Length: 0", "200 OK OK"),
        ("GET /healthcheck HTTP/1.1\r\nTransfer-Encoding: chunked", "411"),
        ("POST /healthcheck HTTP/1.1\r\nContent-Length: 5", "413"),
        ("POST /healthcheck HTTP/1.1\r\nContent-Length: 0", "405"),
        ("POST /nowhere HTTP/1.1\r\nContent-Length: 5", "404"),
        ("POST /forbidden HTTP/1.1\r\nContent-Length: 999999", "403 Forbidden no"),
        ("BREW /form HTTP/1.1\r\nContent-Length: 5", "405"),
        ("PUT /form HTTP/1.1\r\nContent-Length: 5", "413"),
    ],
)
@pytest.mark.parametrize("expect", ["", "Expect: 100-continue\r\n"])
def test_a_body_is_read_only_where_a_handler_takes_it(
    head: str, expected: str, expect: str
) -> None:
    async def run() -> None:
        async with site() as at:
            client = await at.connect(data=f"{head}\r\nHost: x\r\n{expect}\r\n".encode())
            is_read = expected == "200 OK 5 bytes"
            if is_read:
                await client.send(b"12345")
            answers = [await client.answer()]
            if answers[0].startswith("100"):
                answers.append(await client.answer())
            assert answers[-1].startswith(expected)
            if "Length: 0" not in head:
                assert (len(answers) == 2) == (is_read and bool(expect))
            if not is_read and "Length: 0" not in head:
                assert await client.seconds_until_closed() < PATIENCE / 2

    in_loop(run())


def test_a_header_that_is_too_long_closes_the_connection() -> None:
    async def run() -> None:
        async with site() as at:
            long = b"X: " + b"x" * MAX_HEADER_BYTES
            assert await at.ask(b"GET /healthcheck HTTP/1.1\r\n" + long + b"\r\n\r\n") == ""

    in_loop(run())

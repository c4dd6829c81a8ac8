"""What nobody has to sign in for stops no server: idle connections, slow ones, huge bodies."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest

from connect_worker.devtools.embedded_redis import embedded_redis
from connect_worker.observability.logging import MAX_LINES_PER_SECOND
from connect_worker.operations.webserver import MAX_LINE_CHARACTERS, Limits
from tests.support.http_servers import (
    DESCRIPTORS,
    PATIENCE,
    PROBE,
    SERVERS,
    RunningServer,
    many_descriptors,
    running_server,
)

pytestmark = [pytest.mark.faults]

CROWD = DESCRIPTORS + 76
MOST_BUSY = 0.5
#: A line of JSON around what a library says.
LINE_BYTES = 300 + MAX_LINE_CHARACTERS
WATCHED_SECONDS = 1.5
MEGABYTE = b"x" * 2**20
UPLOAD_MEGABYTES = 100
MOST_GROWTH_MEGABYTES = 16
DEADLINES = Limits(connections=1, connections_per_client=1)


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("http")
    with embedded_redis() as redis_url, running_server(request.param, redis_url, folder) as server:
        yield server


def upload(server: RunningServer, head: bytes) -> tuple[int, bytes]:
    """Send a request with a huge body; how many megabytes were taken, and what was answered."""
    answer = b""
    with server.connect() as stream:
        stream.sendall(head)
        sent = 0
        with suppress(ConnectionError):
            while sent < UPLOAD_MEGABYTES:
                stream.sendall(MEGABYTE)
                sent += 1
        with suppress(ConnectionError):
            answer = stream.recv(4096)
    return sent, answer


def test_a_huge_body_is_refused_and_not_read(server: RunningServer) -> None:
    before = server.memory_mb()
    for start in ("GET /healthcheck", "POST /healthcheck", "POST /", "PUT /x"):
        for length in (
            f"Content-Length: {len(MEGABYTE) * UPLOAD_MEGABYTES}\r\n",
            f"Transfer-Encoding: chunked\r\n\r\n{len(MEGABYTE) * UPLOAD_MEGABYTES:x}",
        ):
            head = f"{start} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n"
            sent, answer = upload(server, head.encode())
            assert answer.split()[1] in (b"401", b"404", b"405", b"411", b"413"), (start, answer)
            assert sent < 20, "the rest was not read"
    assert server.memory_mb() - before < MOST_GROWTH_MEGABYTES
    assert server.is_healthy()


def test_a_crowd_of_idle_connections_stops_no_health_check(server: RunningServer) -> None:
    with many_descriptors(2 * DESCRIPTORS), ExitStack() as crowd:
        for _ in range(CROWD):
            crowd.enter_context(server.connect())
        assert server.is_healthy()
        log_size = len(server.log())
        assert server.busy_share(WATCHED_SECONDS) < MOST_BUSY
        assert len(server.log()) - log_size < LINE_BYTES * MAX_LINES_PER_SECOND * WATCHED_SECONDS
        assert server.descriptors() < DESCRIPTORS / 2
        assert server.is_healthy()
    assert "webserver.connection_limit" in server.log()


def test_a_server_without_descriptors_waits_until_it_has_some(server: RunningServer) -> None:
    """Its own limit of connections can't help when something else has taken the descriptors."""
    server.limit_descriptors(1)
    try:
        with server.connect() as probe:
            probe.sendall(PROBE)
            assert server.busy_share(WATCHED_SECONDS) < MOST_BUSY
            server.limit_descriptors(DESCRIPTORS)
            assert probe.recv(100).startswith(b"HTTP/1.1 200 OK")
    finally:
        server.limit_descriptors(DESCRIPTORS)
    # The crowd before it may have used the line of these ten seconds.
    assert server.log().count("webserver.accept_failed") <= 1


def test_a_server_short_of_descriptors_closes_idle_connections(server: RunningServer) -> None:
    with ExitStack() as crowd:
        for _ in range(20):
            crowd.enter_context(server.connect())
        assert server.is_healthy()
        server.limit_descriptors(server.descriptors())
        try:
            for _ in range(20):
                crowd.enter_context(server.connect())
            assert server.is_healthy()
        finally:
            server.limit_descriptors(DESCRIPTORS)


def test_malformed_requests_are_logged_at_a_bounded_rate(server: RunningServer) -> None:
    size, began = len(server.log()), time.monotonic()
    garbage = b"\x00\xff" * 4000 + b"\r\n\r\n"
    for _ in range(300):
        assert server.exchange(garbage).split()[1:2] in ([], [b"400"])
    seconds = time.monotonic() - began
    assert len(server.log()) - size < LINE_BYTES * MAX_LINES_PER_SECOND * (seconds + 2)
    assert server.is_healthy()


@pytest.mark.slow
def test_what_comes_byte_by_byte_is_closed_at_its_deadline(server: RunningServer) -> None:
    """A header and a body that never end, and a kept connection that asks for nothing more."""
    header, body = DEADLINES.header_seconds, DEADLINES.body_seconds
    path = "/login" if b"login" in server.exchange(PROBE.replace(b"/healthcheck", b"/")) else "/x"
    slow = {
        b"GET /healthcheck HTTP/1.1\r\nX: ": header,
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n".encode(): body,
        PROBE.replace(b"Connection: close\r\n", b""): DEADLINES.idle_seconds,
    }
    with ThreadPoolExecutor(len(slow)) as threads:
        lives = threads.map(lambda start: _seconds_alive(server, start), slow)
        for seconds, deadline in zip(lives, slow.values(), strict=True):
            assert seconds < deadline + PATIENCE
    assert server.is_healthy()


def _seconds_alive(server: RunningServer, start: bytes) -> float:
    began = time.monotonic()
    with server.connect() as stream:
        stream.sendall(start)
        stream.settimeout(1.0)
        while time.monotonic() - began < 4 * PATIENCE:
            try:
                if not stream.recv(4096):
                    break
                # What was answered is kept idle.
                start = b""
            except TimeoutError:
                pass
            except ConnectionError:
                break
            if start:
                with suppress(ConnectionError):
                    stream.sendall(b"x")
    return time.monotonic() - began

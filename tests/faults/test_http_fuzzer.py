"""Whatever is sent to a server: no 5xx, no hang, no traceback, and nothing of it left behind.

A failure names the seed and the number of the request; `FUZZ_SEED=… pytest` makes the same again.
"""

from __future__ import annotations

import os
import random
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from connect_worker.devtools.embedded_redis import embedded_redis
from connect_worker.domain.states import RequestKey, RequestKind
from connect_worker.ledger.redis import connect
from tests.support.console_client import ACCOUNT, ConsoleClient
from tests.support.console_data import ConsoleData
from tests.support.http_fuzzer import INJECTED, MARKUP, FuzzedRequest, HttpFuzzer, Session
from tests.support.http_servers import PATIENCE, SERVERS, RunningServer, running_server

pytestmark = [pytest.mark.faults]

#: For how many requests there is a session: some of them sign out.
REQUESTS_PER_SESSION = 50
MOST_GROWTH_MEGABYTES = 64
#: How long a server has for a request that may not be complete.
SHORT_SECONDS = 0.05
#: In `make test`, the same requests each time; in `make test-all`, others each night.
FEW: Final = {"console": 200, "receiver": 150, "exporter": 50}
MANY: Final = {"console": 5000, "receiver": 4000, "exporter": 1000}
#: What has to be among the answers, so that it is not only the doors that are tested.
EXPECTED: Final = {
    "console": (
        *("GET / 200", "GET /requests 200", "GET /request 200", "GET /result 200"),
        *("POST /confirm 200", "POST /execute 303", "POST /pause 303", "POST /resume 303"),
    ),
    "receiver": ("POST /fulfillment_request 202", "POST /fulfillment_request 200"),
    "exporter": ("GET /metrics 200",),
}


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, RunningServer]]:
    with embedded_redis() as redis_url:
        with connect(redis_url) as client:
            fill(ConsoleData(client, ACCOUNT))
        with running_server(request.param, redis_url, tmp_path) as server:
            yield request.param, server


def fill(data: ConsoleData) -> None:
    """Have requests in several states, so that pages and actions have something to show."""
    for number in range(5):
        key = RequestKey(RequestKind.FULFILLMENT, f"PR-0000-0000-0000-00{number}")
        data.park(key, f"error {MARKUP}", at=data.now - 60 * number, product="PRD-000-000-001")
    data.settle(RequestKey(RequestKind.TIER_CONFIG, "TCR-000-000-000"), at=data.now - 9, took=5)


def test_no_request_breaks_a_server(server: tuple[str, RunningServer]) -> None:
    name, running = server
    fuzz(name, running, seed=int(os.environ.get("FUZZ_SEED", "1")), number=FEW[name])


@pytest.mark.long
def test_no_request_of_thousands_breaks_a_server(server: tuple[str, RunningServer]) -> None:
    name, running = server
    seed = int(os.environ.get("FUZZ_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
    answers = fuzz(name, running, seed=seed, number=MANY[name])
    assert [wanted for wanted in EXPECTED[name] if not answers[wanted]] == []


def fuzz(name: str, server: RunningServer, *, seed: int, number: int) -> Counter[str]:
    """Send this many requests; return how many of each method and path got which status."""
    print(f"FUZZ_SEED={seed}")
    sessions = sign_in(server, number // REQUESTS_PER_SESSION) if name == "console" else []
    fuzzer = HttpFuzzer(name, seed, sessions)
    answers: Counter[str] = Counter()
    memory, descriptors = server.memory_mb(), server.descriptors()
    for count in range(number):
        request = fuzzer.request(count)
        about = f"FUZZ_SEED={seed}, request {count}: {_shorten(request.data)}"
        answer = exchange(server, request, about)
        fuzzer.learn(answer)
        status = status_of(answer)
        assert status < 500, f"{about}\n{_shorten(answer)}"
        assert status or not request.is_http, f"no answer: {about}"
        assert f"\r\n{INJECTED}".encode() not in answer.partition(b"\r\n\r\n")[0], about
        assert MARKUP.encode() not in answer, about
        start = re.match(rb"([A-Z]+ /[a-z_]*)[? ]", request.data)
        answers[f"{start[1].decode() if start else 'other'} {status}"] += 1
    assert server.is_healthy()
    found = re.findall(r'^.*(?:"level": "(?:ERROR|CRITICAL)"|Traceback).*$', server.log(), re.M)
    assert not found, f"FUZZ_SEED={seed}: {found[0][:2000]}"
    assert server.memory_mb() - memory < MOST_GROWTH_MEGABYTES
    assert server.descriptors() - descriptors < 20
    return answers


def exchange(server: RunningServer, request: FuzzedRequest, about: str) -> bytes:
    """Send a request; return all of the answer."""
    received = bytearray()
    began = time.monotonic()
    with server.connect() as stream, suppress(ConnectionError):
        # The server may close the connection meanwhile; if it hangs, the next read finds out.
        with suppress(OSError):
            stream.sendall(request.data)
        is_open = True
        stream.settimeout(PATIENCE if request.is_http else SHORT_SECONDS)
        while time.monotonic() - began < PATIENCE:
            try:
                chunk = stream.recv(65536)
            except TimeoutError:
                # Nobody knows whether what is no HTTP was complete: it is, as no more comes.
                if request.is_http or not is_open:
                    break
                is_open = False
                stream.settimeout(PATIENCE)
                with suppress(OSError):
                    stream.shutdown(socket.SHUT_WR)
                continue
            if not chunk:
                return bytes(received)
            received += chunk
        pytest.fail(f"no end after {PATIENCE} s: {about}")
    return bytes(received)


def status_of(answer: bytes) -> int:
    """The status of the last answer; 0 without one."""
    found = re.findall(rb"^HTTP/1\.[01] (\d{3})", answer, re.M)
    return int(found[-1]) if found else 0


def sign_in(server: RunningServer, count: int) -> list[Session]:
    sessions = []
    for number in range(count):
        client = ConsoleClient(f"http://localhost:{server.port}/")
        client.sign_in(f"operator {number}")
        cookies = "; ".join(f"{name}={text}" for name, text in client.session.cookies.items())
        sessions.append(Session(cookies, client._xsrf))
    return sessions


def _shorten(data: bytes) -> str:
    return repr(data if len(data) < 800 else data[:400] + b" ... " + data[-400:])

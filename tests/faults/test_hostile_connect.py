"""A Connect that is broken or bad costs a call its time limit and a worker little memory."""

from __future__ import annotations

import json
import operator
import os
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from connect_worker.api import Client, connections
from connect_worker.api.client import LONG_CALLS
from connect_worker.exceptions import ConnectionFailed, InvalidResponse, ServerFault
from tests.support.certificates import Authority
from tests.support.fault_stack import PURCHASES, REVIEWS, FaultStack, running_fault_stack
from tests.support.hostile_connect import (
    DEFLATE,
    GZIP,
    MEBIBYTE,
    ZLIB,
    Dripping,
    Forwarding,
    HostileConnect,
    Request,
    Shape,
    always,
    answer,
    bomb,
    endless,
    hostile_connect,
)
from tests.support.scripted_server import KEY
from tests.support.stack import assert_each_resolved_once

pytestmark = [pytest.mark.faults]

TIMEOUT_SECONDS = 0.8
LONG_SECONDS = 10.0
#: For what a call does after its time, on a machine that others use too.
GRACE_SECONDS = 2.0
MAX_BYTES = 4 * MEBIBYTE
OK = b"HTTP/1.1 200 OK\r\n"
IN_GZIP = "Content-Encoding: gzip"
IN_DEFLATE = "Content-Encoding: deflate"
WELL = answer(b'{"id": "PR-1"}', "Content-Type: application/json")
TOO_LARGE = r"the answer is larger than 4 MiB \(CONNECT_MAX_ANSWER_MEGABYTES\)"
TOO_SLOW = r"not within 0.8 s, see CONNECT_TIMEOUT_SECONDS"
TOO_MUCH = f"{TOO_LARGE}|{TOO_SLOW}"
UNUSABLE = "no answer from Connect"
EMPTY_OBJECTS = b"[" + b"{}," * (MAX_BYTES // 4) + b"{}]"

#: Each shape with the message that its call ends in.
SHAPES: dict[str, tuple[Shape, str]] = {
    "a byte at a time": (Dripping(OK + b"Content-Length: 999\r\n\r\n", b" " * 999), TOO_SLOW),
    "headers a byte at a time": (Dripping(OK, b"X-Header: value\r\n" * 99), TOO_SLOW),
    "chunks of a byte": (
        Dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 99),
        TOO_SLOW,
    ),
    "nothing": (Dripping(b"", b" ", seconds=30), TOO_SLOW),
    "headers without end": (endless(OK, b"X-Header: value\r\n"), UNUSABLE),
    "100,000 headers": (always(OK, b"X-Header: value\r\n" * 100_000, b"\r\n"), "100 headers"),
    "a header line without end": (endless(OK + b"X-Header: ", b"x" * 1000), "LineTooLong"),
    "a status line without end": (endless(b"HTTP/1.1 200 ", b"x" * 1000), "LineTooLong"),
    "HTTP/0.9": (always(b"Welcome to the maintenance page\n"), "BadStatusLine: 'Welcome to"),
    "a status that is no number": (always(b"HTTP/1.1 OK 200\r\n\r\n"), "BadStatusLine"),
    "100 without end": (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100), TOO_MUCH),
    "103 without end": (endless(b"", b"HTTP/1.1 103 Hint\r\nLink: x\r\n\r\n" * 100), TOO_MUCH),
    "a switch of protocols": (always(b"HTTP/1.1 101 Switching\r\n\r\n"), "answered 101"),
    "chunks that are none": (
        always(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"zz\r\nabc\r\n"),
        UNUSABLE,
    ),
    "a chunk of terabytes": (
        endless(OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffff\r\n", b" " * 65536),
        TOO_LARGE,
    ),
    "a length of terabytes": (always(OK + b"Content-Length: 999999999999\r\n\r\n"), TOO_LARGE),
    "a body without end": (endless(OK + b"\r\n", b" " * 65536), TOO_LARGE),
    "an error without end": (endless(b"HTTP/1.1 400 No\r\n\r\n", b" " * 65536), TOO_LARGE),
    "fewer bytes than announced": (always(OK + b"Content-Length: 99\r\n\r\n{}"), UNUSABLE),
    "a gzip bomb": (always(answer(bomb(100), IN_GZIP)), TOO_LARGE),
    "a deflate bomb": (
        always(answer(bomb(100, wbits=DEFLATE), IN_DEFLATE)),
        TOO_LARGE,
    ),
    "a gzip bomb as an error": (always(answer(bomb(100), IN_GZIP, status="400 No")), TOO_LARGE),
    "a gzip bomb twice": (
        always(answer(bomb(1), "Content-Encoding: gzip, gzip")),
        r"the Content-Encoding 'gzip, gzip', which was not asked for",
    ),
    "an encoding that was not asked for": (
        always(answer(b"x", "Content-Encoding: br")),
        r"the Content-Encoding 'br', which was not asked for",
    ),
    "half a gzip file": (always(answer(bomb(1)[:99], IN_GZIP)), "can't be decompressed"),
    "a gzip file that is none": (always(answer(b"{}", IN_GZIP)), "can't be decompressed"),
    "values that take much more memory than their text": (
        always(answer(EMPTY_OBJECTS)),
        "too many values for CONNECT_MAX_ANSWER_MEGABYTES",
    ),
    "a page of HTML": (
        always(answer(b"<html>Maintenance", "Content-Type: text/html")),
        "no usable JSON: '<html>Maintenance'",
    ),
    "a redirection to itself": (
        always(answer(b"", "Location: /public/v1/requests/PR-1", status="302 Found")),
        "redirected more than 5 times",
    ),
    "a redirection with a bomb": (
        always(answer(bomb(100), IN_GZIP, "Location: /elsewhere", status="302 Found")),
        TOO_LARGE,
    ),
    "a redirection to a file": (
        always(answer(b"", "Location: file:///etc/passwd", status="302 Found")),
        "a link or redirection",
    ),
}


#: The ways of a call: prepared once, by `requests` for a double, and back from a double.
WAYS = {"plain": "", "requests": "requests.Session.request", "double": "requests.get"}


@pytest.fixture(
    params=["plain", *(pytest.param(way, marks=pytest.mark.slow) for way in ("requests", "double"))]
)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the calls go one of the ways."""
    if name := WAYS[request.param]:
        original = operator.attrgetter(name.removeprefix("requests."))(requests)
        monkeypatch.setattr(name, lambda *args, **options: original(*args, **options))


def client_of(server: HostileConnect, **options: Any) -> Client:
    limits = {"timeout_seconds": TIMEOUT_SECONDS, "max_answer_bytes": MAX_BYTES}
    return Client(server.url, KEY, **{**limits, **options})


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("name", SHAPES)
def test_a_hostile_answer_is_one_clear_error_of_its_call(name: str) -> None:
    shape, message = SHAPES[name]
    # Too large is too large at once; the others are repeated as long as there is time.
    seconds = LONG_SECONDS if message == TOO_LARGE else TIMEOUT_SECONDS
    with hostile_connect(shape) as server:
        client = client_of(server, timeout_seconds=seconds)
        began = time.monotonic()
        with pytest.raises((ConnectionFailed, InvalidResponse, ServerFault)) as raised:
            client.get("requests/PR-1")
        assert time.monotonic() - began < seconds + GRACE_SECONDS
        assert re.search(f"{message}|{TOO_SLOW}", str(raised.value))
        assert str(raised.value).startswith("GET requests/PR-1")
        assert len(str(raised.value)) < 500
        server.shape = always(WELL)
        assert client.get("requests/PR-1") == {"id": "PR-1"}


@pytest.mark.parametrize("name", ["a byte at a time", "fewer bytes than announced", "a gzip bomb"])
def test_a_change_with_a_hostile_answer_is_sent_once(name: str) -> None:
    shape, message = SHAPES[name]
    with hostile_connect(shape) as server:
        with pytest.raises((ConnectionFailed, InvalidResponse), match=message):
            client_of(server).post("requests/PR-1/approve", {})
        assert len(server.requests) == 1


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("header", "wbits"), [(IN_GZIP, GZIP), (IN_DEFLATE, ZLIB), (IN_DEFLATE, DEFLATE)]
)
def test_an_answer_is_decompressed(header: str, wbits: int) -> None:
    document = json.dumps({"id": "PR-1", "text": "x" * 200_000}).encode()
    with hostile_connect(always(answer(bomb(0, begin=document, wbits=wbits), header))) as server:
        assert client_of(server).get("requests/PR-1") == json.loads(document)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("charset", ["x-none", "punycode", "idna", "base64", "utf-7", "'"])
def test_an_unknown_charset_makes_no_difference(charset: str) -> None:
    header = f"Content-Type: application/json; charset={charset}"
    document = json.dumps({"id": "é" * 100_000}, ensure_ascii=False).encode()
    with hostile_connect(always(answer(document, header))) as server:
        began = time.monotonic()
        assert client_of(server).get("requests/PR-1") == json.loads(document)
        assert time.monotonic() - began < 1


@pytest.mark.usefixtures("way")
def test_an_informational_answer_is_followed_by_the_final_one() -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
    with hostile_connect(always(hint, hint, WELL)) as server:
        assert client_of(server).get("requests/PR-1") == {"id": "PR-1"}


def test_an_upload_to_one_that_reads_nothing_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/public/v1"
        client = Client(url, KEY, timeout_seconds=0.1)
        began = time.monotonic()
        with pytest.raises(ConnectionFailed, match="not within 1 s"):
            client.upload("x", field="file", filename="x.xlsx", content=b"x" * 64 * MEBIBYTE)
        assert time.monotonic() - began < 1 + GRACE_SECONDS


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's certificate for 127.0.0.1, by an authority that clients trust."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.ca_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue())
    return context


def test_the_limits_hold_over_tls(tls: ssl.SSLContext) -> None:
    with hostile_connect(SHAPES["a byte at a time"][0], tls=tls) as server:
        client = client_of(server)
        with pytest.raises(ConnectionFailed, match=TOO_SLOW):
            client.get("requests/PR-1")
        server.shape = SHAPES["a body without end"][0]
        with pytest.raises(InvalidResponse, match=TOO_LARGE):
            client.get("requests/PR-1")
        server.shape = always(WELL)
        assert client.get("requests/PR-1") == {"id": "PR-1"}


def test_the_certificate_of_a_link_is_checked_for_its_name_and_not_for_its_address(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda _host, *rest, **named: resolve("127.0.0.1", *rest, **named)
    )
    monkeypatch.setattr(connections, "is_public", lambda _address: True)
    client = Client("https://connect.invalid/public/v1", KEY)
    with hostile_connect(always(WELL), tls=tls) as server:
        assert client.download(f"{server.root}/x") == b'{"id": "PR-1"}'
        with pytest.raises(ConnectionFailed, match="SSLError"):
            client.download(f"https://files.test:{server.port}/x")


# ---- memory

#: The answer's blocks and all of it, twice the limit, and some.
MOST_MEGABYTES = 160

MEASURE = """
import resource, sys
from connect_worker.api import Client
from connect_worker.exceptions import Message

client = Client(sys.argv[1], "ApiKey SU-1:key")
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
try:
    client.get("well")
    before = peak()
    client.get(sys.argv[2])
except Message as error:
    print(peak() - before, error)
"""


@pytest.mark.parametrize(
    ("unit", "mebibytes", "status", "message"),
    [
        (b" ", 600, "200 OK", "larger than 64 MiB"),
        pytest.param(b" ", 600, "400 No", "larger than 64 MiB", marks=pytest.mark.slow),
        (b"[],", 60, "200 OK", "too many values"),
    ],
)
def test_a_bomb_costs_a_process_little_memory(
    unit: bytes, mebibytes: int, status: str, message: str
) -> None:
    """At the default limit of 64 MiB: an answer of 0.6 MB took 1.3 GB."""
    body = bomb(mebibytes, unit=unit, wbits=DEFLATE)
    assert len(body) < MEBIBYTE
    hostile = answer(body, IN_DEFLATE, status=status)

    def play(request: Request) -> list[bytes]:
        return [WELL if request.target.endswith("/well") else hostile]

    with hostile_connect(play) as server:
        command = [sys.executable, "-c", MEASURE, server.url, "requests/PR-1"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    megabytes, _, error = done.stdout.partition(" ")
    assert message in error
    assert float(megabytes) < MOST_MEGABYTES


# ---- lists


def page(rows: list[dict[str, Any]], total: int) -> bytes:
    body = json.dumps(rows).encode()
    return answer(body, f"Content-Range: items 0-{len(rows)}/{total}")


def offset_of(request: Request) -> int:
    found = re.search(r"offset=(\d+)", request.target)
    return int(found[1]) if found else 0


MANY = 10**12 - 1


def test_a_false_count_ends_the_list_after_some_pages() -> None:
    with hostile_connect(always(page([{"id": "PR-1"}], MANY))) as server:
        assert list(client_of(server).get_all("requests")) == [{"id": "PR-1"}]
        assert len(server.requests) < 20


def test_the_rows_before_a_false_count_are_read() -> None:
    rows = [{"id": f"PR-{n}"} for n in range(25)]

    def play(request: Request) -> list[bytes]:
        offset = offset_of(request)
        return [page(rows[offset : offset + 10], MANY)]

    with hostile_connect(play) as server:
        found = list(client_of(server, page_size=10).get_all("requests"))
        assert sorted(map(str, found)) == sorted(map(str, rows))
        assert len(server.requests) < 20


@pytest.mark.parametrize("counted", [True, False])
def test_a_list_of_ever_new_rows_ends_at_the_limit(counted: bool) -> None:
    numbers = iter(range(10**9))

    def play(_request: Request) -> list[bytes]:
        body = json.dumps([{"id": f"PR-{next(numbers)}"} for _ in range(50)]).encode()
        return [answer(body, *(["Content-Range: items 0-49/999999999"] if counted else []))]

    with hostile_connect(play) as server:
        rows = client_of(server, page_size=50, max_list_rows=400).get_all("requests")
        with pytest.raises(InvalidResponse, match=r"more than 400 rows \(CONNECT_MAX_LIST_ROWS\)"):
            for _ in rows:
                pass


# ---- where links and redirections lead to


@pytest.fixture
def inside() -> Iterator[HostileConnect]:
    """A service of the worker's own network, which trusts each caller."""
    with hostile_connect(always(answer(b"secret")), host="127.0.0.2") as server:
        yield server


PLACES = [
    "http://127.0.0.2:{port}/",
    "http://[::ffff:127.0.0.2]:{port}/",
    "http://[::ffff:7f00:2]:{port}/",
    "http://2130706434:{port}/",
    "http://0x7f.2:{port}/",
    "http://0177.0.0.2:{port}/",
    "http://x@127.0.0.2:{port}/",
    "http://here.test:{port}/",
    "http://127.0.0.1:{port}/",
    "http://localhost:{port}/",
    "http://0.0.0.0:{port}/",
    "http://[::1]:{port}/",
    "http://10.0.0.1:{port}/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fe80::1%25lo]:{port}/",
    "http://[64:ff9b::7f00:2]:{port}/",
    "http://[2002:7f00:2::]:{port}/",
    "http://224.0.0.1:{port}/",
    "http://100.64.0.1:{port}/",
    "http://192.0.0.192/opc/v2/instance/",
    "http://168.63.129.16/machine/",
    "http://[64:ff9b::168.63.129.16]/machine/",
]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of the worker's network."""
    resolve = socket.getaddrinfo

    def here(host: Any, *args: Any, **kwargs: Any) -> Any:
        return resolve("127.0.0.2" if host == "here.test" else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", here)


@pytest.mark.parametrize(
    "place",
    [
        "",
        "http://",
        "http://%",
        "http://a..test/",
        f"http://{'a' * 64}.test/",
        "http://here.test:99999/",
        "http://[:::::]/",
        "http://é:x@é.invalid/",
        "gopher://here.test/",
        "file:///etc/passwd",
        "//",
        "http://here.test\x01/",
    ],
)
def test_an_address_that_is_none_is_one_clear_error(place: str) -> None:
    moved = always(
        b"HTTP/1.1 302 Found\r\nLocation: " + place.encode() + b"\r\nContent-Length: 0\r\n\r\n"
    )
    with hostile_connect(moved) as server:
        client = client_of(server)
        for call in (lambda: client.get("requests/PR-1"), lambda: client.download(place)):
            with pytest.raises((InvalidResponse, ConnectionFailed)) as raised:
                call()
            assert len(str(raised.value)) < 500


def test_a_parser_that_sees_another_host_gets_no_key(inside: HostileConnect) -> None:
    """`urllib.parse` sees the host behind the @, `requests` calls the one before it."""
    with hostile_connect(always(WELL)) as server:
        confusing = f"http://127.0.0.2:{inside.port}\\@127.0.0.1:{server.port}/public/v1/x"
        server.shape = always(answer(b"", f"Location: {confusing}", status="302 Found"))
        with pytest.raises(InvalidResponse):
            client_of(server).get("requests/PR-1")
    assert inside.connections == 0


@pytest.mark.usefixtures("names", "way")
@pytest.mark.parametrize("place", PLACES)
def test_no_link_and_no_redirection_leads_inside(inside: HostileConnect, place: str) -> None:
    url = place.format(port=inside.port)
    moved = always(answer(b"", f"Location: {url}", status="302 Found"))
    with hostile_connect(moved) as server:
        client = client_of(server)
        for call in (
            lambda: client.get("requests/PR-1"),
            lambda: client.download(url),
            lambda: client.download(f"{server.root}/template.xlsx"),
        ):
            with pytest.raises(InvalidResponse, match="CONNECT_ALLOW_PRIVATE_HOSTS"):
                call()
    assert inside.connections == 0


def test_private_hosts_can_be_allowed(inside: HostileConnect) -> None:
    moved = always(answer(b"", f"Location: {inside.root}/x", status="302 Found"))
    with hostile_connect(moved) as server:
        client = client_of(server, allow_private_hosts=True)
        assert client.download(f"{inside.root}/template.xlsx") == b"secret"
        assert client.download(f"{server.root}/template.xlsx") == b"secret"
    assert not any("Authorization" in request.headers for request in inside.requests)


def test_a_name_is_resolved_once_and_that_address_is_called(
    inside: HostileConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that first leads to a public address, and to one inside when it is looked up again."""
    resolve, lookups = socket.getaddrinfo, ["127.0.0.3"]

    def rebind(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "rebind.test":
            host = lookups.pop() if lookups else "127.0.0.2"
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", rebind)
    monkeypatch.setattr(connections, "is_public", lambda address: address == "127.0.0.3")
    with hostile_connect(always(WELL)) as server:
        outside = socket.create_server(("127.0.0.3", inside.port))
        with outside, pytest.raises(ConnectionFailed, match="see CONNECT_TIMEOUT_SECONDS"):
            client_of(server, timeout_seconds=0.1).download(f"http://rebind.test:{inside.port}/x")
    assert inside.connections == 0


def test_of_several_addresses_the_first_that_answers_is_called(
    inside: HostileConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As without the check: many networks can't reach the address of IPv6, which comes first."""
    resolve = socket.getaddrinfo

    def several(host: Any, *args: Any, **kwargs: Any) -> Any:
        hosts = ["127.0.0.3", "127.0.0.2"] if host == "files.test" else [host]
        return [found for host in hosts for found in resolve(host, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", several)
    monkeypatch.setattr(connections, "is_public", lambda _address: True)
    client = Client("http://connect.invalid/public/v1", KEY)
    assert client.download(f"http://files.test:{inside.port}/x") == b"secret"
    assert inside.requests[0].headers["Host"] == f"files.test:{inside.port}"


def test_an_https_connect_gives_no_plain_links() -> None:
    client = Client("https://connect.invalid/public/v1", KEY)
    with pytest.raises(InvalidResponse, match="only https:// is followed"):
        client.download("http://93.184.215.14/template.xlsx")


def test_over_a_proxy_an_address_inside_is_refused_and_a_name_is_the_proxy_s(
    inside: HostileConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", inside.root)
    client = Client("http://connect.invalid/public/v1", KEY, timeout_seconds=TIMEOUT_SECONDS)
    with pytest.raises(InvalidResponse, match="CONNECT_ALLOW_PRIVATE_HOSTS"):
        client.download("http://10.0.0.1/x")
    assert inside.connections == 0
    assert client.download("http://files.invalid/x") == b"secret"


# ---- a worker and a beat

LIST = re.compile(r"GET /public/v1/(requests|usage/files)\?")
ORDERS = re.compile(r"GET /public/v1/requests\?")
REQUESTS, FILES = 20, 3
WORKER_TIMEOUT_SECONDS = 1
TOO_LONG = f"not within {WORKER_TIMEOUT_SECONDS * LONG_CALLS} s"
#: Of a process: the worker itself, and as many MiB as two answers may have.
MOST_WORKER_MEGABYTES = 300


def hostile_where(pattern: re.Pattern[str], hostile: Shape, well: Shape) -> Shape:
    """Return the shape that is hostile to some calls, and answers the others well."""
    return lambda request: (hostile if pattern.match(request.line) else well)(request)


@pytest.mark.slow
def test_a_worker_outlives_a_hostile_connect_and_then_decides_each_request_once(
    tmp_path: Path,
) -> None:
    settings = {
        "CONNECT_PROCESSORS": f"{PURCHASES},{REVIEWS}",
        "CONNECT_TIMEOUT_SECONDS": str(WORKER_TIMEOUT_SECONDS),
        "CONNECT_LOG_FORMAT": "json",
    }
    with running_fault_stack(tmp_path, **settings) as stack:
        stack.seed("--usage-files", str(FILES), fulfillment=REQUESTS)
        well = Forwarding(stack.sandbox_url)
        lie = always(page([{"id": "PR-1", "status": "approved"}], MANY))
        with hostile_connect(hostile_where(ORDERS, lie, well)) as server:
            stack.environment["CONNECT_API_URL"] = server.url
            stack.work("one", concurrency=2)
            stack.until_soon(lambda: polls(stack, "list.count_rejected") >= 2, "the count is false")
            stack.until_soon(lambda: files_waiting(stack) == 0, "the other kind goes on")
            processes = memory(stack)

            for hostile, error in (
                (always(answer(bomb(600), IN_GZIP)), "CONNECT_MAX_ANSWER_MEGABYTES"),
                (
                    Dripping(OK + b"Content-Length: 9999\r\n\r\n", b" " * 9999),
                    f"not within {WORKER_TIMEOUT_SECONDS * LONG_CALLS} s",
                ),
            ):
                server.shape = hostile_where(LIST, hostile, well)
                stack.until_soon(lambda said=error: polls(stack, said) >= 2, error)

            server.shape = well
            began = time.monotonic()
            stack.until_done()
            assert time.monotonic() - began < 40
            assert_each_resolved_once(stack.report())
            assert memory(stack).keys() == processes.keys(), "no process has ended"
            assert max(memory(stack).values()) < MOST_WORKER_MEGABYTES


def polls(stack: FaultStack, text: str) -> int:
    """How many lines of the worker say so."""
    return sum(text in line for line in stack.whole_log("one").splitlines())


def files_waiting(stack: FaultStack) -> int:
    return int(stack.report(summary=True)["totals"]["usage-file"]["status"].get("ready", 0))


def memory(stack: FaultStack) -> dict[int, float]:
    """The most megabytes that each process of the worker has had."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):
            process = int(status.parent.name)
            if os.getpgid(process) == stack.processes["one"].pid:
                peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
                found[process] = int(peak[1]) / 1024 if peak else 0.0
    return found

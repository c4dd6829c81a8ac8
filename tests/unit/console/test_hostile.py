"""What strangers send costs little, and locks nobody out; over real sockets."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import redis
import requests

from connect_worker._web_access import MAX_WRONG, MAX_WRONG_PER_ADDRESS
from connect_worker.console.pages import MAX_SEARCHES, MAX_WAITING_SEARCHES
from connect_worker.domain.states import RequestKey, RequestKind
from tests.support.console_client import (
    PASSWORD,
    ConsoleClient,
    Served,
    SourceAddress,
    serving,
)
from tests.support.console_data import ConsoleData

from .test_acting import PR, audited, park

LONG = "SU-" * 80_000
#: Longer than a header of the console may be, with its name.
LONG_IN_URL = "SU-" * 15_000
#: Of one answer; a machine under load included.
SECONDS = 5.0


def visitor_at(served: Served, address: str) -> ConsoleClient:
    visitor = served.visitor()
    visitor.session.mount("http://", SourceAddress(address))
    return visitor


@contextmanager
def soon() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SECONDS


def test_a_huge_name_stops_nobody(served: Served) -> None:
    visitor = served.visitor()
    visitor.get("/login")
    with soon():
        answer = visitor.post("/login", {"who": LONG, "password": "x", "next": "/"})
    assert answer.status_code == 400
    with soon():
        answer = visitor.post("/login", {"who": "SU-" * 1300, "password": PASSWORD})
    assert answer.status_code == 200
    assert audited(served, "console.signed_in")[-1]["by"] == "SU-" * 13 + "S"


def test_a_huge_password_is_a_wrong_one_at_most(served: Served) -> None:
    visitor = visitor_at(served, "127.0.3.1")
    visitor.get("/login")
    for password in (LONG, PASSWORD + "x" * 4000, "\0" * 60_000):
        with soon():
            answer = visitor.post("/login", {"who": "anna", "password": password})
        assert answer.status_code in (400, 403)


READ = {
    "/": ("account", "part"),
    "/request": ("id", "account", "part"),
    "/requests": ("state", "kind", "product", "id", "error", "order", "page", "account", "part"),
    "/result": ("token",),
    "/login": ("next",),
    "/nowhere": ("account",),
}
CHANGE = {
    "/confirm": ("action", "back", "scope", "request", "state", "kind", "product", "id", "error"),
    "/execute": ("token", "account"),
    "/pause": ("name", "reason", "account"),
    "/resume": ("name", "account"),
    "/login": ("who", "password", "next", "_xsrf"),
    "/logout": ("next",),
}
NEEDED = {"/confirm": {"action": "rerun", "scope": "all"}, "/pause": {"name": "usage"}}


@pytest.mark.parametrize(
    "text",
    [
        *(LONG_IN_URL, "é\n" * 5000),
        *(pytest.param(sign * 15_000, marks=pytest.mark.slow) for sign in ("[", "\0")),
    ],
)
def test_a_huge_parameter_of_a_page_is_refused_at_once(
    operator: ConsoleClient, served: Served, scene: ConsoleData, text: str
) -> None:
    park(scene, PR)
    for path, names in READ.items():
        for name in names:
            with soon():
                answer = operator.get(f"{path}?{name}={quote(text)}")
            assert answer.status_code < 500, (path, name)
            assert len(answer.text) < 60_000, (path, name)
    assert "Traceback" not in served.log()


@pytest.mark.parametrize("text", [LONG, "<" * 4000, "\ud7ff" * 1300])
def test_a_huge_field_of_a_form_is_refused_at_once(
    served: Served, scene: ConsoleData, text: str
) -> None:
    park(scene, PR)
    operator = visitor_at(served, f"127.0.3.{ord(text[0]) % 200 + 2}")
    operator.sign_in()
    operator.page("/requests")
    for path, names in CHANGE.items():
        for name in names:
            with soon():
                answer = operator.post(path, {**NEEDED.get(path, {}), name: text})
            assert answer.status_code < 500, (path, name)
            assert len(answer.text) < 60_000, (path, name)
    assert "Traceback" not in served.log()


def test_an_id_or_a_filter_that_is_none_does_not_reach_the_ledger(
    visitor: ConsoleClient, client: redis.Redis
) -> None:
    visitor.page("/requests")
    before = client.info("commandstats")
    for path in ("/request?id=", "/requests?id=", "/requests?error=", "/requests?product="):
        answer = visitor.get(path + "P" * 201)
        assert answer.status_code == 400
        assert "200 characters" in answer.text
    after = client.info("commandstats")
    assert after["cmdstat_evalsha"]["calls"] == before["cmdstat_evalsha"]["calls"]
    assert visitor.get("/request?id=" + "P" * 200).status_code == 404


def test_an_id_of_no_listing_walks_through_nothing(
    visitor: ConsoleClient, client: redis.Redis
) -> None:
    scans = client.info("commandstats").get("cmdstat_scan", {"calls": 0})["calls"]
    assert visitor.get("/request?id=PR-0000-0000-0000").status_code == 404
    assert client.info("commandstats").get("cmdstat_scan", {"calls": 0})["calls"] == scans


@pytest.mark.parametrize(
    "fields",
    [
        [("a", "")] * 50_000,
        [("request", "fulfillment:PR-1")] * 8000,
        [("request", "usage:" + "x" * 300)],
        [("request", "x")],
    ],
    ids=["fields", "requests", "a long id", "no kind"],
)
def test_many_fields_are_refused_at_once(
    operator: ConsoleClient, fields: list[tuple[str, str]]
) -> None:
    operator.page("/requests")
    with soon():
        answer = operator.post("/confirm", [("action", "rerun"), *fields])
    assert answer.status_code in (200, 400)


def test_many_parts_are_refused_at_once(operator: ConsoleClient) -> None:
    operator.page("/")
    part = '--b\r\nContent-Disposition: form-data; name="a"; x="\\"\\""\r\n\r\n\r\n'
    for body in (part * 4000 + "--b--", "--b" * 80_000, "--b\r\n" + "a: b;" * 50_000):
        with soon():
            answer = operator.session.post(
                f"{operator.url}confirm",
                data=body[:250_000],
                headers={"Content-Type": "multipart/form-data; boundary=b"},
                timeout=30,
            )
        assert answer.status_code in (400, 403)


def raw_answer(served: Served, head: str) -> bytes:
    address = urlsplit(served.url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as stream:
        stream.sendall(f"{head}\r\nHost: {address.netloc}\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: stream.recv(65536), b""))


@pytest.mark.parametrize(
    "head",
    [
        "GET / HTTP/1.1\r\nCookie: " + "a=b; " * 12_000,
        "GET / HTTP/1.1\r\nCookie: " + '"' * 60_000,
        "GET / HTTP/1.1\r\nCookie: a=" + '"' + "\\" * 60_000 + '"',
        "GET / HTTP/1.1\r\nX-Forwarded-For: " + "127.0.0.1," * 6000,
        "GET / HTTP/1.1\r\nReferer: " + "http://" * 8000,
        "GET / HTTP/1.1\r\nOrigin: " + "[" * 60_000,
        "GET / HTTP/1.1\r\n" + "\r\n".join(f"a: {number}" for number in range(7000)),
        "GET /" + "/" * 60_000 + " HTTP/1.1",
        "GET /static/" + "../" * 20_000 + "x HTTP/1.1",
        "GET /static/%00 HTTP/1.1",
        "GET /?" + "a=b&" * 15_000 + " HTTP/1.1",
    ],
    ids=range(11),
)
def test_huge_headers_cost_little(read_only: Served, head: str) -> None:
    with soon():
        answer = raw_answer(read_only, head)
    assert not answer.startswith(b"HTTP/1.1 5")
    assert "Traceback" not in read_only.log()


# ---- searches


def test_searches_leave_threads_to_others_and_say_when_they_are_too_many(
    read_only: Served, scene: ConsoleData, client: redis.Redis
) -> None:
    park(scene, PR)
    path = "/requests?state=all&error=" + "x" * 20
    allowed, more = MAX_SEARCHES + MAX_WAITING_SEARCHES, 12

    def search(_: int) -> requests.Response:
        return requests.get(f"{read_only.url}{path[1:]}", timeout=30)

    with ThreadPoolExecutor(allowed + more) as threads:
        # The ledger answers nobody for a moment, so that the searches meet.
        client.client_pause(1500)
        answers = list(threads.map(search, range(allowed + more)))
    refused = [answer for answer in answers if answer.status_code == 503]
    assert len(refused) == more
    assert all("Too many searches are running" in answer.text for answer in refused)
    assert all(answer.headers["Retry-After"] == "5" for answer in refused)
    assert [answer.status_code for answer in answers].count(200) == allowed
    assert search(0).status_code == 200


def test_who_goes_away_leaves_no_search_behind(
    read_only: Served, scene: ConsoleData, client: redis.Redis
) -> None:
    address = urlsplit(read_only.url)
    client.client_pause(1000)
    for _ in range(5 * (MAX_SEARCHES + MAX_WAITING_SEARCHES)):
        with socket.create_connection((address.hostname, address.port), timeout=30) as stream:
            stream.sendall(
                f"GET /requests?error=x HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode()
            )
    with soon():
        while read_only.visitor().get("/requests?error=x").status_code != 200:
            time.sleep(0.05)
    assert "Traceback" not in read_only.log()


# ---- passwords


def test_wrong_passwords_of_many_addresses_lock_nobody_out(redis_url: str, tmp_path: Path) -> None:
    with serving(redis_url, tmp_path, CONNECT_CONSOLE_PASSWORD=PASSWORD) as served:
        working, known = served.operator(), visitor_at(served, "127.0.0.99")
        known.sign_in()
        strangers = [visitor_at(served, f"127.0.1.{number}") for number in range(1, 13)]
        tried = [
            stranger.sign_in(password="wrong").status_code
            for _ in range(MAX_WRONG_PER_ADDRESS)
            for stranger in strangers
        ]
        assert tried.count(403) == MAX_WRONG
        assert tried.count(429) == len(tried) - MAX_WRONG
        # A session goes on, who was here before signs in, and a stranger has one try.
        assert working.get("/").status_code == 200
        assert "/login" not in known.sign_in().url
        assert served.operator().page("/")
        stranger = visitor_at(served, "127.0.2.1")
        assert stranger.sign_in(password="wrong").status_code == 403
        assert stranger.sign_in().status_code == 429
        assert "/login" not in visitor_at(served, "127.0.2.2").sign_in().url
        # And the log does not grow with each of them.
        for _ in range(100):
            stranger.post("/login", {"who": "x", "password": "x"})
        refused = audited(served, "console.sign_in_refused")
        assert len(refused) < 10 * (SECONDS + 20)


@pytest.mark.slow
def test_behind_a_proxy_each_visitor_has_an_address(redis_url: str, tmp_path: Path) -> None:
    variables = {
        "CONNECT_CONSOLE_PASSWORD": PASSWORD,
        "CONNECT_TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8",
    }
    with serving(redis_url, tmp_path, **variables) as served:
        bad, good = served.visitor(), served.visitor()
        bad.session.headers["X-Forwarded-For"] = "198.51.100.1, 203.0.113.9, 10.0.0.7"
        good.session.headers["X-Forwarded-For"] = "198.51.100.1"
        for _ in range(MAX_WRONG_PER_ADDRESS):
            assert bad.sign_in(password="wrong").status_code == 403
        assert bad.sign_in().status_code == 429
        assert "/login" not in good.sign_in().url
        assert audited(served, "console.signed_in")[-1]["address"] == "198.51.100.1"
        assert audited(served, "console.sign_in_refused")[-1]["address"] == "203.0.113.9"
        # Who is no proxy is not believed.
        liar = visitor_at(served, "127.0.0.5")
        liar.session.headers["X-Forwarded-For"] = "198.51.100.1"
        liar.sign_in(password="wrong")
        assert audited(served, "console.sign_in_refused")[-1]["address"] == "127.0.0.5"


# ---- sessions

#: The console with an hour of six seconds.
HURRIED = """
import sys
from connect_worker.console import security
security.IDLE_SECONDS = 6.0
from connect_worker.cli import main
sys.argv = ["connect-worker", "console", "--port", "0"]
main()
"""


@pytest.mark.slow
def test_a_session_that_only_its_page_keeps_alive_ends(redis_url: str, tmp_path: Path) -> None:
    variables = {"CONNECT_CONSOLE_PASSWORD": PASSWORD}
    with serving(redis_url, tmp_path, command=("-c", HURRIED), **variables) as served:
        watching, working = served.operator(), served.operator()
        began = time.monotonic()
        while time.monotonic() - began < 7.0:
            assert "/login" not in working.get("/").url
            if time.monotonic() - began < 4.0:
                assert watching.get("/?part=live").status_code == 200
            time.sleep(0.3)
        assert watching.get("/?part=live").status_code == 401
        assert "/login" in watching.get("/").url


def test_behind_https_cookies_belong_to_the_host_and_browsers_stay_with_https(
    redis_url: str, tmp_path: Path
) -> None:
    url = "https://console.example.com"
    variables = {"CONNECT_CONSOLE_PASSWORD": PASSWORD, "CONNECT_CONSOLE_URL": url}
    with serving(redis_url, tmp_path, **variables) as served:
        proxied = {"Host": "console.example.com", "Origin": url}

        def call(method: str, path: str, **options: object) -> requests.Response:
            return requests.request(
                method,
                f"{served.url}{path}",
                headers=proxied,
                allow_redirects=False,
                timeout=30,
                **options,  # type: ignore[arg-type]  # requests' own
            )

        for path in ("login", "", "nowhere", "healthcheck", "static/console.css"):
            answer = call("GET", path)
            assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        first = call("GET", "login")
        (token,) = re.findall(r'name="_xsrf" value="([^"]+)"', first.text)
        form = {"_xsrf": token, "who": "anna", "password": PASSWORD}
        cookies = dict(first.cookies)
        answer = call("POST", "login", data=form, cookies=cookies)
        assert answer.status_code == 303
        cookies |= dict(answer.cookies)
        assert len(cookies) == 2
        for text in (first.headers["Set-Cookie"], answer.headers["Set-Cookie"]):
            assert text.startswith("__Host-connect-console-")
            parts = {part.strip().lower() for part in text.split(";")}
            assert {"secure", "httponly", "samesite=strict", "path=/"} <= parts
            assert not any(part.startswith("domain") for part in parts)
        assert "anna" in call("GET", "", cookies=cookies).text
        ended = call("POST", "logout", data={"_xsrf": token}, cookies=cookies)
        assert ended.headers["Set-Cookie"].startswith("__Host-connect-console-")
        assert "secure" in ended.headers["Set-Cookie"].lower()
        for origin in ("http://console.example.com", "https://console.example.com:8443"):
            proxied["Origin"] = origin
            assert call("POST", "login", data=form, cookies=cookies).status_code == 403
        del proxied["Origin"]
        proxied["Referer"] = "https://elsewhere.example/login"
        assert call("POST", "login", data=form, cookies=cookies).status_code == 403
        proxied["Referer"] = f"{url}/login"
        assert call("POST", "login", data=form, cookies=cookies).status_code == 303


def test_plain_http_has_plain_cookies(served: Served) -> None:
    headers = served.visitor().sign_in().history[0].headers
    assert "__Host-" not in headers["Set-Cookie"]
    assert "Strict-Transport-Security" not in headers


def test_another_site_loads_nothing_but_may_link_here(
    visitor: ConsoleClient, scene: ConsoleData
) -> None:
    key = RequestKey(RequestKind.FULFILLMENT, PR.id)
    for dest, status in (("image", 403), ("iframe", 403), ("document", 200)):
        for site in ("cross-site", "same-site"):
            headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Dest": dest}
            for path in ("/", "/requests?error=x"):
                assert visitor.get(path, headers=headers).status_code == status, key

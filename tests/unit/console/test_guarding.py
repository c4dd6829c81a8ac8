"""Who is let in, and on whose behalf anything is changed."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from connect_worker._web_access import MAX_WRONG_PER_ADDRESS
from connect_worker.cli.context import Exit
from connect_worker.domain.states import State
from tests.support.console_client import PASSWORD, ROOT, ConsoleClient, Served, environment, serving
from tests.support.console_data import ConsoleData

from .test_acting import PR, audited, park, state

POLICY = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
]


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/requests", "/request?id=0", "/nowhere", "/requests?state=x"),
        *("/static/console.js", "/static/x", "/healthcheck"),
    ],
)
def test_every_answer_tells_the_browser_to_be_careful(visitor: ConsoleClient, path: str) -> None:
    headers = visitor.get(path).headers
    assert set(POLICY) <= set(headers["Content-Security-Policy"].split("; "))
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert "Tornado" not in headers["Server"]
    assert "Strict-Transport-Security" not in headers
    if not path.startswith(("/static", "/healthcheck")):
        assert headers["Cache-Control"] == "no-store"


def test_no_page_has_a_script_or_style_of_its_own(
    operator: ConsoleClient, scene: ConsoleData
) -> None:
    park(scene, PR)
    for path in ("/", "/requests", f"/request?id={PR.id}", "/nowhere"):
        page = operator.get(path).text
        scripts = re.findall(r"<script[^>]*>([^<]*)</script>", page)
        assert scripts == [""], path
        assert not re.search(r"\s(on\w+|style)\s*=", page), path
        assert set(re.findall(r'(?:src|href)="(https?:[^"]+)"', page)) == set()


def test_without_a_password_nothing_is_changed(visitor: ConsoleClient, scene: ConsoleData) -> None:
    park(scene, PR)
    for path in ("/", "/requests", f"/request?id={PR.id}"):
        assert "<button name=" not in visitor.page(path)
    for path in ("/confirm", "/execute", "/login", "/logout", "/pause", "/resume"):
        fields = {"action": "rerun", "request": str(PR), "password": "", "name": "all"}
        answer = visitor.post(path, fields)
        assert answer.status_code == 403
        assert "read-only" in answer.text
    assert state(scene) is State.PARKED
    assert scene.ledger.pauses() == {}


def test_with_a_password_nobody_looks_without_it(served: Served, scene: ConsoleData) -> None:
    park(scene, PR)
    stranger = served.visitor()
    for path in ("/", "/requests", f"/request?id={PR.id}", "/result?token=x"):
        answer = stranger.get(path)
        assert "/login?next=" in answer.url
        assert PR.id not in answer.text.replace(f"?id={PR.id}", "")
        assert stranger.get(f"{path}{'&' if '?' in path else '?'}part=live").status_code == 401
    assert stranger.post("/confirm", {"action": "rerun", "request": str(PR)}).status_code == 401
    assert stranger.post("/pause", {"name": "all"}).status_code == 401
    assert scene.ledger.pauses() == {}
    assert state(scene) is State.PARKED


def test_the_cookie_is_for_the_browser_alone(served: Served) -> None:
    visitor = served.visitor()
    answer = visitor.sign_in()
    cookies = answer.history[0].headers["Set-Cookie"].lower()
    assert answer.history[0].status_code == 303
    assert "httponly" in cookies
    assert "samesite=strict" in cookies
    assert "anna" in answer.text


def test_a_session_that_was_ended_is_ended_for_its_cookie(
    operator: ConsoleClient, served: Served
) -> None:
    cookies = operator.session.cookies.copy()
    operator.page("/")
    operator.post("/logout", {})
    thief = served.visitor()
    thief.session.cookies.update(cookies)
    assert "/login" in thief.get("/").url


def test_a_cookie_that_somebody_made_is_none(served: Served) -> None:
    thief = served.visitor()
    for text in ("2|1:0|10:1|4:name|4:YQ==|" + "0" * 64, "x", ""):
        thief.session.cookies.clear()
        port = served.url.rstrip("/").rpartition(":")[2]
        thief.session.cookies.set(f"connect-console-{port}", text)
        assert "/login" in thief.get("/").url


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://OWN"},
        {"Referer": "https://elsewhere.example/requests"},
        {"Referer": "https://OWN/requests"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_another_site_changes_nothing(
    operator: ConsoleClient, scene: ConsoleData, headers: dict[str, str]
) -> None:
    park(scene, PR)
    operator.page("/requests")
    fields = {"action": "rerun", "request": str(PR)}
    host = urlsplit(operator.url).netloc
    sent = {name: text.replace("OWN", host) for name, text in headers.items()}
    for path in ("/confirm", "/pause"):
        answer = operator.post(path, {**fields, "name": "all"}, headers=sent)
        assert answer.status_code == 403
        assert "This request came from another site" in answer.text
    assert scene.ledger.pauses() == {}
    own = {"Origin": operator.url.rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    assert operator.post("/confirm", fields, headers=own).status_code == 200
    own = {"Referer": f"{operator.url}requests"}
    assert operator.post("/confirm", fields, headers=own).status_code == 200


def test_without_the_token_nothing_is_changed(operator: ConsoleClient, scene: ConsoleData) -> None:
    park(scene, PR)
    question = operator.ask("rerun", PR)
    (plan,) = re.findall(r'name="token" value="([^"]+)"', question)
    for fields in ({"token": plan}, {"token": plan, "_xsrf": "2|0|0|0"}):
        answer = operator.session.post(f"{operator.url}execute", data=fields, timeout=30)
        assert answer.status_code == 403
    stranger_token = re.findall(
        r'name="_xsrf" value="([^"]+)"', ConsoleClient(operator.url).get("/login").text
    )
    fields = {"token": plan, "_xsrf": stranger_token[0]}
    assert (
        operator.session.post(f"{operator.url}execute", data=fields, timeout=30).status_code == 403
    )
    assert state(scene) is State.PARKED


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("rebound.example", 421),
        ("127.0.0.1.rebound.example:8765", 421),
        ("localhost.rebound.example", 421),
        ("", 421),
        ("[", 421),
        ("localhost:8765", 200),
        ("10.0.0.7:8765", 200),
        ("[::1]:8765", 200),
    ],
)
def test_a_name_that_is_not_the_consoles_is_refused(
    visitor: ConsoleClient, host: str, expected: int
) -> None:
    answer = visitor.get("/requests", headers={"Host": host})
    # Without any name Tornado itself refuses.
    assert answer.status_code in ({expected, 400} if expected == 421 else {expected})


def test_wrong_passwords_are_not_tried_in_a_row(redis_url: str, tmp_path: Path) -> None:
    with serving(redis_url, tmp_path, CONNECT_CONSOLE_PASSWORD=PASSWORD) as served:
        visitor = served.visitor()
        for number in range(MAX_WRONG_PER_ADDRESS):
            answer = visitor.sign_in(password=f"wrong {number}")
            assert answer.status_code == 403
            assert "Wrong password." in answer.text
        # Not even the right one.
        answer = visitor.sign_in()
        assert answer.status_code == 429
        assert 0 < int(answer.headers["Retry-After"]) <= 60
        assert "/login" in visitor.get("/").url
        refused = audited(served, "console.sign_in_refused")
        assert [line["why"] for line in refused] == [
            *["wrong password"] * MAX_WRONG_PER_ADDRESS,
            "too many wrong passwords",
        ]
        assert "wrong 0" not in served.log()
        assert PASSWORD not in served.log()


@pytest.mark.parametrize(
    "target",
    ["//elsewhere.example", "/\\elsewhere.example", "https://elsewhere.example", "javascript:1"],
)
def test_signing_in_leads_nowhere_else(served: Served, target: str) -> None:
    visitor = served.visitor()
    visitor.get("/login")
    fields = {"who": "anna", "password": PASSWORD, "next": target}
    answer = visitor.post("/login", fields, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")


def test_a_form_that_is_too_large_is_refused(operator: ConsoleClient) -> None:
    operator.page("/requests")
    # Often its connection is closed in the middle of what it says.
    with suppress(requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
        assert operator.post("/confirm", {"action": "x" * 3_000_000}).status_code == 413
    operator.page("/requests")


@pytest.mark.parametrize(
    ("options", "variables", "code", "said"),
    [
        (["--address", "0.0.0.0"], {}, Exit.USAGE, "set CONNECT_CONSOLE_PASSWORD"),
        ([], {"CONNECT_CONSOLE_PASSWORD": "short"}, Exit.CONFIGURATION, "8 characters"),
        ([], {"CONNECT_CONSOLE_URL": "javascript:1"}, Exit.CONFIGURATION, "CONNECT_CONSOLE_URL"),
        ([], {"CONNECT_FLOWER_URL": "flower"}, Exit.CONFIGURATION, "CONNECT_FLOWER_URL"),
        ([], {"CONNECT_API_URL": ""}, Exit.CONFIGURATION, "CONNECT_API_URL not set"),
        (["--address", "192.0.2.1"], {"CONNECT_CONSOLE_PASSWORD": PASSWORD}, 1, "192.0.2.1:0:"),
    ],
)
def test_what_would_be_unsafe_does_not_start(
    options: list[str], variables: dict[str, str], code: int, said: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "connect_worker", "console", "--port", "0", *options],
        cwd=ROOT,
        env=environment("redis://127.0.0.1:9/0", **variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert ended.returncode == code, ended.stderr
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr

"""`celery -A tasks flower` as a real process: who may see what, and what there is to be read."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from playwright.sync_api import Browser

from connect_worker.devtools.embedded_redis import embedded_redis, free_port
from connect_worker.domain.states import RequestKey, RequestKind, State
from connect_worker.ledger.redis import connect
from connect_worker.observability.output import EXIT_CONFIGURATION
from tests.support.browser import needs_chromium
from tests.support.console_client import SourceAddress
from tests.support.fault_stack import FaultStack
from tests.support.sentinels import SENTINEL_PASSWORD, running_sentinels
from tests.support.stack import ROOT

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

PROCESSOR = ROOT / "tests/support/processors/parameter_driven.py"
CUSTOMER = "canary.customer@example.com"
AUTH = ("operator", "a password, of the tests")
PAGES = ("", "workers", "tasks", "broker", "metrics", "tasks/datatable", "worker/x", "task/x")
CALLS = ("workers", "tasks", "task/info/x", "task/types", "queues/length", "task/result/x")
CHANGES = (
    "worker/shutdown/x", "worker/pool/restart/x", "worker/pool/grow/x", "worker/pool/shrink/x",
    "worker/pool/autoscale/x", "worker/queue/add-consumer/x", "worker/queue/cancel-consumer/x",
    "task/apply/sweep", "task/async-apply/sweep", "task/send-task/sweep", "task/abort/x",
    "task/timeout/x", "task/rate-limit/x", "task/revoke/x",
)  # fmt: skip
#: As DataTables asks for the table's rows.
ROWS = {"draw": 1, "start": 0, "length": 100, "search[value]": "", "order[0][column]": 0}


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with embedded_redis() as url:
        yield url


@pytest.fixture
def stack(tmp_path: Path, redis_url: str) -> Iterator[FaultStack]:
    """A deployment that says nothing of Flower, and no process of it yet."""
    stack = FaultStack(tmp_path, redis_url, CONNECT_PROCESSORS=str(PROCESSOR))
    for name in [name for name in stack.environment if name.startswith("FLOWER_")]:
        del stack.environment[name]
    stack.environment |= {
        "CONNECT_API_URL": "http://127.0.0.1:9/public/v1",
        "CONNECT_API_KEY": "SU-000-000-000:canary-key-0123456789",
    }
    yield stack
    stack.stop()


def start_flower(stack: FaultStack, **variables: str) -> str:
    """Start it as the README does, at a free port, and return its address."""
    port = free_port()
    stack.environment |= variables
    stack.celery("flower", "flower", f"--port={port}")
    url = f"http://127.0.0.1:{port}"
    stack.until(lambda: answers(f"{url}/healthcheck"), "Flower answers", seconds=30)
    return url


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.ConnectionError:
        return False


def listening_addresses(port: int) -> set[str]:
    """The addresses on which this machine listens at a port, as the kernel writes them."""
    lines = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return {
        address
        for _, local, _, state, *_ in lines
        for address, _, at in [local.partition(":")]
        if state == "0A" and int(at, 16) == port
    }


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A directory that holds nothing of the project, as after `pip install`."""
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere"


def run_flower(
    stack: FaultStack, *arguments: str, directory: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Start a Flower that is expected to exit."""
    path = os.pathsep.join([str(ROOT), stack.environment["PYTHONPATH"]])
    return subprocess.run(
        [sys.executable, "-m", "celery", "-A", "tasks", "flower", *arguments],
        cwd=directory,
        env={**stack.environment, "PYTHONPATH": path, **variables},
        text=True,
        capture_output=True,
        timeout=60,
    )


def test_without_a_word_said_it_is_for_this_machine_and_for_looking_only(stack: FaultStack) -> None:
    url = start_flower(stack)
    assert listening_addresses(int(url.rpartition(":")[2])) == {"0100007F"}
    assert requests.get(f"{url}/tasks", timeout=10).ok
    assert {requests.get(f"{url}/api/{call}", timeout=10).status_code for call in CALLS} == {401}
    assert changes(url, auth=None) == {401}


def changes(url: str, *, auth: tuple[str, str] | None) -> set[int]:
    return {call(url, f"api/{path}", method="POST", auth=auth).status_code for path in CHANGES}


@pytest.mark.long
def test_even_an_api_without_a_password_is_for_looking_only(stack: FaultStack) -> None:
    url = start_flower(stack, FLOWER_UNAUTHENTICATED_API="true")
    assert requests.get(f"{url}/api/tasks", timeout=10).ok
    assert changes(url, auth=None) == {403}


@pytest.mark.parametrize(
    "given",
    ["FLOWER_BASIC_AUTH", "CONNECT_FLOWER_AUTH_FILE", "CONNECT_FLOWER_AUTH_FILE composed"],
)
def test_a_password_is_asked_for_before_every_page_and_every_call(
    stack: FaultStack, given: str
) -> None:
    # A comma would part two users in Flower's own variable.
    auth = ("operator", "a password of the tests") if given == "FLOWER_BASIC_AUTH" else AUTH
    text, file = ":".join(auth), stack.directory / "auth"
    file.write_text(f"{text}\n")
    variables = {given.partition(" ")[0]: text if given == "FLOWER_BASIC_AUTH" else str(file)}
    if given.endswith("composed"):
        # What docker-compose.yml makes of a FLOWER_PASSWORD that is not set.
        variables["FLOWER_BASIC_AUTH"] = "connect:"
    url = start_flower(stack, **variables, FLOWER_ADDRESS="0.0.0.0")
    paths = [*PAGES, *(f"api/{call}" for call in CALLS)]
    for wrong in (None, ("operator", "wrong"), ("operator", ""), ("", "")):
        assert {call(url, path, auth=wrong).status_code for path in paths} == {401}
        # What can't be done by anybody is refused before the question who asks.
        assert changes(url, auth=wrong) <= {401, 403}
    assert requests.get(f"{url}/tasks", auth=auth, timeout=10).ok
    assert requests.get(f"{url}/api/tasks", auth=auth, timeout=10).ok
    assert "python_info" in requests.get(f"{url}/metrics", auth=auth, timeout=10).text
    assert changes(url, auth=auth) == {403}


#: Each wrong password comes from another address: one that gives several has to wait.
STRANGERS = (f"127.9.{at >> 8}.{at & 255}" for at in itertools.count(1))


def call(
    url: str, path: str, *, method: str = "GET", source: str = "", **options: Any
) -> requests.Response:
    """Call Flower from one of this machine's addresses."""
    with requests.Session() as session:
        session.mount("http://", SourceAddress(source or next(STRANGERS)))
        return session.request(method, f"{url}/{path}", timeout=10, **options)


def test_every_answer_tells_the_browser_to_be_careful(stack: FaultStack) -> None:
    url = start_flower(stack, CONNECT_FLOWER_URL="https://flower.example.com")
    paths = ("", "tasks", "nowhere", "api/tasks", "metrics", "healthcheck", "login", "static/x")
    for path in (*paths, "static/css/flower.css"):
        headers = call(url, path).headers
        policy = headers["Content-Security-Policy"].split("; ")
        assert {"default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(policy)
        assert headers["X-Frame-Options"] == "DENY", path
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Strict-Transport-Security"] == "max-age=31536000"
        assert "Tornado" not in headers["Server"]
    # Only by names that are its own: another one may be that of a page that the operator visits.
    for host in ("rebound.example", "flower.example.com.rebound.example", "["):
        for path in ("", "tasks", "api/tasks", "metrics", "nowhere", "worker/healthcheck"):
            answer = call(url, path, headers={"Host": host})
            assert answer.status_code in ((421,) if host != "[" else (400, 421)), (host, path)
    assert "CONNECT_FLOWER_URL" in call(url, "", headers={"Host": "rebound.example"}).reason
    assert call(url, "healthcheck", headers={"Host": "rebound.example"}).text == "OK"
    for host in ("flower.example.com", "localhost", "10.0.0.7:5555", "[::1]"):
        assert call(url, "tasks", headers={"Host": host}).status_code == 200
    assert "Traceback" not in stack.whole_log("flower")


def test_wrong_passwords_are_not_tried_in_a_row(stack: FaultStack) -> None:
    auth = ("operator", "a password of the tests")
    url = start_flower(stack, FLOWER_BASIC_AUTH=":".join(auth))

    def tried(source: str, *, wrong: bool) -> int:
        given = (auth[0], "wrong") if wrong else auth
        path = "tasks" if wrong else "api/tasks"
        return call(url, path, source=source, auth=given).status_code

    # Without a password nobody has given a wrong one.
    assert {call(url, "tasks", source="127.0.1.1").status_code for _ in range(8)} == {401}
    assert tried("127.0.0.9", wrong=False) == 200
    odd = call(url, "tasks", source="127.0.1.1", auth=("opérator".encode(), b"x"))
    assert odd.status_code == 401
    assert "Traceback" not in odd.text
    assert [tried("127.0.1.1", wrong=True) for _ in range(4)] == [401] * 4
    refused = call(url, "tasks", source="127.0.1.1", auth=auth)
    assert refused.status_code == 429
    assert "Too many wrong passwords" in refused.text
    assert tried("127.0.1.1", wrong=False) == 429
    # Others are let in, whatever they do together to those who were never here.
    assert tried("127.0.2.1", wrong=False) == 200
    assert {tried(f"127.0.3.{at % 12}", wrong=True) for at in range(60)} == {401, 429}
    assert tried("127.0.0.9", wrong=False) == 200
    assert "Traceback" not in stack.whole_log("flower")


@needs_chromium[0]
@needs_chromium[1]
def test_its_pages_work_under_its_policy(stack: FaultStack, browser: Browser) -> None:
    url = start_flower(stack)
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    for path in ("workers", "tasks", "broker"):
        page.goto(f"{url}/{path}")
        page.wait_for_load_state("networkidle")
        assert page.locator("table.dataTable, table").count() > 0
    assert [text for text in complaints if "Content Security Policy" in text] == []


def test_the_broker_page_finds_the_messages_by_any_sentinel(tmp_path: Path) -> None:
    with running_sentinels(tmp_path) as sentinels:
        stack = FaultStack(
            tmp_path,
            sentinels.url,
            CONNECT_SENTINEL_PASSWORD=SENTINEL_PASSWORD,
            CONNECT_API_URL="http://127.0.0.1:9/public/v1",
            CONNECT_API_KEY="SU-000-000-000:canary-key-0123456789",
        )
        sentinels.processes[0].kill()
        try:
            url = start_flower(stack, FLOWER_BASIC_AUTH="operator:secret")
            with connect(sentinels.whole_url) as client:
                client.lpush("fulfillment", "one", "two")
            auth = ("operator", "secret")
            lengths = requests.get(f"{url}/api/queues/length", auth=auth, timeout=20).json()
            assert {"name": "fulfillment", "messages": 2} in lengths["active_queues"]
            page = requests.get(f"{url}/broker", auth=auth, timeout=20)
            assert page.ok
            assert "canary" not in page.text + stack.whole_log("flower")
        finally:
            stack.stop()


@pytest.mark.long
def test_who_asks_for_it_and_has_the_password_may_change_things(stack: FaultStack) -> None:
    url = start_flower(stack, FLOWER_BASIC_AUTH="operator:secret", FLOWER_READ_ONLY="false")
    assert changes(url, auth=None) == {401}
    sent = requests.post(
        f"{url}/api/task/async-apply/sweep", auth=("operator", "secret"), timeout=10
    )
    assert sent.ok
    assert sent.json()["task-id"]


def long(*values: object) -> object:
    """One of several that are reported alike."""
    return pytest.param(*values, marks=pytest.mark.long)


@pytest.mark.parametrize(
    ("variables", "arguments", "file", "why"),
    [
        ({"FLOWER_ADDRESS": "0.0.0.0"}, (), "", "anyone who reaches 0.0.0.0"),
        long({}, ("--address=192.0.2.1",), "", "anyone who reaches 192.0.2.1"),
        long({}, ("--address=",), "", "anyone who reaches any address"),
        long({}, (), "address = '::'", "anyone who reaches ::"),
        ({"FLOWER_ADDRESS": "0.0.0.0", "FLOWER_BASIC_AUTH": ""}, (), "", "anyone who reaches"),
        ({"FLOWER_READ_ONLY": "false"}, (), "", "anyone on this machine"),
        long({}, ("--read_only=false",), "", "anyone on this machine"),
        long({"FLOWER_BASIC_AUTH": "operator:"}, (), "", "user:password"),
        ({"FLOWER_BASIC_AUTH": "secret"}, (), "", "user:password"),
        # Neither wins: people would be let in with a password that was meant to be replaced.
        (
            {"FLOWER_BASIC_AUTH": "operator:secret", "CONNECT_FLOWER_AUTH": "operator:other-1"},
            (),
            "",
            "CONNECT_FLOWER_AUTH_FILE are both set",
        ),
        ({"CONNECT_FLOWER_AUTH": "operator:pässword"}, (), "", "in ASCII"),
    ],
)
def test_it_refuses_to_start_where_it_would_be_open(
    stack: FaultStack,
    elsewhere: Path,
    variables: Mapping[str, str],
    arguments: tuple[str, ...],
    file: str,
    why: str,
) -> None:
    if file:
        (elsewhere / "flowerconfig.py").write_text(file)
    port = free_port()
    ended = run_flower(stack, f"--port={port}", *arguments, directory=elsewhere, **variables)
    assert ended.returncode == EXIT_CONFIGURATION
    [line] = [line for line in ended.stderr.splitlines() if line.startswith("connect-worker:")]
    assert "Flower does not start" in line
    assert why in line
    assert "secret" not in ended.stderr
    assert "FLOWER_BASIC_AUTH" in line


def test_each_job_shows_its_request_its_product_and_how_it_ended_in_words(
    stack: FaultStack,
) -> None:
    stack.seed()
    ids = {word: order(stack, word) for word in ("approve", "raise", "skip")}
    stack.environment |= {
        "CONNECT_MAX_ATTEMPTS": "2",
        "CONNECT_RETRY_BASE_SECONDS": "1",
    }
    url = start_flower(stack, FLOWER_UNAUTHENTICATED_API="true")
    stack.work()
    raised = RequestKey(RequestKind.FULFILLMENT, ids["raise"])
    stack.until_soon(
        lambda: (found := stack.ledger().get_record(raised)) and found.state is State.PARKED,
        "parked",
    )
    stack.until_soon(lambda: len(ended(url)) >= 4, "Flower knows of all jobs")
    rows = ended(url)
    results = {(row["uuid"].partition(".")[0], row["state"], row["result"]) for row in rows}
    product = {word: stack.entry(request_id)["product"] for word, request_id in ids.items()}
    sentence = "RuntimeError: no tenant for *** (plan ***)"
    assert results == {
        (ids["approve"], "SUCCESS", f"{product['approve']}: approved"),
        (ids["raise"], "RETRY", f"{product['raise']}: {sentence}"),
        (ids["raise"], "SUCCESS", f"{product['raise']}: parked: {sentence}"),
        (ids["skip"], "SUCCESS", f"{product['skip']}: skipped: *** is not there yet"),
    }
    assert {row["name"] for row in rows} == {"process.fulfillment"}
    [retried] = [row["uuid"] for row in rows if row["state"] == "RETRY"]
    page = requests.get(f"{url}/task/{retried}", timeout=10).text
    assert sentence in page
    everything = shown(url, [row["uuid"] for row in rows])
    assert not [path for path, text in everything.items() if "canary" in text]


def order(stack: FaultStack, word: str) -> str:
    params = [
        {"id": "email", "type": "email", "value": CUSTOMER, "value_error": ""},
        {"id": "plan", "type": "text", "value": "canary-gold", "value_error": ""},
        {"id": "what", "type": "text", "value": word, "value_error": ""},
    ]
    [request_id] = stack.control("POST", "requests", {"body": {"asset": {"params": params}}})["ids"]
    return str(request_id)


def ended(url: str) -> list[dict[str, Any]]:
    """The rows of Flower's table whose jobs have ended, without polls and sweeps."""
    columns = {f"columns[{at}][data]": name for at, name in enumerate(["name", "uuid"])}
    rows = requests.get(f"{url}/tasks/datatable?{urlencode({**ROWS, **columns})}", timeout=10)
    return [
        row
        for row in rows.json()["data"]
        if row["name"].startswith("process.") and row["state"] in ("SUCCESS", "RETRY", "FAILURE")
    ]


def shown(url: str, tasks: list[str]) -> dict[str, str]:
    """All that Flower shows, by where."""
    [worker] = requests.get(f"{url}/api/workers?refresh=1", timeout=10).json()
    paths = [
        *("", "workers", "tasks", "broker", "metrics", f"worker/{worker}", "api/workers"),
        *("api/tasks", "api/task/types", "api/queues/length"),
        *(f"{page}/{task}" for task in tasks for page in ("task", "api/task/info")),
    ]
    answers = {path: requests.get(f"{url}/{path}", timeout=10) for path in paths}
    assert all(answer.ok for answer in answers.values())
    return {path: answer.text for path, answer in answers.items()}

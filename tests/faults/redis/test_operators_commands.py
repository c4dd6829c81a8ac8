"""What an operator, a probe and Prometheus get while Redis refuses, or does not answer: row 45."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from connect_worker.domain.states import PendingRequest, RequestKey, RequestKind
from connect_worker.ledger.acl import USER
from tests.support.fault_stack import FaultStack
from tests.support.redis_process import RedisServer, running_server
from tests.support.redis_server import tell

pytestmark = [pytest.mark.faults]

REQUEST = RequestKey(RequestKind.FULFILLMENT, "PR-0000-0000-0001")
#: What is promised is 10 s, on a machine that does nothing else; here others start processes too.
ANSWERED_SECONDS = 10.0

REFUSALS = {
    "full": (("CONFIG", "SET", "maxmemory", "1"), "Redis is full and nothing was written"),
    "read-only": (("REPLICAOF", "127.0.0.1", "1"), "this Redis is a read-only replica"),
    "without replicas": (
        ("CONFIG", "SET", "min-replicas-to-write", "1"),
        "Redis has too few replicas to accept writes",
    ),
    "forbidden": (("ACL", "SETUSER", USER, "-set"), "the Redis user may not do this"),
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with running_server(tmp_path) as server:
        yield server


@pytest.fixture
def stack(tmp_path: Path, server: RedisServer) -> Iterator[FaultStack]:
    """An account with one request in its ledger; no worker runs."""
    stack = FaultStack(
        tmp_path,
        server.url,
        # Nothing listens there.
        CONNECT_API_URL="http://127.0.0.1:9/public/v1",
        CONNECT_API_KEY="SU-000-000-001:key",
    )
    stack.ledger().register([PendingRequest(REQUEST)], seen_at=time.time(), requeue_seconds=60)
    try:
        yield stack
    finally:
        stack.stop()


@pytest.mark.parametrize(
    "refusal",
    ["full", *[pytest.param(name, marks=pytest.mark.slow) for name in list(REFUSALS)[1:]]],
)
def test_a_redis_that_refuses_writes_is_named_beside_what_the_ledger_has(
    stack: FaultStack, server: RedisServer, refusal: str
) -> None:
    command, sentence = REFUSALS[refusal]
    with server.client() as client:
        tell(client, *command)
    status = stack.answer("status", "--check", code=1)
    assert status["kinds"]["fulfillment"]["queued"] == 1
    assert status["problems"][0].startswith(f"{sentence}")
    # The remedy follows a colon.
    assert re.match(r"[^:]+: \w+", status["problems"][0])

    findings = stack.answer("doctor", code=1)["findings"]
    named = [item for item in findings if item["part"] == "Redis" and item["level"] == "fail"]
    assert any(item["text"].startswith(sentence) and item["remedy"] for item in named)
    if refusal != "forbidden":
        # The broker's part is written by other commands.
        assert stack.answer("poll", code=5)["error"].startswith(sentence)
    with server.client() as client:
        # What the user was refused here shows no gap in its rules.
        client.acl_log_reset()


@pytest.mark.slow
def test_every_command_answers_within_seconds_while_redis_is_frozen(
    stack: FaultStack, server: RedisServer
) -> None:
    commands: dict[tuple[str, ...], int] = {
        ("status",): 4,
        ("status", "--check", "--json"): 4,
        ("list", "--json"): 4,
        ("show", REQUEST.id, "--json"): 4,
        ("rerun", REQUEST.id, "--yes", "--json"): 4,
        ("pause", "all", "--json"): 4,
        ("poll", "--json"): 4,
        ("doctor", "--json"): 1,
    }
    server.freeze()
    for words, code in commands.items():
        done = timed(stack, *words)
        assert done.returncode == code, (words, done.stdout, done.stderr)
        assert "Redis did not answer in time" in done.stdout + done.stderr
        if "--json" in words:
            json.loads(done.stdout)
    done = timed(stack, "metrics", "--once")
    assert (done.returncode, metric(done.stdout, "ledger_up")) == (0, 0.0)
    # The liveness probe of deploy/kubernetes/worker.yaml looks for this line.
    assert "connect_worker_broker_up 0.0" in done.stdout.splitlines()


@pytest.mark.slow
def test_exporter_and_console_answer_within_seconds_while_redis_is_frozen(
    stack: FaultStack, server: RedisServer
) -> None:
    stack.start("metrics", "-m", "connect_worker", "metrics", "--port", "0")
    stack.start("console", "-m", "connect_worker", "console", "--port", "0")
    exporter, console = address(stack, "metrics"), address(stack, "console")
    assert metric(requests.get(exporter, timeout=30).text, "broker_up") == 1.0
    assert requests.get(console, timeout=30).status_code == 200

    server.freeze()
    # With connections that were used before, and with new ones.
    for _ in range(2):
        scraped = requests.get(exporter, timeout=ANSWERED_SECONDS)
        assert metric(scraped.text, "ledger_up") == metric(scraped.text, "broker_up") == 0.0
        page = requests.get(console, timeout=ANSWERED_SECONDS)
        assert page.status_code == 503
        assert "Redis did not answer in time" in page.text
    server.thaw()
    assert metric(requests.get(exporter, timeout=30).text, "broker_up") == 1.0
    assert requests.get(console, timeout=30).status_code == 200


@pytest.mark.long
def test_many_accounts_take_no_longer_than_one_while_redis_is_frozen(
    stack: FaultStack, server: RedisServer
) -> None:
    names = [f"a{number}" for number in range(12)]
    stack.environment["CONNECT_ACCOUNTS"] = ",".join(names)
    for name in names:
        for setting in ("API_URL", "API_KEY"):
            value = stack.environment[f"CONNECT_{setting}"].replace("SU-000-000-001", f"SU-{name}")
            stack.environment[f"CONNECT_{name.upper()}_{setting}"] = value
    del stack.environment["CONNECT_API_URL"], stack.environment["CONNECT_API_KEY"]
    server.freeze()
    metrics = timed(stack, "metrics", "--once").stdout
    assert metrics.count("connect_worker_ledger_up 0.0") == 1
    assert set(json.loads(timed(stack, "list", "--json").stdout)["accounts"]) == set(names)
    # It also waits for Connect, once for each account.
    findings = stack.answer("doctor", code=1)["findings"]
    assert len([item for item in findings if item["part"] == "Redis"]) == 1


def timed(stack: FaultStack, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command; it must not wait longer than promised, a Python's start aside."""
    before = time.monotonic()
    stack.run("--version")
    started = time.monotonic()
    done = stack.run(*words)
    took = time.monotonic() - started
    assert took < ANSWERED_SECONDS + (started - before), (words, took)
    return done


def metric(text: str, name: str) -> float:
    [line] = [line for line in text.splitlines() if line.startswith(f"connect_worker_{name}")]
    return float(line.split()[-1])


def address(stack: FaultStack, name: str) -> str:
    """Return where a process listens, which its log says."""
    found: list[str] = []

    def is_there() -> bool:
        found[:] = re.findall(r"http://[^\s\"']+", stack.whole_log(name))
        return bool(found)

    stack.until_soon(is_there, f"{name} listens")
    return found[0]

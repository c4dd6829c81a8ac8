"""CONNECT_ENCRYPTION_KEY in a deployment of real processes: lost, given back, and rotated."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from connect_worker.domain.states import State
from connect_worker.observability.output import EXIT_CONFIGURATION
from tests.support.fault_stack import FaultStack, running_fault_stack
from tests.support.orders import Order, Point
from tests.support.stack import ROOT, assert_each_resolved_once
from tests.support.talkative_run import dump

pytestmark = [pytest.mark.acceptance]

KEY, NEW_KEY = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[FaultStack]:
    with running_fault_stack(tmp_path) as stack:
        stack.seed(fulfillment=1)
        yield stack


def command(stack: FaultStack, *words: str) -> Any:
    """Run one of the operator's commands and return its document."""
    ended = subprocess.run(
        [sys.executable, "-m", "connect_worker", *words, "--json"],
        cwd=ROOT,
        env=stack.environment,
        text=True,
        capture_output=True,
        timeout=60,
    )
    assert ended.returncode in (0, 1), ended.stderr
    return json.loads(ended.stdout)


def finding(stack: FaultStack) -> dict[str, str]:
    """What `doctor` says of encryption."""
    [found] = [
        item for item in command(stack, "doctor")["findings"] if item["part"] == "encryption"
    ]
    return dict(found)


@pytest.mark.long
def test_a_decision_without_its_key_waits_and_is_posted_once_by_who_has_it(
    stack: FaultStack,
) -> None:
    [request_id] = stack.ids("purchase")
    stack.environment["CONNECT_ENCRYPTION_KEY"] = KEY
    stack.orders.give(Order.KILL_WORKER, Point.DECIDED, request_id)
    stack.work("one")
    assert stack.until_ended("one") == -9
    story = command(stack, "show", request_id)
    assert story["decision"]["outcome"] == "approve"
    assert finding(stack)["level"] == "ok"

    del stack.environment["CONNECT_ENCRYPTION_KEY"]
    stack.worker("poor", "-c", "2")
    tried = (State.DECIDED, "DecryptionKeyMissing")
    stack.until_soon(lambda: waits(stack, request_id) == tried, "the poor worker gives it back")
    fence = stack.record(request_id).fence
    stack.until_soon(lambda: stack.record(request_id).fence > fence, "and tries again")
    story = command(stack, "show", request_id)
    assert story["decision"] == "encrypted"
    found = finding(stack)
    assert found["level"] == "fail"
    assert request_id in found["text"]
    assert "CONNECT_ENCRYPTION_KEY" in found["remedy"]
    assert stack.entry(request_id)["accepted"] == []

    stack.kill("poor")
    stack.environment["CONNECT_ENCRYPTION_KEY"] = f"{NEW_KEY},{KEY}"
    stack.worker("rich", "-c", "2")
    stack.until_done()
    assert_each_resolved_once(stack.report())
    [_] = stack.orders.runs(request_id)


@pytest.mark.long
def test_a_decision_from_before_the_key_is_parked_or_posted_where_plain_is_among_the_keys(
    stack: FaultStack,
) -> None:
    [request_id] = stack.ids("purchase")
    stack.orders.give(Order.KILL_WORKER, Point.DECIDED, request_id)
    stack.work("one")
    assert stack.until_ended("one") == -9

    stack.environment["CONNECT_ENCRYPTION_KEY"] = KEY
    stack.worker("strict", "-c", "2")
    stack.until_soon(lambda: waits(stack, request_id)[0] is State.PARKED, "it is parked")
    assert stack.entry(request_id)["accepted"] == []
    stack.kill("strict")

    stack.environment["CONNECT_ENCRYPTION_KEY"] = f"{KEY},plain"
    assert finding(stack)["level"] == "warn"
    assert command(stack, "repost", request_id, "--yes")["done"] == [request_id]
    stack.worker("lenient", "-c", "2")
    stack.until_done()
    assert_each_resolved_once(stack.report())
    [_] = stack.orders.runs(request_id)


def waits(stack: FaultStack, request_id: str) -> tuple[State, str]:
    entry = stack.record(request_id)
    return entry.state, entry.error.partition(":")[0]


def test_what_was_decided_is_not_readable_in_redis(stack: FaultStack) -> None:
    [request_id] = stack.ids("purchase")
    (stack.directory / "key").write_text(f"{KEY}\n")
    stack.environment["CONNECT_ENCRYPTION_KEY_FILE"] = str(stack.directory / "key")
    stack.work("one")
    stack.until_done()
    stored = [value for key, value in dump(stack.redis_url).items() if request_id in key]
    assert stored
    assert "fernet:" in str(stored)
    assert '"approve"' not in str(stored)
    assert command(stack, "show", request_id)["decision"]["outcome"] == "approve"


@pytest.mark.parametrize("key", ["too-short", f"{KEY},{KEY[:-2]}"], ids=["one", "second"])
def test_a_worker_with_a_key_that_is_none_does_not_start(stack: FaultStack, key: str) -> None:
    stack.environment["CONNECT_ENCRYPTION_KEY"] = key
    stack.worker("one")
    assert stack.until_ended("one") == EXIT_CONFIGURATION
    said = stack.whole_log("one")
    assert "connect-worker: settings refused: CONNECT_ENCRYPTION_KEY: key" in said
    assert "too-short" not in said
    assert KEY[:-2] not in said

"""Validations are answered while the customer waits, whatever the vendor's code does."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from connect_worker.devtools.embedded_redis import free_port
from connect_worker.testing import purchase, tier_setup
from tests.support.openapi_contract import check_exchange
from tests.support.stack import ROOT
from tests.support.webhook_stack import WebhookStack, signed

pytestmark = [pytest.mark.faults]

VALIDATING = ROOT / "tests/support/processors/validating.py"
#: The product whose orders are held back when they could not be validated.
STRICT = "PRD-000-000-777"
WRONG = "Enter an email address."
#: Much more than a validation takes, on a machine that others use too.
DEADLINE_SECONDS = 3.0
PROCESSES = 3


class Validating(WebhookStack):
    """A receiver with validations, whose Redis is down."""

    def __init__(self, directory: Path, **settings: str) -> None:
        own = {
            "CONNECT_PROCESSORS": str(VALIDATING),
            "CONNECT_VALIDATION_SECONDS": str(DEADLINE_SECONDS),
        }
        super().__init__(directory, f"redis://127.0.0.1:{free_port()}/0", **own | settings)
        self.metrics_port = free_port()
        #: How much of the log earlier tests have caused.
        self.read = 0

    def receive_validations(self, processes: int = PROCESSES) -> None:
        """Start the receiver, and wait until its processes have loaded the vendor's code."""
        options = ("--validators", str(processes), "--metrics-port", str(self.metrics_port))
        self.receive("receiver", *options)

    def validate(
        self, email: str, *, path: str = "/validator", **more: Any
    ) -> tuple[dict[str, Any], str]:
        """Validate a draft as Connect does; the answer, and the error of its email."""
        document = draft(email, **more)
        response = self.post(document, path=path)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        [error] = [p["value_error"] for p in answer["asset"]["params"] if p["id"] == "email"]
        return answer, error

    def children(self) -> list[int]:
        """The processes that run validations."""
        found = subprocess.run(
            ["pgrep", "-P", str(self.processes["receiver"].pid)],
            capture_output=True,
            text=True,
            check=False,
        )
        return [int(line) for line in found.stdout.split()]

    def new_log(self) -> str:
        """What the receiver has said in this test."""
        return self.whole_log("receiver")[self.read :]

    def counts(self) -> Counter[str]:
        """How many validations Prometheus reads, by verdict."""
        text = requests.get(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10).text
        found = re.findall(r'validation_seconds_count\{.*verdict="(\w+)"\} (\S+)', text)
        return Counter({verdict: int(float(number)) for verdict, number in found})


def draft(email: str, *, product: str = "PRD-000-000-001") -> dict[str, Any]:
    params = {"email": {"value": email, "value_error": "of an earlier validation"}}
    return purchase(params=params, status="draft", product=product).json


def cleared(document: dict[str, Any]) -> dict[str, Any]:
    """The document as an order without errors goes on."""
    params = [{**param, "value_error": ""} for param in document["asset"]["params"]]
    return {**document, "asset": {**document["asset"], "params": params}}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Validating]:
    stack = Validating(tmp_path_factory.mktemp("receiver"))
    stack.environment |= {
        "CONNECT_API_URL": "http://127.0.0.1:1/public/v1",
        "CONNECT_API_KEY": "SU-1:of-the-tests",
    }
    try:
        stack.receive_validations()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def receiver(shared: Validating) -> Validating:
    """The receiver of this module's tests, as at its start."""
    if shared.processes["receiver"].poll() is not None:
        shared.receive_validations()
    shared.until_soon(lambda: len(shared.children()) == PROCESSES, "all processes are there")
    shared.read = len(shared.whole_log("receiver"))
    return shared


@pytest.fixture
def fresh_receiver(receiver: Validating) -> Validating:
    """A receiver whose processes have all loaded the vendor's code, and run nothing."""
    receiver.stop_within(30, "receiver")
    receiver.receive_validations()
    return receiver


def test_a_draft_is_validated_while_redis_is_down_and_nothing_else_of_it_changes(
    receiver: Validating,
) -> None:
    answer, error = receiver.validate("nobody")
    assert error == WRONG
    expected = cleared(draft("nobody"))
    for param in expected["asset"]["params"]:
        param["value_error"] = WRONG if param["id"] == "email" else ""
    # What else the validation changed in its model is no part of the answer.
    assert answer == expected
    assert receiver.validate("a@b.example") == (cleared(draft("a@b.example")), "")

    setup = tier_setup(params={"reseller_email": "", "reseller_id": "7"}).json
    params = receiver.post(setup, path="/draft_tcr_t1_val").json()["params"]
    errors = {param["id"]: param["value_error"] for param in params if param["value_error"]}
    assert errors["reseller_email"] == "Required."
    assert "reseller_id" not in errors
    # A notification does need Redis.
    assert receiver.post({"id": "PR-1"}).status_code == 503


def test_only_connect_is_answered_and_only_for_what_has_a_validation(receiver: Validating) -> None:
    document = draft("nobody")
    cases: list[tuple[int, dict[str, Any]]] = [
        (401, {"token": signed("another secret " * 4)}),
        (401, {"token": ""}),
        (404, {"path": "/renew_validator"}),
        (404, {"path": "/unknown_validator"}),
        (415, {"headers": {"Content-Type": "text/plain"}}),
    ]
    for status, change in cases:
        answer = receiver.post(document, **{"path": "/validator", **change})
        assert (answer.status_code, answer.json()) == (status, {"verdict": "refused"})
    deep: Any = "x"
    for _ in range(101):
        deep = [deep]
    for body in ("[]", "{", "[" * 50_000, None):
        answer = receiver.post({"asset": deep}, content=body, path="/validator")
        assert answer.status_code == 400
    assert "webhook.validation_answered" not in receiver.new_log()


@pytest.mark.parametrize(
    "email",
    ["raise", "hang", *(pytest.param(name, marks=pytest.mark.long) for name in ("false", "crash"))],
)
def test_a_validation_without_a_result_lets_the_order_go_on_or_holds_it_back(
    receiver: Validating, email: str
) -> None:
    before = set(receiver.children())
    assert receiver.validate(email) == (cleared(draft(email)), "")
    _, error = receiver.validate(email, product=STRICT)
    assert error == "Try again at noon."
    assert receiver.validate("nobody")[1] == WRONG
    lost = 2 if email in ("crash", "hang") else 0
    receiver.until_soon(lambda: len(before - set(receiver.children())) == lost, "they are killed")
    receiver.until_soon(lambda: len(receiver.children()) == PROCESSES, "and replaced")
    verdicts = re.findall(r"validation_answered verdict=(\w+)", receiver.new_log())
    assert verdicts == ["allow", "hold", "errors"]


def test_an_order_that_can_have_no_error_is_held_back_by_a_refusal(receiver: Validating) -> None:
    document = draft("raise", product=STRICT)
    document["asset"]["params"] = []
    answer = receiver.post(document, path="/validator")
    assert (answer.status_code, answer.json()) == (503, {"verdict": "not now"})


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGSTOP, ""), (signal.SIGKILL, WRONG)], ids=["stopped", "killed"]
)
@pytest.mark.long
def test_a_process_that_is_stopped_or_killed_is_replaced(
    fresh_receiver: Validating, number: signal.Signals, error: str
) -> None:
    receiver = fresh_receiver
    before = set(receiver.children())
    for child in before:
        os.kill(child, number)
    if number is signal.SIGKILL:
        receiver.until_soon(lambda: not before & set(receiver.children()), "they have ended")
    # No answer comes from those that are stopped. Those that had ended get no validation.
    assert [receiver.validate("nobody")[1] for _ in range(PROCESSES)] == [error] * PROCESSES
    receiver.until_soon(lambda: len(set(receiver.children()) - before) == PROCESSES, "all are new")
    assert receiver.validate("nobody")[1] == WRONG


@pytest.mark.long
def test_no_process_outlives_the_receiver(receiver: Validating) -> None:
    with ThreadPoolExecutor(1) as threads:
        # One validation hangs while the receiver is killed.
        hanging = threads.submit(receiver.post, draft("hang"), path="/validator")
        time.sleep(0.5)
        children = receiver.children()
        assert len(children) == PROCESSES
        os.kill(receiver.processes["receiver"].pid, signal.SIGKILL)
        assert isinstance(hanging.exception(timeout=30), requests.ConnectionError)
    receiver.processes["receiver"].wait()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.long
def test_a_stop_lets_a_validation_be_answered(receiver: Validating) -> None:
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(receiver.validate, "slow")
        time.sleep(0.5)
        process = receiver.processes["receiver"]
        process.terminate()
        assert slow.result(timeout=30)[1] == "It took a while."
        assert process.wait(timeout=30) == 0


@pytest.mark.slow
def test_a_thousand_validations_with_a_hanging_one_among_them(receiver: Validating) -> None:
    def validate(number: int) -> tuple[str, float]:
        # Each 50th is of the product whose validation hangs; all others are answered in between.
        hangs = number % 50 == 49
        began = time.monotonic()
        if hangs:
            error = receiver.validate("hang", product=STRICT)[1]
        else:
            error = receiver.validate("nobody")[1]
        return f"{'hangs: ' * hangs}{error}", time.monotonic() - began

    before = receiver.counts()
    with ThreadPoolExecutor(12) as threads:
        results = list(threads.map(validate, range(1000)))
    assert Counter(text for text, _ in results) == {
        WRONG: 980,
        "hangs: Try again at noon.": 20,
    }
    seconds = sorted(took for text, took in results if text == WRONG)
    p50, p99 = seconds[490], seconds[970]
    print(f"p50 {p50:.3f} s, p99 {p99:.3f} s, slowest of all {max(t for _, t in results):.3f} s")
    assert p99 < DEADLINE_SECONDS
    assert max(took for _, took in results) < DEADLINE_SECONDS + 3
    after = receiver.counts()
    assert (after["errors"] - before["errors"], after["hold"] - before["hold"]) == (980, 20)
    receiver.until_soon(lambda: len(receiver.children()) == PROCESSES, "all processes are there")


@pytest.mark.long
def test_what_is_too_much_is_answered_at_once(receiver: Validating) -> None:
    """More wait than may: the order goes on, long before the deadline."""
    with ThreadPoolExecutor(100) as threads:
        jobs = [threads.submit(receiver.validate, "hang") for _ in range(100)]
        receiver.until_soon(lambda: "error=overload" in receiver.new_log(), "some are too much")
        # Those that wait for one validation are no overload of another one.
        assert receiver.validate("nobody", product=STRICT)[1] == WRONG
        assert {job.result(timeout=60)[1] for job in jobs} == {""}
    log = receiver.new_log()
    at_once = [float(s) for s in re.findall(r"error=overload seconds=(\S+)", log)]
    assert min(at_once) < DEADLINE_SECONDS / 4
    assert max(at_once) < DEADLINE_SECONDS, "they waited for half of the time"
    assert receiver.validate("nobody")[1] == WRONG


@pytest.fixture
def with_sandbox(tmp_path: Path) -> Iterator[Validating]:
    stack = Validating(tmp_path)
    try:
        stack.start_sandbox("--requests", "0", "--provider-key", "SU-2:provider")
        stack.environment["CONNECT_PROCESSORS"] += ":Purchases," + str(VALIDATING) + ":Orders"
        stack.receive_validations()
        yield stack
    finally:
        stack.stop()


@pytest.mark.long
def test_the_sandbox_asks_the_registered_webhook_for_a_draft(with_sandbox: Validating) -> None:
    stack = with_sandbox
    registered = stack.command("register")
    assert "validator" in registered
    assert "draft_tcr_t1_val" not in registered, "its validation is not named"

    def call(path: str, body: Any = None, **headers: str) -> Any:
        key = {"Authorization": f"ApiKey {stack.environment['CONNECT_API_KEY']}"} | headers
        url = f"{stack.environment['CONNECT_API_URL']}/{path}"
        answer = requests.post(url, json=body, headers=key, timeout=30)
        faults = check_exchange("POST", path, "", body, answer.status_code, answer.json())
        assert not faults, faults
        return answer.json()

    order = {"type": "purchase", "status": "draft"}
    request_id = call("requests", order, Authorization="ApiKey SU-2:provider")["id"]
    for email, expected in (("nobody", WRONG), ("a@b.example", "")):
        entered = {"asset": {"params": [{"id": "email", "value": email}]}}
        shown = call(f"requests/{request_id}/validate", entered)
        errors = {p["id"]: p["value_error"] for p in shown["asset"]["params"]}
        assert errors["email"] == expected
    assert "asset" in call(f"requests/{request_id}/purchase")
    # All webhooks are known again, and deleted at the end.
    assert "created" not in stack.command("register")
    stack.command("unregister")
    assert "here" not in stack.command("list")

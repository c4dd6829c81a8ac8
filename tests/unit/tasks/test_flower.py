"""What Flower shows of a job, and with which options it is let start."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from flower.utils.broker import Broker, RabbitMQ

from connect_worker.domain.secrets import values_in
from connect_worker.engine.job import JobResult, JobStatus
from connect_worker.settings.model import Settings
from tasks.celery_support.flower import ask_rabbitmq, format_task, unsafe_reason
from tasks.process import RetryReason, result_text
from tests.support.scripted_server import Reply, serving


def options(**chosen: object) -> SimpleNamespace:
    """Flower's options as they are when nobody has said a word."""
    default = {"address": "127.0.0.1", "unix_socket": "", "read_only": True}
    return SimpleNamespace(**{**default, "basic_auth": [], "auth": "", **chosen})


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"address": "localhost"},
        {"address": "127.0.0.2"},
        {"address": "::1"},
        {"address": "", "unix_socket": "/run/flower.sock"},
        {"address": "", "basic_auth": ["me:a:b"], "read_only": False},
        {"address": "::", "auth": ".*@example.com"},
    ],
)
def test_it_starts_when_nobody_without_a_password_can_do_harm(chosen: dict[str, object]) -> None:
    assert unsafe_reason(options(**chosen)) == ""


@pytest.mark.parametrize(
    "chosen",
    [
        {"address": ""},
        {"address": "0.0.0.0"},
        {"address": "::"},
        {"address": "localhost.example.com"},
        {"read_only": False},
        {"basic_auth": ["me"]},
        {"basic_auth": [":x"]},
        {"basic_auth": ["me:good", "you:"]},
        {"basic_auth": ["me:ü"]},
    ],
)
def test_it_does_not_start_when_somebody_could(chosen: dict[str, object]) -> None:
    assert "FLOWER_BASIC_AUTH" in unsafe_reason(options(**chosen))


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        ("'approved'", "approved"),
        ('"it\'s so"', "it's so"),
        ("'cut off in its mid...", "'cut off in its mid..."),
        ("17", "17"),
        (None, None),
    ],
)
def test_a_result_has_no_quotes(result: str | None, shown: str | None) -> None:
    task = SimpleNamespace(state="SUCCESS", result=result, exception=None, traceback=None)
    assert format_task(task).result == shown


@pytest.mark.parametrize(("state", "traceback"), [("RETRY", None), ("FAILURE", "frames")])
def test_an_error_stands_where_the_result_would(state: str, traceback: str | None) -> None:
    error = repr(RetryReason("PRD-1: Timeout: 5 s"))
    task = SimpleNamespace(state=state, result=None, exception=error, traceback="frames")
    assert format_task(task).result == "PRD-1: Timeout: 5 s"
    assert task.traceback == traceback


def test_a_job_tells_its_product_where_the_ledger_knows_it() -> None:
    done = JobResult(JobStatus.COMPLETED, "approved", product="PRD-1")
    assert result_text(done) == "PRD-1: approved"
    denied = JobResult(JobStatus.DENIED, "nothing to do: busy")
    assert result_text(denied) == "nothing to do: busy"


def test_values_are_found_wherever_a_request_has_parameters() -> None:
    document = {
        "id": "PR-1",
        "asset": {
            "params": [
                {"id": "a", "value": "one", "value_error": "not this"},
                {"id": "b", "structured_value": {"street": "two", "flags": [True, "three"]}},
                "no parameter",
            ],
            "configuration": {"params": [{"id": "c", "value": "four"}]},
            "items": [{"params": [{"id": "d", "value": "five"}], "quantity": "6"}],
        },
    }
    assert list(values_in(document)) == ["one", "two", "three", "four", "five"]


def test_the_broker_page_finds_queues_with_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RabbitMQ, "queues", RabbitMQ.queues)
    ask_rabbitmq(Settings(prefix="shop"))
    rows = [{"name": "control", "messages": 9}, {"name": "shop:control", "messages": 3}]
    with serving(Reply(body=rows)) as server:
        address = server.url.replace("public/v1", "api/")
        broker = Broker("amqp://guest:guest@rabbitmq//", http_api=address)
        found = asyncio.run(broker.queues(["control", "usage"]))
    assert found == [{"name": "control", "messages": 3}]

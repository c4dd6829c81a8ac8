"""What a real worker makes of messages that none of this project's processes sends: nothing."""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import kombu
import pytest
import redis

import celeryconfig
from connect_worker.domain.states import RequestKind
from tasks import app
from tasks.celery_support.base_task import BaseTask
from tests.support.fault_stack import FaultStack, running_fault_stack

pytestmark = [pytest.mark.acceptance]

PROPER = "PR-5852-1608-0000"
FULFILLMENT = ("fulfillment", "process.fulfillment")
#: Queue, task, arguments and named ones, and what is said of them.
IMPROPER: list[tuple[str, str, list[Any], dict[str, Any], str]] = [
    (*FULFILLMENT, [], {}, "0 arguments"),
    (*FULFILLMENT, [PROPER, "more"], {}, "2 arguments"),
    (*FULFILLMENT, [PROPER], {"force": True}, "1 named"),
    (*FULFILLMENT, [], {"request_id": PROPER}, "1 named"),
    (*FULFILLMENT, ["TCR-000-000-000"], {}, "'TCR-000-000-000'"),
    (*FULFILLMENT, ["PR-" + "9" * 5000], {}, "'PR-9999"),
    (*FULFILLMENT, ["PR-1/../../accounts"], {}, "'PR-1/../../accounts'"),
    (*FULFILLMENT, ["PR-1\nforged"], {}, "PR-1"),
    (*FULFILLMENT, [17], {}, "int is no argument"),
    (*FULFILLMENT, [{"id": PROPER}], {}, "dict is no argument"),
    ("usage", "process.usage", ["LST-000-000-000"], {}, "'LST-000-000-000'"),
    ("control", "poll", ["everything"], {}, "'everything'"),
    ("control", "sweep", ["now"], {}, "1 arguments"),
]


class Intruder:
    """Can write to the broker, and knows Celery's protocol."""

    def __init__(self, connection: kombu.Connection) -> None:
        self._producer = connection.Producer()

    def send(
        self, queue: str, task: str, args: list[Any], kwargs: dict[str, Any], **embed: Any
    ) -> str:
        """Send a message as Celery would; the task's id."""
        task_id = str(uuid.uuid4())
        headers = {"lang": "py", "task": task, "id": task_id, "root_id": task_id, "retries": 0}
        body = [args, kwargs, {"callbacks": None, "errbacks": None, "chain": None, **embed}]
        self._publish(queue, body, headers, task_id, serializer="json")
        return task_id

    def send_pickle(self, queue: str, harmful: object) -> None:
        """Send a message whose body does something when it is merely read."""
        headers = {"lang": "py", "task": "process.fulfillment", "id": str(uuid.uuid4())}
        body = pickle.dumps([[harmful], {}, {}])
        written = {"content_type": "application/x-python-serialize", "content_encoding": "binary"}
        self._publish(queue, body, headers, headers["id"], **written)

    def _publish(self, queue: str, body: Any, headers: Any, task_id: str, **options: Any) -> None:
        self._producer.publish(
            body, routing_key=queue, headers=headers, correlation_id=task_id, **options
        )


class Harm:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@contextmanager
def waiting_worker(directory: Path) -> Iterator[tuple[FaultStack, Intruder]]:
    """A worker to which beat sends nothing, and one who can write to its queues."""
    with running_fault_stack(directory, CONNECT_PROCESSORS="examples.purchases") as stack:
        stack.seed(fulfillment=1)
        stack.worker("one", "--pool", "threads", "-c", "1")
        stack.until_soon(lambda: " ready." in stack.whole_log("one"), "the worker is ready")
        with kombu.Connection(stack.redis_url) as connection:
            yield stack, Intruder(connection)


def keys_of_the_ledger(stack: FaultStack) -> set[str]:
    with redis.Redis.from_url(stack.redis_url, decode_responses=True) as client:
        return set(client.scan_iter("connect-worker:*"))


def test_improper_messages_are_refused_with_a_line_each_and_no_effect(tmp_path: Path) -> None:
    with waiting_worker(tmp_path) as (stack, intruder):
        called, held = stack.report(summary=True)["calls"], keys_of_the_ledger(stack)
        for queue, task, args, kwargs, _ in IMPROPER:
            intruder.send(queue, task, args, kwargs)
        stack.until_soon(
            lambda: stack.whole_log("one").count("celery.message_rejected") == len(IMPROPER),
            "each is refused",
        )
        refusals = [
            line
            for line in stack.whole_log("one").splitlines()
            if "celery.message_rejected" in line
        ]
        assert max(map(len, refusals)) < 400
        for _, task, *_, why in IMPROPER:
            assert any(f"{task}: " in line and why in line for line in refusals), why
        assert "Traceback" not in stack.whole_log("one")
        assert stack.report(summary=True)["calls"] == called
        assert keys_of_the_ledger(stack) == held
        # The worker goes on: a proper message has its effect.
        intruder.send("control", "poll", ["fulfillment"], {})
        stack.until_done()


def test_a_message_with_others_in_its_train_is_refused_and_sends_none(tmp_path: Path) -> None:
    train = {"task": "poll", "args": ["fulfillment"], "kwargs": {}, "options": {}}
    with waiting_worker(tmp_path) as (stack, intruder):
        called = stack.report(summary=True)["calls"]
        trains: list[dict[str, Any]] = [
            {name: [train]} for name in ("callbacks", "errbacks", "chain")
        ]
        for carried in trains:
            intruder.send(*FULFILLMENT, [PROPER], {}, **carried)
        stack.until_soon(
            lambda: stack.whole_log("one").count("it carries messages") >= 3, "each is refused"
        )
        # Behind whatever the three would have sent.
        intruder.send("control", "sweep", ["the last"], {})
        stack.until_soon(lambda: "1 arguments" in stack.whole_log("one"), "the last is refused")
        assert "Task poll[" not in stack.whole_log("one")
        assert stack.report(summary=True)["calls"] == called


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    with waiting_worker(tmp_path) as (stack, intruder):
        intruder.send_pickle("fulfillment", Harm(opened))
        stack.until_soon(
            lambda: "x-python-serialize" in stack.whole_log("one"), "the pickle is refused"
        )
        intruder.send("control", "poll", ["fulfillment"], {})
        stack.until_done()
        assert not opened.exists()


def test_the_settings_name_json_for_all_that_travels() -> None:
    assert celeryconfig.accept_content == ["json"]
    for name in ("task_serializer", "event_serializer", "result_serializer"):
        assert app.conf[name] == "json"
    for name in ("accept_content", "result_accept_content"):
        assert set(app.conf[name] or ["json"]) == {"json"}
    assert not any("pickle" in str(value) for value in vars(celeryconfig).values())


@pytest.mark.parametrize("kind", RequestKind)
def test_every_kind_of_job_tells_which_names_it_takes(kind: RequestKind) -> None:
    assert cast("BaseTask", app.tasks[f"process.{kind}"]).validates is not None

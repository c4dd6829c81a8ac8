"""What a worker does when a command of remote control comes from the broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.worker.control import Panel

from tasks.celery_support.signals import QUESTIONS
from tests.support.fault_stack import FaultStack, running_fault_stack

pytestmark = [pytest.mark.acceptance]

#: Commands that stop, slow or change a worker, with arguments that Celery accepts.
COMMANDS: dict[str, dict[str, Any]] = {
    "shutdown": {},
    "pool_restart": {},
    "pool_grow": {"n": 50},
    "pool_shrink": {"n": 1},
    "autoscale": {"max": 1, "min": 0},
    "add_consumer": {"queue": "other"},
    "cancel_consumer": {"queue": "control"},
    "rate_limit": {"task_name": "poll", "rate_limit": "1/h"},
    "time_limit": {"task_name": "poll", "hard": 0.001},
    "revoke": {"task_id": "PR-1"},
    "terminate": {"signal": "KILL", "task_id": "PR-1"},
    "revoke_by_stamped_headers": {"headers": {"a": "b"}},
    "disable_events": {},
    "election": {"id": "1", "topic": "task", "action": {"task": "poll"}},
    "hello": {"from_node": "other@host", "revoked": {"PR-1": 1.0}},
    "memsample": {},
    "memdump": {},
    "objgraph": {"num": 10**9, "max_depth": 10**9, "type": "Request"},
}


@pytest.fixture
def celery(tmp_path: Path) -> Iterator[tuple[FaultStack, Celery]]:
    """A worker, and an application of anyone who can write to its broker."""
    with running_fault_stack(tmp_path) as stack:
        stack.seed()
        with Celery(broker=stack.redis_url, set_as_current=False) as celery:
            yield stack, celery


def start_worker(stack: FaultStack) -> None:
    stack.worker("one", "--pool", "threads", "-c", "1")
    stack.until_soon(lambda: " ready." in stack.whole_log("one"), "the worker is ready")


def ask(celery: Celery, command: str, **arguments: Any) -> Any:
    """The worker's answer."""
    answers = celery.control.broadcast(command, arguments, reply=True, timeout=5, limit=1) or []
    [answer] = [content for answer in answers for content in answer.values()]
    return answer


def test_commands_are_refused_and_questions_answered(celery: tuple[FaultStack, Celery]) -> None:
    stack, foreign = celery
    start_worker(stack)
    for command, arguments in COMMANDS.items():
        assert "CONNECT_REMOTE_CONTROL=true" in ask(foreign, command, **arguments)["error"]
    assert ask(foreign, "ping") == {"ok": "pong"}
    assert len(ask(foreign, "active_queues")) == 5
    assert "total" in ask(foreign, "stats")
    assert stack.processes["one"].poll() is None
    assert "celery.command_rejected command=shutdown" in stack.whole_log("one")
    stack.celery("beat", "beat")
    stack.control("POST", "requests", {"kind": "fulfillment", "scenario": "purchase"})
    stack.until_done()


def test_every_command_of_celery_is_a_question_or_refused() -> None:
    assert set(COMMANDS) | QUESTIONS == set(Panel.data), "decide about what Celery has added"


def test_commands_are_carried_out_where_they_are_switched_on(
    celery: tuple[FaultStack, Celery],
) -> None:
    stack, foreign = celery
    stack.environment["CONNECT_REMOTE_CONTROL"] = "true"
    start_worker(stack)
    assert "ok" in ask(foreign, "rate_limit", **COMMANDS["rate_limit"])
    foreign.control.shutdown()
    assert stack.processes.pop("one").wait(timeout=30) == 0

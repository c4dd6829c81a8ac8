"""What a task's error takes on its way from a pool's process to the worker."""

from __future__ import annotations

import logging
import pickle
import select
from collections.abc import Callable
from typing import Any

import pytest
from billiard.einfo import ExceptionInfo
from celery import Celery, Task
from celery.app.trace import build_tracer
from celery.exceptions import Retry

from connect_worker.exceptions import LedgerUnavailable
from tasks.celery_support.base_task import BaseTask


def run(body: Callable[[], object], base: type[Task[..., Any]] = BaseTask) -> ExceptionInfo:
    """Run a task as a pool's process does; what is sent back of its error."""
    app = Celery("test", task_cls=base, set_as_current=False)

    @app.task(name="test")
    def task() -> object:
        return body()

    trace = build_tracer("test", task, app=app)
    sent = trace("id", [], {}, {})[0]
    assert isinstance(sent, ExceptionInfo)
    return sent


def fail(error: Exception, depth: int = 200) -> None:
    if not depth:
        raise error
    fail(error, depth - 1)


@pytest.mark.parametrize("error", [LedgerUnavailable("Redis is full"), ValueError("a bug")])
def test_an_error_from_deep_down_is_small_and_says_what_it_is(
    error: Exception,
) -> None:
    sent = run(lambda: fail(error))
    assert type(error).__name__ in str(sent.traceback)
    assert str(error) in str(sent.traceback)
    assert len(pickle.dumps(sent)) < select.PIPE_BUF


def test_celerys_own_tasks_still_send_all_frames() -> None:
    sent = run(lambda: fail(ValueError("a bug")), base=Task)
    assert len(pickle.dumps(sent)) > select.PIPE_BUF, "BaseTask.on_failure can go"


def test_where_an_unexpected_error_came_from_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "connect_worker"):
        run(lambda: fail(ValueError("a bug"), depth=2))
    assert "celery.task_failed task=test" in caplog.text
    assert caplog.text.count("in fail") == 3


def test_a_retry_stays_one() -> None:
    def wait() -> None:
        raise Retry("again later", when=None)

    sent = run(wait)
    assert sent.type is Retry
    assert len(pickle.dumps(sent)) < select.PIPE_BUF

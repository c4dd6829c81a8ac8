"""Celery, kombu and Flower still have the gaps that `tasks/celery_support` answers.

A test that fails says which code can go, because the allowed versions no longer need it. The gap in
Celery's events has its test in test_task_events.py, the size of its errors in test_base_task.py.
"""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from celery import Celery
from celery.beat import ScheduleEntry, Scheduler, SchedulingError
from celery.concurrency import gevent
from celery.schedules import schedule
from celery.worker.consumer import Consumer
from flower import options as flower_options
from tornado.options import options

from tasks.app import app
from tasks.celery_support.publisher import _message

flower_options.default_options  # noqa: B018 - the import defines Flower's options


def test_beat_logs_tracebacks_for_a_message_that_it_can_not_send(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Refusing(Scheduler):
        def apply_async(self, *_: Any, **__: Any) -> Any:
            raise SchedulingError("the broker is away")

    plain = Celery("plain", set_as_current=False, broker="memory://")
    scheduler = Refusing(plain, lazy=True)
    with caplog.at_level(logging.ERROR):
        scheduler.apply_entry(ScheduleEntry("poll", "poll", app=plain, schedule=schedule(1.0)))
    assert caplog.records[-1].exc_info, "BeatScheduler.apply_entry can go"


def test_a_message_of_celerys_is_twice_as_large() -> None:
    request_id = "PR-5620-6510-8214-001"
    own = _message("process.fulfillment", request_id)
    celerys = app.amqp.as_task_v2("9b1f", "process.fulfillment", (request_id,), {})

    def size(message: Any) -> int:
        # What the transport adds is the same for both.
        return len(json.dumps([message.headers, message.properties, message.body]))

    assert size(celerys) > 1.8 * size(own), "publisher._message can go"


def test_a_gevent_pool_without_a_job_counts_no_process() -> None:
    pool = gevent.TaskPool(8)
    pool.on_start()
    assert pool.num_processes == 0, "WorkerConsumer.__init__ need not set max_concurrency"


def test_the_end_of_a_greenlet_wakes_no_worker() -> None:
    own = Consumer.perform_pending_operations.__code__.co_names
    assert not {"wait_available", "_pool"} & set(own), "perform_pending_operations can go"


def test_flower_is_open_by_default() -> None:
    def default(name: str) -> object:
        return options._options[name].default

    assert default("address") == "", "set_defaults need not set the address"
    assert default("basic-auth") in (None, []), "refuse_unsafe_options can go"
    assert default("read-only") is False, "set_defaults need not set read_only"
    assert default("purge-offline-workers") is None, "set_defaults need not set it"

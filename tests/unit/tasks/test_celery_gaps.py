"""Celery, kombu and Flower still have the gaps that `tasks/celery_support` answers.

A test that fails says which code can go, because the allowed versions no longer need it. The gap in
Celery's events has its test in test_task_events.py, the size of its errors in test_base_task.py.
"""

from __future__ import annotations

import json
import logging
import zlib
from base64 import b64encode
from typing import Any

import pytest
from amqp import basic_message
from celery import Celery
from celery.beat import ScheduleEntry, Scheduler, SchedulingError
from celery.concurrency import gevent
from celery.schedules import schedule
from celery.worker.consumer import Consumer
from celery.worker.request import Request
from flower import options as flower_options
from gevent import sleep  # type: ignore[import-untyped]  # it has no types
from kombu import Connection
from kombu.asynchronous import Hub
from kombu.transport import redis
from tornado.options import options

from tasks.app import app
from tasks.celery_support.publisher import _message
from tests.support.redis_server import running_server

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


def kombu_channel() -> Any:
    return Connection("memory://").channel()


def test_kombu_raises_for_properties_that_are_none() -> None:
    channel = kombu_channel()
    bad: tuple[Any, ...] = ([], {}, {"delivery_tag": "1", "body_encoding": "rot13"})
    for properties in bad:
        with pytest.raises((AttributeError, KeyError, TypeError)):
            channel.Message({"properties": properties, "body": "W10="}, channel=channel)


def test_celery_raises_for_a_body_that_is_none() -> None:
    channel = kombu_channel()
    headers = {"task": "poll", "id": "1"}
    content = {"properties": {"delivery_tag": "1"}, "headers": headers, "body": "5"}
    own = {"content-type": "application/json", "content-encoding": "utf-8"}
    with pytest.raises(TypeError):
        Request(channel.Message({**content, **own}, channel=channel), app=app)


def test_kombu_decompresses_what_nobody_has_asked_for() -> None:
    channel = kombu_channel()
    bomb = b64encode(zlib.compress(b"[" * 10_000_000)).decode()
    properties = {"delivery_tag": "1", "body_encoding": "base64"}
    content = {"headers": {"compression": "application/x-gzip"}, "properties": properties}
    read = channel.Message({**content, "body": bomb}, channel=channel)
    assert len(read.body) == 10_000_000, "message_rules.py need not refuse compressed messages"


def test_kombu_puts_a_message_back_where_the_message_says() -> None:
    pushed: list[str] = []

    class Pipe:
        def rpush(self, key: str, _: str) -> None:
            pushed.append(key)

    channel: Any = redis.Channel.__new__(redis.Channel)
    payload: Any = {"headers": {}, "properties": {"delivery_info": {}}}
    channel._do_restore_message(payload, "", "connect-worker:ledger", Pipe())
    assert pushed == ["connect-worker:ledger"], "_RedisChannel can go"


def test_py_amqp_raises_for_properties_before_it_tells_whose_they_are() -> None:
    message: Any = basic_message.Message()
    with pytest.raises(UnicodeDecodeError):
        message._load_properties(60, b"\x80\x00\x02\xff\xfe", 0)


def test_a_gevent_timer_goes_on_after_it_was_canceled() -> None:
    calls: list[int] = []
    timer: Any = gevent.Timer()  # type: ignore[attr-defined]  # celery-types lacks it
    run = timer.call_repeatedly(0.02, lambda: calls.append(1))
    sleep(0.05)
    timer.cancel(run)
    before = len(calls)
    sleep(0.1)
    assert before
    # One call was entered before the end.
    assert len(calls) > before + 1, "gevent needs no WorkerConsumer._repeat"
    run.entry.cancel()
    before = len(calls)
    sleep(0.1)
    assert len(calls) <= before + 1


def test_kombu_leaves_what_a_loop_does_for_a_connection_that_is_closed() -> None:
    hub = Hub()
    with running_server() as url, Connection(url.replace("unix", "redis+socket")) as connection:
        for _ in range(2):
            connection.transport.register_with_event_loop(connection.connection, hub)
            connection.collect()
    assert len(hub.on_tick) == 2, "the ticks in WorkerConsumer.connect can go"


def test_kombu_asks_for_a_queue_without_its_prefix() -> None:
    mixin = redis.GlobalKeyPrefixMixin
    prefixed = {*mixin.PREFIXED_SIMPLE_COMMANDS, *mixin.PREFIXED_COMPLEX_COMMANDS}
    assert "LLEN" in prefixed
    assert "EXISTS" not in prefixed, "_RedisChannel._has_queue can go"

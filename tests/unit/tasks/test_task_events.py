"""The worker's task events, which are all that Flower knows of a job."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from celery.events.dispatcher import EventDispatcher

from tasks.app import app
from tasks.celery_support.consumer import LosslessDispatcher

EVENTS_PER_THREAD = 400
THREADS = 8


class Producer:
    """Takes messages as a broker does; refuses some, when the test says so."""

    def __init__(self, refuse: int = 0) -> None:
        self.sent: list[Any] = []
        self.refuse = refuse

    def publish(self, body: Any, **_: Any) -> None:
        if self.refuse:
            self.refuse -= 1
            raise ConnectionError("the broker is away")
        self.sent += list(body) if isinstance(body, list) else [body]


def dispatcher(made: type[EventDispatcher], producer: Producer) -> Any:
    """A dispatcher as the worker has it, with a buffer for task events."""
    made_one = app.subclass_with_self(made, reverse="events.Dispatcher")(
        enabled=False, buffer_group=["task"], buffer_limit=10**9
    )
    made_one.enabled, made_one.producer = True, producer
    made_one.on_send_buffered = made_one.flush
    return made_one


def test_the_worker_uses_the_dispatcher_that_loses_nothing() -> None:
    assert issubclass(app.events.Dispatcher, LosslessDispatcher)


def test_events_of_many_threads_all_arrive() -> None:
    producer = Producer()
    sending = dispatcher(LosslessDispatcher, producer)

    def send(thread: int) -> None:
        for number in range(EVENTS_PER_THREAD):
            sending.send("task-succeeded", uuid=f"{thread}-{number}")

    threads = [threading.Thread(target=send, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sending.flush()

    uuids = [event["uuid"] for event in producer.sent]
    assert len(uuids) == len(set(uuids)) == THREADS * EVENTS_PER_THREAD


def refused_and_sent_again(made: type[EventDispatcher]) -> list[str]:
    producer = Producer(refuse=1)
    sending = dispatcher(made, producer)
    sending.send("task-succeeded", uuid="PR-1")
    sending.flush()
    return [event["uuid"] for event in producer.sent]


def test_an_event_that_the_broker_did_not_take_is_sent_again() -> None:
    assert refused_and_sent_again(LosslessDispatcher) == ["PR-1"]


def test_celerys_own_dispatcher_still_needs_the_replacement() -> None:
    if refused_and_sent_again(EventDispatcher) == ["PR-1"]:
        pytest.fail(
            "Celery keeps refused events by itself now: tasks/celery_support/consumer.py can go"
        )


def test_an_event_has_no_text_that_flower_could_not_show() -> None:
    producer = Producer()
    sending = dispatcher(LosslessDispatcher, producer)
    sending.send("task-failed", uuid="1", exception="no \ud800 é", runtime=0.5)
    sending.flush()
    [event] = producer.sent
    assert (event["exception"], event["runtime"]) == ("no \\ud800 é", 0.5)

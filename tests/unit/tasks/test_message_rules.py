"""What is refused before Celery reads it, and that Celery can read everything else."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable
from typing import Any

import pytest
from celery.app.task import Context
from celery.events.state import State
from celery.worker.request import Request
from hypothesis import given, settings
from kombu import Connection
from kombu.pidbox import Mailbox

from tasks import app
from tasks.celery_support.message_rules import MessageRejected
from tasks.celery_support.publisher import _message
from tasks.celery_support.transport import _CHECKED, Clock, check_envelope, read_envelope
from tests.support import hostile_messages as hostile

JOBS, COMMANDS, EVENTS = "fulfillment", "one@host.celery.pidbox", "celeryev.1f"
#: What reads a message after its check.
CHANNEL: Any = Connection("memory://").channel()

FEW = settings(max_examples=80, deadline=None)


def accepted(message: bytes, queue: str) -> dict[str, Any] | None:
    """The envelope of a message that passes."""
    envelope = read_envelope(message.decode(errors="replace"))
    try:
        check_envelope(envelope, queue)
    except MessageRejected as error:
        return None if len(str(error)) < 300 else pytest.fail(f"too long: {error}")
    assert isinstance(envelope, dict)
    return envelope


def wrapped(message: Any) -> bytes:
    """A message of Celery's in kombu's envelope."""
    good = hostile.envelope()
    properties = {**good["properties"], **message.properties}
    own = {"headers": message.headers, "properties": properties, "body": message.body}
    return hostile.raw({**good, **own})


@pytest.mark.parametrize(
    "url", ["redis://", "rediss://", "redis+socket:///x", "sentinel://x", "amqp://", "amqps://"]
)
def test_every_connection_of_the_application_checks_its_messages(url: str) -> None:
    connection = app.amqp.Connection(url)
    for checked in (connection, connection.clone(), connection.Pool(1).new()):
        assert checked.get_transport_cls() in _CHECKED.values()


# ---- jobs


def run_as_celery_does(message: bytes) -> None:
    """Read a job that is accepted up to where its task begins."""
    if envelope := accepted(message, JOBS):
        read = CHANNEL.Message(envelope, channel=CHANNEL)
        task = app.tasks[read.headers["task"]]
        request = Request(read, app=app, task=task, hostname="one@host")
        assert request.eta is request.expires is None
        context = Context(request.request_dict)
        context.update(dict.fromkeys(["callbacks"]))
        assert len(pickle.dumps(request.request_dict)) < 200_000


def test_every_job_of_this_project_is_accepted() -> None:
    assert accepted(hostile.raw(hostile.envelope()), JOBS)
    assert accepted(wrapped(_message("process.fulfillment", "PR-1-2-3")), JOBS)
    assert accepted(wrapped(_message("refresh", "fulfillment:PR-1-2-3")), "control")
    for task, args in (("poll", ("fulfillment",)), ("sweep", ()), ("poll.now", ("usage",))):
        assert accepted(wrapped(app.amqp.as_task_v2("9b1f", task, args, {})), "control")


def test_headers_of_an_instrumentation_are_accepted() -> None:
    message = hostile.envelope()
    message["headers"] |= {"traceparent": "00-1-2-01", "headers": {"sentry-trace": "1"}}
    assert accepted(hostile.raw(message), JOBS)


def test_celery_can_read_each_changed_job_that_is_accepted() -> None:
    for message in hostile.jobs():
        run_as_celery_does(message)


@FEW
@given(hostile.messages(hostile.envelope()))
def test_celery_can_read_any_job_that_is_accepted(message: bytes) -> None:
    run_as_celery_does(message)


def test_what_ends_or_holds_a_worker_is_refused() -> None:
    good = hostile.envelope()
    bad: Iterable[tuple[hostile.Path, Any]] = [
        (("content-type",), None),
        (("content-type",), "application/x-python-serialize"),
        (("body",), 5),
        (("headers", "id"), {}),
        (("headers", "task"), "celery.map"),
        (("headers", "eta"), "9999-12-31T23:59:59"),
        (("headers", "compression"), "application/x-gzip"),
        (("headers", "update"), None),
        (("properties",), []),
        (("properties", "delivery_tag"), {}),
        (("properties", "priority"), float("inf")),
        (("properties", "body_encoding"), "rot13"),
    ]
    for path, value in bad:
        assert not accepted(hostile.raw(hostile.put(good, path, value)), JOBS), path
    assert not any(accepted(message, JOBS) for message in hostile.RAW)


# ---- events


def state_of_events() -> Any:
    return State()


def show_as_flower_does(message: bytes) -> None:
    """Take the events of a message that is accepted, as a reader of events does."""
    if envelope := accepted(message, EVENTS):
        read = CHANNEL.Message(envelope, channel=CHANNEL)
        body, state = read.decode(), state_of_events()
        receiver = app.events.Receiver(CHANNEL)
        for event in body if isinstance(body, list) else [body]:
            state.event(receiver.event_from_message(event)[1])
        for worker in state.workers.values():
            assert worker.alive in (True, False)
        json.dumps([task.info() for task in state.tasks.values()], ensure_ascii=False).encode()
        assert receiver.clock.value < 2**62


def test_every_event_of_this_project_is_accepted() -> None:
    assert accepted(hostile.raw(hostile.events()), EVENTS)


def test_a_reader_of_events_can_take_each_changed_event_that_is_accepted() -> None:
    for message in (*hostile.RAW, *map(hostile.raw, hostile.changed(hostile.events()))):
        show_as_flower_does(message)


@FEW
@given(hostile.messages(hostile.events()))
def test_a_reader_of_events_can_take_any_event_that_is_accepted(message: bytes) -> None:
    show_as_flower_does(message)


# ---- remote control


@FEW
@given(hostile.messages(hostile.command()))
def test_a_mailbox_can_read_any_command_that_is_accepted(message: bytes) -> None:
    done = []
    handlers = {"ping": lambda _, **arguments: done.append(arguments)}
    node = Mailbox("celery", type="fanout", clock=Clock()).Node("one@host", handlers=handlers)
    if envelope := accepted(message, COMMANDS):
        read = CHANNEL.Message(envelope, channel=CHANNEL)
        body = {**read.decode(), "reply_to": None}
        node.handle_message(body, read)


def test_a_command_is_refused_that_asks_for_more_than_a_command_may() -> None:
    assert accepted(hostile.raw(hostile.command()), COMMANDS)
    elsewhere = {"exchange": "", "routing_key": "connect-worker:{x}:request:fulfillment:PR-1"}
    for bad in (
        {"method": "no_such"},
        {"pattern": "(a+)+$", "matcher": "pcre"},
        {"reply_to": elsewhere},
        {"destination": "one@host"},
        {"arguments": [1]},
        {"method": "query_task", "arguments": {}},
    ):
        assert not accepted(hostile.raw(hostile.command(**bad)), COMMANDS), bad


def test_no_message_sets_a_clock_so_high_that_its_own_messages_are_refused() -> None:
    clock = Clock()
    assert clock.adjust(7) == 8
    clock.adjust(2**53)
    assert clock.adjust(2**54 - 1) == 2**53 + 2
    event = hostile.put(hostile.events(), ("body", 0, "clock"), clock.forward())
    assert accepted(hostile.raw(event), EVENTS)

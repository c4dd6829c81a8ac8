"""Which messages a process accepts: those that a process of this project sends, and no others.

Everyone who can write to the broker can send anything, and Celery 5.6 and kombu 5.7 read a message
on the assumption that one of them has written it: see transport.py, which applies these rules
before either of them reads anything. The rules name what is accepted, so that a field that Celery
will read in future is refused until it has a rule.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from celery.app.task import Context
from kombu.utils.json import loads

from tasks.app import app

#: Where a job's message carries other messages, which Celery sends when its task ends.
_FOLLOW_UPS: Final = frozenset({"callbacks", "errbacks", "chain", "chord"})

#: A message with one id has less than a kilobyte; a command of remote control has hardly more.
MAX_BYTES: Final = 64 * 1024
#: consumer.py sends events by the dozen, and by the thousand after an outage of the broker.
MAX_EVENT_BYTES: Final = 8 * 1024 * 1024
MAX_LABEL_CHARACTERS: Final = 255
MAX_REPR_CHARACTERS: Final = 4096
#: Objects and lists in each other; more would exceed Python's limit when they are copied or shown.
MAX_LEVELS: Final = 8
#: Of a number. RabbitMQ takes 63 bits, and what counts on from here stays far below.
MAX_NUMBER: Final = 2**53

#: What a job's header may have under the names that Celery reads. This project leaves most of them
#: at the value that means nothing: None, or another one of `_EMPTY`.
_LABEL_HEADERS: Final = frozenset({"lang", "task", "id", "root_id", "parent_id", "origin"})
_REPR_HEADERS: Final = frozenset({"argsrepr", "kwargsrepr"})
_EMPTY_HEADERS: Final = frozenset(
    name
    for name, default in vars(Context).items()
    if not name.startswith("_") and not callable(default)
) - {"headers", "ignore_result"}
_EMPTY: Final[Mapping[str, object]] = {
    "retries": 0,
    "replaced_task_nesting": 0,
    "timelimit": [None, None],
    "stamps": {},
    "stamped_headers": [],
}

_EVENT_TYPES: Final = frozenset(
    {
        *("task-sent", "task-received", "task-started", "task-succeeded", "task-failed"),
        *("task-rejected", "task-revoked", "task-retried"),
        *("worker-online", "worker-heartbeat", "worker-offline"),
    }
)
_EVENT_LABELS: Final = frozenset({"type", "hostname", "uuid", "name", "root_id", "parent_id"})
_EVENT_NUMBERS: Final = frozenset(
    {"timestamp", "utcoffset", "clock", "pid", "freq", "active", "processed", "runtime", "retries"}
)
_EVENT_FLAGS: Final = frozenset({"terminated", "expired"})
#: In this many seconds from 1970 every calendar still has a date.
_MAX_TIMESTAMP: Final = 4e9
_MAX_UTC_OFFSET_HOURS: Final = 26

_COMMAND_FIELDS: Final = frozenset(
    {"method", "arguments", "destination", "pattern", "matcher", "ticket", "reply_to"}
)


class MessageRejected(Exception):  # noqa: N818 - as the project's other errors are named
    """A message that no process of this project has sent."""


def check_message(
    queue: str, *, content: tuple[object, object], headers: object, properties: object, body: bytes
) -> None:
    """Check a message before anything reads it.

    Args:
        queue: Where it was taken from; says what sort of message it has to be.
        content: Its type and its encoding.
        headers: Celery's, not the broker's.
        properties: The broker's.
        body: Without the transport's encoding.

    Raises:
        MessageRejected: With what is wrong with it, in a few words that quote little of it.
    """
    check, longest = _rule_of(queue)
    if content != ("application/json", "utf-8"):
        raise MessageRejected(f"its content is {shown(content[0])} in {shown(content[1])}")
    if len(body) > longest:
        raise MessageRejected(f"its body has {len(body)} bytes, more than {longest}")
    if not isinstance(properties, Mapping) or not _is_shallow(properties):
        raise MessageRejected("its properties are no small object")
    if not (properties.get("priority") is None or _is_number(properties["priority"])):
        raise MessageRejected(f"its priority is {shown(properties['priority'])}")
    fields = {} if headers is None else headers
    if not isinstance(fields, Mapping) or not all(isinstance(name, str) for name in fields):
        raise MessageRejected("its headers are no object")
    # A few bytes may become gigabytes, and nothing of this project is sent compressed.
    if "compression" in fields:
        raise MessageRejected("it is compressed")
    try:
        content_of_body = loads(body.decode("utf-8"))
    except Exception as error:  # noqa: BLE001 - JSON and what kombu adds to it raise many classes
        raise MessageRejected(f"its body can't be read: {type(error).__name__}") from None
    check(fields, content_of_body)


def shown(value: object) -> str:
    """Return a foreign value for an error: the beginning of a text, the type of anything else."""
    return repr(value[:80]) if isinstance(value, str) else type(value).__name__


def max_bytes(queue: str) -> int:
    """Return how long a message in a queue may be, in JSON and with what the transport adds."""
    return 2 * _rule_of(queue)[1]


def is_for_a_task(queue: str) -> bool:
    """Whether a queue has messages for tasks, and not events or remote control."""
    return _rule_of(queue)[0] is _check_task


def is_for_answers(queue: str) -> bool:
    """Whether a queue has the answers of workers to one process that asked."""
    return _rule_of(queue)[0] is _check_reply


# Celery looks a setting up in several mappings, which takes longer than all the rest of a check.
@lru_cache(maxsize=256)
def _rule_of(queue: str) -> tuple[Callable[[Mapping[str, Any], Any], None], int]:
    exchange = app.conf.control_exchange
    if queue.startswith(f"{app.conf.event_queue_prefix}."):
        return _check_events, MAX_EVENT_BYTES
    if queue.endswith(f".reply.{exchange}.pidbox"):
        return _check_reply, MAX_EVENT_BYTES
    if queue.endswith(f".{exchange}.pidbox"):
        return _check_command, MAX_BYTES
    return _check_task, MAX_BYTES


# ---- jobs


def _check_task(headers: Mapping[str, Any], body: Any) -> None:
    task = headers.get("task")
    # Celery's own tasks run what their arguments say.
    if not isinstance(task, str) or task not in app.tasks or task.startswith("celery."):
        raise MessageRejected(f"there is no task {shown(task)}")
    if not is_label(headers.get("id")):
        raise MessageRejected(f"its id is {shown(headers.get('id'))}")
    for name, value in headers.items():
        if not _is_task_header(name, value):
            raise MessageRejected(f"its header {shown(name)} is {shown(value)}")
    if not (isinstance(body, list) and [type(part) for part in body] == [list, dict, dict]):
        raise MessageRejected("its body is no list of arguments, named arguments and options")
    arguments, named, carried = body
    if any(carried.values()) or not carried.keys() <= _FOLLOW_UPS:
        raise MessageRejected(f"{task}: it carries messages to be sent after it")
    accepts = getattr(app.tasks[task], "validates", None)
    if named or len(arguments) != (0 if accepts is None else 1):
        raise MessageRejected(f"{task}: {len(arguments)} arguments and {len(named)} named ones")
    if accepts is not None and not accepts(arguments[0]):
        raise MessageRejected(f"{task}: {shown(arguments[0])} is no argument that it accepts")


def _is_task_header(name: str, value: object) -> bool:
    if name in _LABEL_HEADERS:
        return value is None or is_label(value)
    if name in _REPR_HEADERS:
        return value is None or is_label(value, MAX_REPR_CHARACTERS)
    if name == "ignore_result":
        return value is None or isinstance(value, bool)
    if name in _EMPTY_HEADERS:
        return value is None or value == _EMPTY.get(name)
    # Any other is of an instrumentation, if Celery would not take it for a part of its own.
    return (name == "headers" or not hasattr(Context, name)) and _is_shallow(value)


# ---- events


def _check_events(_: Mapping[str, Any], body: Any) -> None:
    for event in body if isinstance(body, list) else [body]:
        if not isinstance(event, dict):
            raise MessageRejected("an event is no object")
        kind = event.get("type")
        if not isinstance(kind, str) or kind not in _EVENT_TYPES:
            raise MessageRejected(f"there is no event {shown(kind)}")
        required = {"hostname", "timestamp", *(["uuid"] if kind.startswith("task-") else [])}
        if missing := required - event.keys():
            raise MessageRejected(f"an event {kind} has no {min(missing)}")
        for name, value in event.items():
            if not _is_event_field(name, value):
                raise MessageRejected(f"an event {kind} has {shown(value)} as {shown(name)}")


def _is_event_field(name: str, value: object) -> bool:
    if name in _EVENT_LABELS:
        return is_label(value) or (value is None and name not in ("hostname", "uuid"))
    if name == "timestamp":
        return _is_number(value, 0, _MAX_TIMESTAMP)
    if name == "utcoffset":
        return _is_number(value, -_MAX_UTC_OFFSET_HOURS, _MAX_UTC_OFFSET_HOURS)
    if name == "clock":
        return _is_clock(value)
    if name in _EVENT_NUMBERS:
        return _is_number(value, 0) or (value is None and name in ("retries", "runtime"))
    if name in _EVENT_FLAGS:
        return value is None or isinstance(value, bool)
    if name == "loadavg":
        return isinstance(value, list) and len(value) <= 3 and all(map(_is_number, value))
    if name == "signum":
        return value is None or is_label(value) or _is_number(value)
    return value is None or (isinstance(value, str) and _is_unicode(value))


# ---- remote control


def _check_command(headers: Mapping[str, Any], body: Any) -> None:
    # Only a worker gets commands, and has this module already.
    from celery.worker.control import Panel

    _check_clock(headers)
    if not isinstance(body, dict) or not body.keys() <= _COMMAND_FIELDS or not _is_shallow(body):
        raise MessageRejected("it is no command")
    method, arguments = body.get("method"), body.get("arguments") or {}
    if not isinstance(method, str) or method not in Panel.data:
        raise MessageRejected(f"there is no command {shown(method)}")
    if not isinstance(arguments, dict):
        raise MessageRejected(f"the arguments of {method} are {shown(arguments)}")
    try:
        inspect.signature(Panel.data[method]).bind(None, **arguments)
    except TypeError:
        raise MessageRejected(f"the arguments of {method} do not fit") from None
    destination = body.get("destination")
    if destination is not None and not _are_labels(destination):
        raise MessageRejected(f"it is for {shown(destination)}")
    # A regular expression of another process may take for ever; nothing of this project sends one.
    if body.get("pattern") or body.get("matcher"):
        raise MessageRejected("it is for workers by a pattern")
    reply_to = body.get("reply_to")
    if reply_to and not _is_reply_address(reply_to):
        raise MessageRejected("its answer would go to another place than the one for answers")
    if not (body.get("ticket") is None or is_label(body["ticket"])):
        raise MessageRejected(f"its ticket is {shown(body['ticket'])}")


def _is_reply_address(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"exchange", "routing_key"}
        and value["exchange"] == f"reply.{app.conf.control_exchange}.pidbox"
        and is_label(value["routing_key"])
    )


def _check_reply(headers: Mapping[str, Any], body: Any) -> None:
    _check_clock(headers)
    ticket, expires = headers.get("ticket"), headers.get("expires")
    if not is_label(ticket) or not (expires is None or _is_number(expires)):
        raise MessageRejected("it answers no command")
    if not isinstance(body, dict) or not _are_labels(body) or not _is_shallow(body):
        raise MessageRejected("it is no answer of a worker")


def _check_clock(headers: Mapping[str, Any]) -> None:
    clock = headers.get("clock")
    if not (clock is None or _is_clock(clock)):
        raise MessageRejected(f"its clock is {shown(clock)}")


# ---- values


def is_label(value: object, longest: int = MAX_LABEL_CHARACTERS) -> bool:
    """Whether a value is a short text that can be shown and sent as it is."""
    return isinstance(value, str) and len(value) <= longest and value.isprintable()


def _are_labels(values: object) -> bool:
    return isinstance(values, list | dict) and all(map(is_label, values))


def _is_unicode(value: str) -> bool:
    """Whether a text can be shown: one with half of a pair of surrogates can't."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_number(value: object, least: float = -MAX_NUMBER, most: float = MAX_NUMBER) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    # Neither an infinite number nor one that is none lies between the two.
    return least <= value <= most


def _is_clock(value: object) -> bool:
    """Whether a value is a clock's; `Clock` counts on beyond the largest that it takes over."""
    return isinstance(value, int) and 0 <= value < 2 * MAX_NUMBER


def _is_shallow(value: object, levels: int = MAX_LEVELS) -> bool:
    inner: Iterable[object] = ()
    if isinstance(value, Mapping):
        inner = value.values()
    elif isinstance(value, list):
        inner = value
    else:
        return True
    return levels > 0 and all(_is_shallow(item, levels - 1) for item in inner)

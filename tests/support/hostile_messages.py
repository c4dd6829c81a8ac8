"""Messages that nobody should have sent: what anyone can write to the broker."""

from __future__ import annotations

import json
import struct
import zlib
from base64 import b64encode
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Final

from hypothesis import strategies as st

#: An object of an envelope or one that it holds, and where in it.
Path = tuple[str | int, ...]

REQUEST: Final = "PR-5852-1608-0000"


def envelope(**body: Any) -> dict[str, Any]:
    """A message of this project as it lies in Redis, with its body not encoded yet."""
    return {
        "body": [[REQUEST], {}, {}],
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {
            "lang": "py",
            "task": "process.fulfillment",
            "id": f"{REQUEST}.0a1b2c3d",
            "root_id": f"{REQUEST}.0a1b2c3d",
            "retries": 0,
            "argsrepr": f"('{REQUEST}',)",
            "ignore_result": True,
        },
        "properties": {
            "correlation_id": f"{REQUEST}.0a1b2c3d",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "fulfillment"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": "7e1c",
        },
        **body,
    }


def command(method: str = "ping", **fields: Any) -> dict[str, Any]:
    """A command of remote control."""
    body = {
        "method": method,
        "arguments": {},
        "destination": None,
        "pattern": None,
        "matcher": None,
        "ticket": "5f0d",
        "reply_to": {"exchange": "reply.celery.pidbox", "routing_key": "77aa"},
        **fields,
    }
    return {**envelope(body=body), "headers": {"clock": 3, "expires": 0}}


def events() -> dict[str, Any]:
    """Two events of a worker, in one message."""
    common = {"hostname": "one@host", "utcoffset": 0, "pid": 7, "clock": 9, "timestamp": 1.7e9}
    heartbeat = {"type": "worker-heartbeat", "freq": 2.0, "active": 1, "processed": 5}
    load = {"loadavg": [0.1, 0.2, 0.3], "sw_ident": "py-celery", "sw_ver": "5.6.3", "sw_sys": "L"}
    job = {"uuid": "PR-1.0a1b", "type": "task-succeeded", "result": "'approved'", "runtime": 0.2}
    body = [{**common, **heartbeat, **load}, {**common, **job}]
    return {**envelope(body=body), "headers": {"hostname": "one@host"}}


def raw(message: Any) -> bytes:
    """A message as bytes, with its body encoded where it is one that can be."""
    if isinstance(message, dict) and not isinstance(message.get("body", ""), str):
        body = b64encode(json.dumps(message["body"]).encode()).decode()
        message = {**message, "body": body}
    return json.dumps(message).encode()


def _deep(levels: int) -> Any:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


#: In the place of any part of a message.
VALUES: Final[tuple[Any, ...]] = (
    *(None, True, 0, -1, 5, 10**4000, 2**63, 1e308, float("inf"), float("nan")),
    *("", "x", "x" * 100_000, "\ud800", "\x1b[2J\n\0", "9999-12-31T23:59:59+14:00", "rot13"),
    *([], ["a", "b"], {}, {"a": 1}, [None, None, None], _deep(200)),
    {"__type__": "uuid", "__value__": {"no": 1}},
    {"__type__": {}, "__value__": 1},
    {"__type__": "decimal", "__value__": "1e999999"},
)

#: Headers that Celery or kombu read, or that are named like something of theirs.
HEADERS: Final[tuple[tuple[str, Any], ...]] = (
    *(("compression", name) for name in ("application/x-gzip", "bzip2", "none", 5)),
    *((name, [{"task": "poll"}]) for name in ("callbacks", "errbacks", "chain", "chord")),
    *((name, value) for name in ("eta", "expires") for value in ("soon", "", "9999-12-31")),
    *(("eta", 5), ("expires", {}), ("expires", 5)),
    *(("timelimit", "ab"), ("timelimit", 5), ("timelimit", [None, 1])),
    *((name, 5) for name in ("shadow", "group", "stamped_headers", "stamps", "hostname", "meth")),
    *((name, None) for name in ("update", "get", "clear", "__class__", "__dict__", "_children")),
    *((name, True) for name in ("is_eager", "called_directly", "redelivered", "delivery_info")),
    *(("reply_to", {}), ("headers", 5), ("replaced_task_nesting", "x"), ("utc", "no")),
)

BOMB: Final = b64encode(zlib.compress(b"[" * 50_000_000)).decode()

RAW: Final[tuple[bytes, ...]] = (
    *(b"", b"\0", b"{nope", b"5", b"null", b'"text"', b"[]", b"{}", b"\xff\xfe\xff", b"NaN"),
    *(b"[" * 100_000, b'{"a":' * 100_000, b'{"properties": ' + b"9" * 5000 + b"}"),
    b"x" * 20_000_000,
)

#: A message of Celery's first protocol, which has the name of its task in its body.
FIRST_PROTOCOL: Final[dict[str, Any]] = {
    "task": "process.fulfillment",
    "id": "7",
    "args": [REQUEST],
    "kwargs": {},
    "retries": 0,
    "eta": None,
}


def paths(value: Any, at: Path = ()) -> Iterator[Path]:
    """Where in a message something can be replaced."""
    if isinstance(value, dict):
        inner: Any = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    else:
        return
    for key, item in inner:
        yield (*at, key)
        yield from paths(item, (*at, key))


def put(message: Any, path: Path, value: Any) -> Any:
    """A message with a value at a place."""
    changed = deepcopy(message)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


def without(message: Any, path: Path) -> Any:
    """A message without what is at a place."""
    changed = deepcopy(message)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return changed


def changed(message: Any) -> Iterator[Any]:
    """A message with each of its parts replaced by each value, or left out."""
    for path in paths(message):
        yield without(message, path)
        yield from (put(message, path, value) for value in VALUES)


def jobs() -> Iterator[bytes]:
    """Every malformed job: several hundred."""
    yield from RAW
    good = envelope()
    yield from map(raw, changed(good))
    yield from (raw(put(good, ("headers", name), value)) for name, value in HEADERS)
    yield raw({**put(good, ("headers", "compression"), "application/x-gzip"), "body": BOMB})
    old = {**envelope(body=FIRST_PROTOCOL), "headers": {}}
    yield from map(raw, [old, *(put(old, ("body", name), {}) for name in FIRST_PROTOCOL)])
    for task in ("celery.map", "celery.chord_unlock", "celery.backend_cleanup", "no.task"):
        yield raw(put(good, ("headers", "task"), task))


def commands() -> Iterator[bytes]:
    """Every malformed command of remote control, and some that stop or slow a worker."""
    yield from RAW[1:-1]
    yield from map(raw, changed(command()))
    yield raw(command(pattern="(a+)+$", matcher="pcre"))
    yield raw(command(reply_to={"exchange": "", "routing_key": "connect-worker:x"}))
    for method in ("shutdown", "pool_restart", "pool_shrink", "election", "hello", "memdump"):
        yield raw(command(method))
        yield raw(command(method, arguments={"n": 1}))
    for queue in ("control", "fulfillment"):
        yield raw(command("cancel_consumer", arguments={"queue": queue}))


# ---- RabbitMQ, which keeps the properties of a message as bytes


def amqp_properties() -> Iterator[bytes]:
    """Properties that RabbitMQ passes on, and that are none for a client."""
    for flags in (0x8000, 0x4000, 0x0400):
        yield struct.pack(">H", flags) + _short(b"\xff\xfe")
    deep = b"V"
    for _ in range(3000):
        deep = b"F" + _table(deep)
    for value in (b"T" + b"\xff" * 8, deep, b"D\xff\xff\xff\xff\xff", b"V", b"S\0\0\0\1\xff"):
        yield struct.pack(">H", 0x2000) + _table(value)


def _short(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def _table(value: bytes) -> bytes:
    field = _short(b"x") + value
    return struct.pack(">I", len(field)) + field


# ---- at random

#: Anything that JSON has.
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.sampled_from([value for value in VALUES if len(repr(value)) < 1000]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.sampled_from(["__type__", "id"]), inner)
    ),
    max_leaves=12,
)


@st.composite
def messages(draw: st.DrawFn, good: dict[str, Any]) -> bytes:
    """A message with up to three parts replaced by anything, or not even JSON."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary() | st.sampled_from(RAW[:-1]) | anything.map(raw))
    message = good
    for path in draw(st.lists(st.sampled_from(list(paths(good))), min_size=1, max_size=3)):
        try:
            message = put(message, path, draw(anything))
        except (TypeError, KeyError, IndexError):
            # A part before has replaced what this one is a part of.
            continue
    return raw(message)

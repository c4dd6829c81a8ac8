"""Log lines: one an event, text for a terminal and JSON for everything else, and no secrets."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from connect_worker.logger import LogEvent, bind_log
from connect_worker.observability.logging import JsonFormatter, KeyValueFormatter, prepare_handler
from connect_worker.observability.masking import register_scoped_secrets, secret_scope

SECRET = "canary-0123456789"
KEY = f"ApiKey SU-123-456-789:{SECRET}"


@contextmanager
def logging_to(stream: Any, log_format: str = "json") -> Iterator[logging.Logger]:
    """A logger of its own whose prepared handler writes to the stream."""
    log, handler = logging.getLogger("connect_worker.lines"), logging.StreamHandler(stream)
    prepare_handler(handler, log_format)
    log.propagate = False
    log.setLevel(logging.DEBUG)
    log.addHandler(handler)
    try:
        yield log
    finally:
        log.removeHandler(handler)
        # pytest adds its own handlers to a logger that does not propagate, at the next test.
        log.propagate = True


def documents(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def test_a_terminal_gets_text_and_a_pipe_json() -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        handler = logging.StreamHandler(terminal)
        prepare_handler(handler)
        assert isinstance(handler.formatter, KeyValueFormatter)
    os.close(ours)
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as pipe:
        handler = logging.StreamHandler(pipe)
        prepare_handler(handler)
        assert isinstance(handler.formatter, JsonFormatter)
    os.close(reader)


def test_a_handler_without_a_stream_gets_json() -> None:
    handler = logging.NullHandler()
    prepare_handler(handler)
    assert isinstance(handler.formatter, JsonFormatter)


def test_a_json_line_has_the_event_its_facts_and_the_bound_ones(stream: io.StringIO) -> None:
    with logging_to(stream) as log, bind_log(request="PR-1", attempt=2):
        log.info(LogEvent("completed", outcome="approved", seconds=0.5))
    [line] = documents(stream)
    moment = line.pop("time")
    assert moment.endswith("+00:00")
    assert line == {
        "level": "INFO",
        "logger": "connect_worker.lines",
        "event": "completed",
        "request": "PR-1",
        "attempt": 2,
        "outcome": "approved",
        "seconds": 0.5,
    }


def test_a_plain_message_is_the_event_and_extras_are_fields(stream: io.StringIO) -> None:
    with logging_to(stream) as log, bind_log(request="PR-1"):
        log.warning("tenant %s created", "T-1", extra={"tenant": {"id": "T-1", "seats": [1, None]}})
    [line] = documents(stream)
    assert line["event"] == "tenant T-1 created"
    assert line["tenant"] == {"id": "T-1", "seats": [1, None]}
    assert line["request"] == "PR-1"


def test_a_fact_with_the_name_of_a_field_stands_beside_it(stream: io.StringIO) -> None:
    with logging_to(stream) as log:
        log.info(LogEvent("odd", level="high", time=float("inf")))
    [line] = documents(stream)
    assert (line["level"], line["level_"], line["time_"]) == ("INFO", "high", "inf")


@pytest.mark.parametrize("end", ["\n", "\r", "\u2028", "\x85", "\x1b[2J"])
@pytest.mark.parametrize("log_format", ["json", "text"])
def test_what_a_stranger_wrote_can_not_begin_a_line(
    log_format: str, end: str, stream: io.StringIO
) -> None:
    with logging_to(stream, log_format) as log, bind_log(request=f"PR-1{end}forged"):
        log.info("said %s", f"hello{end}2026-01-01 INFO forged")
        log.info(LogEvent("said", text=f"hello{end}forged"))
    assert len(stream.getvalue().splitlines()) == 2
    assert "\x1b" not in stream.getvalue()


def test_a_traceback_is_a_field_of_its_line(stream: io.StringIO) -> None:
    with logging_to(stream) as log:
        try:
            raise ValueError(f"sent {KEY}")
        except ValueError:
            log.exception("failed")
    [line] = documents(stream)
    assert line["exception"].startswith("Traceback (most recent call last)")
    assert line["exception"].endswith("ValueError: sent ApiKey ***")


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_no_part_of_a_line_shows_a_secret(log_format: str, stream: io.StringIO) -> None:
    with logging_to(stream, log_format) as log, bind_log(bound=KEY), secret_scope():
        register_scoped_secrets(['pass"wörd\\'])
        log.info("sent %s", {"Authorization": KEY})
        log.info(LogEvent(f"sent {KEY}", header=KEY, broker=f"redis://:{SECRET}@redis:6379/0"))
        log.info("x", extra={"nested": {KEY: [KEY, {"deep": KEY}]}})
        log.info("they said %s", json.dumps({"value": 'pass"wörd\\'}))
        log.info("they said %r", {"value": 'pass"wörd\\'})
        try:
            raise ValueError('pass"wörd\\')
        except ValueError:
            log.exception("failed")
    assert SECRET not in stream.getvalue()
    assert "wörd" not in stream.getvalue()
    assert "w\\u00f6rd" not in stream.getvalue()


def nested(depth: int) -> Any:
    value: Any = "a secret " + SECRET
    for _ in range(depth):
        value = {"a": [value]}
    return value


@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize("depth", [30, 450, 5_000])
def test_a_value_of_any_depth_can_be_logged(
    stream: io.StringIO, log_format: str, depth: int
) -> None:
    value = nested(depth)
    with logging_to(stream, log_format) as log, secret_scope():
        register_scoped_secrets([SECRET])
        log.info("extra", extra={"document": value})
        log.info(LogEvent("event", document=value))
        log.info("argument %s", value)
        with bind_log(document=value):
            log.info("bound")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4
    for line, name in zip(lines, ("extra", "event", "argument", "bound"), strict=True):
        assert name in line
        assert SECRET not in line


def test_a_message_whose_arguments_do_not_fit_is_still_a_line(stream: io.StringIO) -> None:
    with logging_to(stream) as log:
        log.info("%d requests of %s", SECRET)
    (line,) = documents(stream)
    assert line["event"] == "%d requests of %s (its arguments do not fit: TypeError)"

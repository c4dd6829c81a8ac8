"""Log lines: one an event, text for a terminal and JSON for everything else, and no secrets."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from connect_worker.logger import LogEvent, bind_log
from connect_worker.observability.logging import JsonFormatter, KeyValueFormatter, prepare_handler
from connect_worker.observability.masking import (
    LONGEST_TEXT,
    register_scoped_secrets,
    secret_scope,
)

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


#: They begin a line, command a terminal, or turn the direction of a text.
UNPRINTABLE = [
    "\n",
    "\r",
    "\u2028",
    "\x85",
    "\x1b[2J",
    "\x9b2J",
    "\x7f",
    "\u202e",
    "\u2066",
    "\udc9b",
]
FORGED = "2026-01-01 00:00:00,000 INFO connect_worker forged"


@pytest.mark.parametrize("end", UNPRINTABLE)
@pytest.mark.parametrize("log_format", ["json", "text"])
def test_what_a_stranger_wrote_can_not_begin_a_line(
    log_format: str, end: str, stream: io.StringIO
) -> None:
    with logging_to(stream, log_format) as log, bind_log(request=f"PR-1{end}forged"):
        log.info("said %s", f"hello{end}{FORGED}")
        log.info(LogEvent("said", text=f"hello{end}forged"))
        log.info("more", extra={"document": {f"a{end}": [f"b{end}"]}})
    lines = stream.getvalue().split("\n")
    assert len(lines) == 4
    assert all(map(str.isprintable, lines))
    if log_format == "json":
        assert [line["request"] for line in documents(stream)] == [f"PR-1{end}forged"] * 3
        assert documents(stream)[2]["document"] == {f"a{end}": [f"b{end}"]}


@pytest.mark.parametrize("end", UNPRINTABLE)
def test_no_line_of_a_traceback_looks_like_a_line_of_the_log(end: str, stream: io.StringIO) -> None:
    with logging_to(stream, "text") as log:
        try:
            try:
                raise KeyError(f"first{end}{FORGED}")
            except KeyError as exc:
                raise ValueError(f"second{end}{FORGED}") from exc
        except ValueError as exc:
            exc.add_note(f"a note{end}{FORGED}")
            log.exception("failed", stack_info=True)
    first, *others = stream.getvalue().rstrip("\n").split("\n")
    assert first.endswith(" ERROR connect_worker.lines failed")
    assert all(line.startswith("  ") and line.isprintable() for line in others)
    assert "forged" in "".join(others)
    assert "  Traceback (most recent call last):" in others


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_stream_of_any_encoding_gets_each_line(
    log_format: str, encoding: str, capsys: pytest.CaptureFixture[str]
) -> None:
    written = io.BytesIO()
    with io.TextIOWrapper(written, encoding) as stream, logging_to(stream, log_format) as log:
        log.info("é … 漢 \ud83d", extra={"note": "é … 漢 \udc80"})
        try:
            raise ValueError("é … 漢 \udc80")
        except ValueError:
            log.exception("failed")
        stream.flush()
        lines = written.getvalue().decode(encoding).splitlines()
    # logging writes there what a handler raises.
    assert capsys.readouterr().err == ""
    if log_format == "json":
        (line, failed) = map(json.loads, lines)
        assert (line["event"], line["note"]) == ("é … 漢 \ud83d", "é … 漢 \udc80")
        assert failed["exception"].endswith("ValueError: é … 漢 \udc80")
    else:
        assert len(lines) > 3


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_values_without_a_text_do_not_stop_the_log(
    log_format: str, stream: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    number = 10**5000
    with logging_to(stream, log_format) as log, bind_log(request=Unspeakable(), number=number):
        log.info(LogEvent("said", value=Unspeakable(), number=number))
        log.info(Unspeakable())
        log.info("an argument %s %d", Unspeakable(), number, extra={"number": number})
        try:
            raise Unspeakable
        except Unspeakable:
            log.exception("failed")
    assert capsys.readouterr().err == ""
    assert len([line for line in stream.getvalue().splitlines() if line[:1] != " "]) == 4


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_line_is_bounded_whatever_is_logged(log_format: str, stream: io.StringIO) -> None:
    huge = "x" * 1_000_000
    with logging_to(stream, log_format) as log:
        log.info(LogEvent("said", text=huge, items=[huge] * 3, names=list(range(200_000))))
        try:
            raise ValueError(huge) from ExceptionGroup(huge, [KeyError(huge)] * 5)
        except ValueError:
            log.exception("failed: %s", huge, extra={"document": {"a": [huge] * 5}})
    assert len(stream.getvalue()) < 10 * LONGEST_TEXT
    if log_format == "json":
        (line, other) = documents(stream)
        assert "more characters" in line["text"]
        assert "more characters" in line["names"]
        assert other["exception"].startswith("  | ExceptionGroup: xxx")


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


NOISE = """
import logging, sys, threading, warnings
from connect_worker.observability.logging import log_to_standard_error
from connect_worker.observability.output import report_crashes

report_crashes()
log_to_standard_error(sys.argv[1], logging.INFO)
threads = [threading.Thread(target=print, args=["line", number]) for number in range(20)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print()
print("two\\nlines")
sys.stderr.write("no line break")
sys.stdout.buffer.write("bytes \xe9\\n".encode("latin-1"))
warnings.warn("careful")

class Silent:
    def __str__(self):
        print("printed while a line is written")
        return "text"

logging.info("%s", Silent())
threading.Thread(target=lambda: 1 / 0, name="T").start()
raise RuntimeError("the end")
"""


def noise(log_format: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", NOISE, log_format],
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=60,
    )


def test_all_that_a_process_prints_is_a_line_of_its_json_log() -> None:
    ended = noise("json")
    assert ended.stdout == ""
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    printed = {line["event"]: line["logger"] for line in lines}
    assert {f"line {number}" for number in range(20)} <= set(printed)
    assert printed["two\nlines"] == printed["bytes \\xe9"] == "connect_worker.stdout"
    assert printed["printed while a line is written"] == "connect_worker.stdout"
    assert printed["no line break"] == "connect_worker.stderr"
    assert {line["level"] for line in lines if line["logger"] == "py.warnings"} == {"WARNING"}
    crashes = [(line["event"], line["exception"]) for line in lines if line["level"] == "CRITICAL"]
    assert [event for event, _ in crashes] == ["Exception in T", "Uncaught exception"]
    assert ["ZeroDivisionError" in crashes[0][1], "the end" in crashes[1][1]] == [True, True]
    assert ended.returncode == 1


def test_with_a_text_log_printing_is_printing() -> None:
    ended = noise("text")
    assert "\ntwo\nlines\n" in ended.stdout
    assert " WARNING py.warnings " in ended.stderr
    assert " CRITICAL connect_worker Uncaught exception\n  Traceback" in ended.stderr

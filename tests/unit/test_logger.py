"""The logger: importing it changes nothing, lines carry the bound facts, and no line a key."""

import copy
import io
import json
import logging
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from connect_worker.logger import (
    LogEvent,
    bind_log,
    event_logger,
    function_log,
    log_context,
    logger,
)
from connect_worker.observability.logging import ContextFilter, JsonFormatter, prepare_handler
from connect_worker.observability.masking import (
    mask_secrets,
    register_scoped_secrets,
    secret_scope,
)

SECRET = "SU-123-456-789:0123456789abcdef"
REPOSITORY = Path(__file__).parents[2]


class Lines:
    """A logger of its own, and what its prepared handler has written."""

    def __init__(self, name: str) -> None:
        self.stream = io.StringIO()
        self.log = event_logger(name)
        self.handler = logging.StreamHandler(self.stream)
        prepare_handler(self.handler, "text")

    @property
    def text(self) -> str:
        return self.stream.getvalue()


@pytest.fixture
def lines(request: pytest.FixtureRequest) -> Iterator[Lines]:
    lines = Lines(f"connect_worker.{request.node.name}")
    lines.log.addHandler(lines.handler)
    lines.log.setLevel(logging.DEBUG)
    lines.log.propagate = False
    yield lines
    lines.log.removeHandler(lines.handler)


def test_importing_it_configures_nothing() -> None:
    code = f"""
import logging, sys
sys.path.insert(0, {str(REPOSITORY)!r})
other = logging.getLogger("somebody.else")
import connect_worker.logger as module
print(module.logger.name, module.logger.level, module.logger.handlers, logging.root.handlers,
      other.disabled)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=30
    )

    assert done.stdout.strip() == "connect_worker 0 [] [] False"


def test_it_is_the_logger_that_logging_knows_by_its_name() -> None:
    assert logger is logging.getLogger("connect_worker")


def test_an_event_is_a_name_and_pairs() -> None:
    event = LogEvent("posted", status=200, note="two words", empty="", name="x")

    assert str(event) == "posted status=200 note='two words' empty='' name=x"


def test_a_line_carries_the_bound_facts(lines: Lines) -> None:
    with bind_log(request="PR-1", product="PRD-1"), bind_log(attempt=2):
        lines.log.info(LogEvent("claimed", attempt=3, fence=7))
        lines.log.warning("plain %s", "text")
    lines.log.info("outside")

    first, second, third = lines.text.splitlines()
    assert first.endswith("claimed attempt=3 fence=7 request=PR-1 product=PRD-1")
    assert "INFO connect_worker." in first
    assert second.endswith("plain text request=PR-1 product=PRD-1 attempt=2")
    assert third.endswith(" outside")


def test_facts_end_with_their_block_even_if_it_fails() -> None:
    with pytest.raises(KeyError), bind_log(request="PR-1"):
        raise KeyError
    assert dict(log_context()) == {}


def test_facts_belong_to_their_thread() -> None:
    def work(number: int) -> object:
        with bind_log(request=number):
            return log_context()["request"]

    with bind_log(request="outer"), ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(20))) == list(range(20))
        assert log_context()["request"] == "outer"


def test_a_record_keeps_the_facts_of_where_it_was_made() -> None:
    record = logging.LogRecord("n", logging.INFO, "p", 1, "m", None, None)
    with bind_log(request="PR-1"):
        ContextFilter().filter(record)
    ContextFilter().filter(record)

    assert record.__dict__["facts"] == {"request": "PR-1"}


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: ApiKey {SECRET}",
        f"key={SECRET}",
        f"{{'Authorization': 'ApiKey {SECRET}'}}",
        f"ApiKey%20{SECRET}",
        "apikey 0123456789abcdef",
        f"https://{SECRET}@connect.example.org/",
    ],
)
def test_keys_are_masked(text: str) -> None:
    assert "0123456789abcdef" not in mask_secrets(text)
    assert "***" in mask_secrets(text)


@pytest.mark.parametrize("text", ["", "PR-1234-5678-9012 approved", "user SU-123-456-789 wrote"])
def test_other_text_is_left_alone(text: str) -> None:
    assert mask_secrets(text) == text


def test_no_line_shows_a_key(lines: Lines) -> None:
    lines.log.info("sent %s", {"Authorization": f"ApiKey {SECRET}"})
    lines.log.info(LogEvent("sent", header=f"ApiKey {SECRET}"))
    with bind_log(key=SECRET):
        lines.log.info("bound")
    try:
        raise ValueError(f"bad ApiKey {SECRET}")
    except ValueError:
        lines.log.exception("failed")

    assert "0123456789abcdef" not in lines.text
    assert lines.text.count("***") >= 4
    assert "Traceback" in lines.text


class Watcher(logging.Filter):
    """What a vendor attaches to the SDK's logger: it looks at the message as text, and masks."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def filter(self, record: logging.LogRecord) -> bool:
        self.records.append(record)
        record.msg = re.sub(r"password=\S+", "password=hidden", record.msg)
        return True


def test_a_filter_sees_an_event_as_text_and_its_facts_as_attributes(lines: Lines) -> None:
    watcher = Watcher()
    lines.log.addFilter(watcher)
    lines.log.info(LogEvent("posted", attempts=2, error=ValueError("password=abc"), name="x"))
    lines.log.info("a message of %s", "theirs", extra={"tenant": "TEN-1"})

    event, plain = watcher.records
    assert (event.attempts, event.error, event.name_) == (2, "password=abc", "x")  # type: ignore[attr-defined]
    assert event.args == ()
    assert event.name == lines.log.name
    assert (plain.msg, plain.args) == ("a message of %s", ("theirs",))
    # What the filter has made of the message is what is written.
    assert "posted attempts=2 error='password=hidden name=x" in lines.text
    assert "abc" not in lines.text


def test_what_a_filter_has_changed_is_not_written_as_fields_either(lines: Lines) -> None:
    lines.log.addFilter(Watcher())
    lines.handler.setFormatter(JsonFormatter(lines.stream))
    lines.log.info(LogEvent("posted", error="password=abc"))

    written = json.loads(lines.text)
    assert written["event"] == "posted error='password=hidden"
    assert "abc" not in lines.text


def test_whatever_is_attached_sees_no_secret_in_an_event(lines: Lines) -> None:
    watcher = Watcher()
    lines.log.addFilter(watcher)
    with secret_scope():
        register_scoped_secrets(["canary-of-a-request"])
        lines.log.info(LogEvent(f"sent {SECRET}", error=ValueError("canary-of-a-request")))

    [record] = watcher.records
    assert "0123456789abcdef" not in str(vars(record))
    assert "canary" not in str(vars(record))


def test_an_event_keeps_its_parts_in_a_copy_and_a_pickle() -> None:
    event = LogEvent("posted", status=200)
    for other in (copy.deepcopy(event), pickle.loads(pickle.dumps(event))):
        assert (other, other.name, other.facts) == ("posted status=200", "posted", {"status": 200})


class Failing(logging.Handler):
    """A handler that raises; as a filter, it raises too."""

    def filter(self, record: logging.LogRecord) -> bool:
        raise TypeError(f"expected a string, with the key {SECRET}")


@pytest.mark.parametrize("place", ["filter", "handler", "filter of a handler", "parent's handler"])
def test_a_filter_or_handler_that_raises_costs_no_line_and_ends_nothing(
    lines: Lines, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    failing, parent = Failing(), logging.getLogger("connect_worker")
    lines.log.removeHandler(lines.handler)
    match place:
        case "filter":
            lines.log.addFilter(failing)
        case "handler":
            lines.log.addHandler(failing)
        case "filter of a handler":
            other = logging.StreamHandler(io.StringIO())
            other.addFilter(failing)
            lines.log.addHandler(other)
        case _:
            lines.log.propagate = True
            parent.addHandler(failing)
    lines.log.addHandler(lines.handler)
    try:
        lines.log.info(LogEvent("posted", status=200))
    finally:
        parent.removeHandler(failing)
        for handler in list(lines.log.handlers):
            lines.log.removeHandler(handler)
        lines.log.removeFilter(failing)

    assert lines.text.endswith(" posted status=200\n")
    reported = capsys.readouterr().err
    assert "TypeError: expected a string, with the key ***" in reported
    assert "0123456789abcdef" not in reported


@pytest.mark.parametrize(
    "decorate",
    [function_log, function_log(), function_log(config=None), function_log(custom_logger=logger)],
)
def test_function_log_names_the_function_and_shows_no_value(
    decorate: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def log_in(password: str) -> str:
        """Log in."""
        return f"token of {password}"

    logged = decorate(log_in)

    with caplog.at_level(logging.DEBUG, logger="connect_worker"):
        assert logged(password="hunter2") == "token of hunter2"
        assert logged.__doc__ == "Log in."

    names = [record.getMessage().partition(" ")[0] for record in caplog.records]
    assert names == ["function.called", "function.returned"]
    assert all("log_in" in record.getMessage() for record in caplog.records)
    assert "hunter2" not in caplog.text

"""The logger: importing it changes nothing, lines carry the bound facts, and no line a key."""

import io
import logging
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from connect_worker.logger import LogEvent, bind_log, log_context, logger
from connect_worker.observability.logging import ContextFilter, prepare_handler
from connect_worker.observability.masking import mask_secrets

SECRET = "SU-123-456-789:0123456789abcdef"
REPOSITORY = Path(__file__).parents[2]


class Lines:
    """A logger of its own, and what its prepared handler has written."""

    def __init__(self, name: str) -> None:
        self.stream = io.StringIO()
        self.log = logging.getLogger(name)
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

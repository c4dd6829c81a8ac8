"""Secrets never appear: not in a log, an error, Flower, Redis or what a command prints."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.console_client import serving
from tests.support.fault_stack import FaultStack
from tests.support.processors.careless import NEW_PASSWORD
from tests.support.talkative_run import (
    CANARIES,
    CARELESS,
    CONSOLE_PASSWORD,
    CUSTOMER_PASSWORD,
    Shown,
    order,
    read,
)

pytestmark = [pytest.mark.acceptance]

FORGED = "2026-01-01 00:00:00,000 INFO connect_worker forged"
#: How a line of a text log begins.
STAMP = re.compile(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ ")


def leaks(text: str) -> dict[str, str]:
    """The canaries in a text, each with what stands around the first."""
    found = {canary: text.find(canary) for canary in CANARIES}
    return {c: text[max(0, at - 200) : at + 100] for c, at in found.items() if at >= 0}


def unprintable(text: str) -> set[str]:
    """The characters in a text that a terminal does not only show."""
    return {character for character in text if not character.isprintable() and character != "\n"}


def lines(text: str) -> list[Mapping[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def leaking(texts: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The texts that show a canary."""
    assert all(texts.values())
    return {name: found for name, text in texts.items() if (found := leaks(text))}


def test_no_log_shows_a_secret_at_its_most_talkative_level(shown: Shown) -> None:
    assert shown.logs.keys() == {"worker", "beat", "flower"}
    assert leaking(shown.logs) == {}


def test_no_line_of_a_log_was_forged_or_commands_a_terminal(shown: Shown) -> None:
    for text in shown.logs.values():
        assert not unprintable(text)
        assert not [line for line in text.splitlines() if line.startswith(FORGED[:10])]
    assert "connect_worker forged" in shown.logs["worker"]


def test_no_command_of_an_operator_shows_a_secret(shown: Shown) -> None:
    assert leaking(shown.operator) == {}
    assert not unprintable("".join(shown.operator.values()))
    assert "the vendor's system refused" in shown.operator[f"show {shown.ids['raise']}"]
    assert "is too weak" in shown.operator[f"show {shown.ids['quote']} --json"]


def test_no_process_has_a_secret_in_its_command_line(shown: Shown) -> None:
    # The sandbox stands for Connect, and gets the right key as an option.
    ours = [line for line in shown.processes if "connect_worker.sandbox" not in line]
    assert any("worker@" in line for line in ours)
    assert leaks("\n".join(ours)) == {}


def test_the_log_says_all_the_rest(shown: Shown) -> None:
    said = [str(line["event"]) for line in lines(shown.logs["worker"])]
    assert "logging in with ***" in said
    assert "in a thread: ***" in said
    assert any(line["level"] == "DEBUG" for line in lines(shown.logs["worker"]))
    errors = [str(line.get("error")) for line in lines(shown.logs["worker"])]
    [*_, refused] = [error for error in errors if "the vendor's system refused" in error]
    assert "***" in refused
    assert any("ApiKey ***" in error for error in errors)


def test_each_line_of_a_job_tells_its_request_product_cycle_and_attempt(shown: Shown) -> None:
    request_id = shown.ids["raise"]
    own = ("logging in with ***", "in the processor's library", "job.retry_scheduled", "job.parked")
    said = [line for line in lines(shown.logs["worker"]) if line["event"] in own]
    mine = [line for line in said if line["request"] == request_id]
    assert {line["event"] for line in mine} == set(own)
    assert {line["attempt"] for line in mine} == {1, 2}
    assert {bool(line["product"] and line["cycle"]) for line in said} == {True}


def test_what_celery_says_of_a_job_tells_its_request(shown: Shown) -> None:
    of_tasks = [line for line in lines(shown.logs["worker"]) if line.get("task") is not None]
    about_jobs = [line for line in of_tasks if str(line["task"]).startswith("process.")]
    assert {line["request"] for line in about_jobs} == set(shown.ids.values())
    assert {"poll", "sweep"} <= {line["task"] for line in of_tasks}


def test_every_line_of_a_file_is_json_with_a_time_and_a_level(shown: Shown) -> None:
    for line in [*lines(shown.logs["worker"]), *lines(shown.logs["beat"])]:
        assert {"time", "level", "logger", "event"} <= line.keys()


def test_no_command_that_redis_was_sent_holds_a_secret(shown: Shown) -> None:
    assert len(shown.commands) > 100
    assert leaks("\n".join(shown.commands)) == {}


def test_no_key_in_redis_holds_a_secret(shown: Shown) -> None:
    text = "\n".join(f"{key} {value}" for key, value in shown.keys.items())
    assert "Please choose a stronger one" in text
    assert leaks(text) == {}


def test_no_page_of_flower_shows_a_secret(shown: Shown) -> None:
    assert leaking(shown.flower) == {}
    for task in json.loads(shown.flower["api/tasks"]).values():
        assert not unprintable(f"{task['result']} {task['exception']}")
    assert "the vendor" in shown.flower["task/{task}"]


def test_no_command_of_celery_prints_a_secret(shown: Shown) -> None:
    assert leaking(shown.celery) == {}


def test_an_inquiry_from_the_ledger_leaves_the_password_as_connect_has_it(shown: Shown) -> None:
    assert [done["action"] for done in shown.entries["inquire"]["accepted"]] == ["inquire"]
    password = password_of(shown, "inquire")
    assert password["value"] == CUSTOMER_PASSWORD
    assert password["value_error"] == "Please choose a stronger one"


def test_a_password_that_the_processor_changed_is_posted_by_the_run_that_did(shown: Shown) -> None:
    assert password_of(shown, "inquire-changed")["value"] == NEW_PASSWORD


def password_of(shown: Shown, word: str) -> dict[str, object]:
    [param] = [p for p in shown.documents[word]["asset"]["params"] if p["id"] == "password"]
    return dict(param)


# ---- what a person does while it runs

#: A module whose thread and whose import fail, with an error that quotes the environment.
BROKEN = """
import os, threading
def fail():
    raise RuntimeError(f"{dict(os.environ)} \\x1b[2J\\u202e")
thread = threading.Thread(target=fail, name="a thread")
thread.start()
thread.join()
fail()
"""


def request_file(folder: Path, shown: Shown, word: str) -> Path:
    """The request of a word, as it was when it waited."""
    file = folder / f"{word}.json"
    file.write_text(json.dumps({**shown.documents[word], "status": "pending"}))
    return file


@pytest.mark.slow
def test_a_traceback_in_a_text_log_shows_no_secret_and_forges_no_line(
    stack: FaultStack, shown: Shown
) -> None:
    stack.environment["CONNECT_LOG_FORMAT"] = "text"
    stack.celery("text", "--quiet", "worker", "-l", "debug", "-n", "text@%h", "-c", "2")
    stack.environment["CONNECT_LOG_FORMAT"] = "json"

    def has_traceback() -> bool:
        order(stack, "raise")
        return "\n  RuntimeError: the vendor" in stack.whole_log("text")

    stack.until_soon(has_traceback, "the other worker has logged a traceback")
    text = stack.whole_log("text")
    assert leaks(text) == {}
    assert not unprintable(text)
    assert [line for line in text.splitlines() if not line.startswith("  ")]
    odd = [line for line in text.splitlines() if not STAMP.match(line) and line[:2] != "  "]
    assert odd == []
    assert not [line for line in text.splitlines() if line.startswith(FORGED[:10])]
    assert f"  {FORGED}" in text


@pytest.mark.slow
@pytest.mark.parametrize("word", ["raise", "quote", "inquire-changed"])
@pytest.mark.parametrize("options", [(), ("--verbose",), ("--json",)], ids=" ".join)
def test_try_shows_no_secret(
    stack: FaultStack, shown: Shown, tmp_path: Path, word: str, options: tuple[str, ...]
) -> None:
    record = tmp_path / "record.json"
    said = read(
        stack,
        "try",
        str(CARELESS),
        *("--file", str(request_file(tmp_path, shown, word))),
        *("--record", str(record)),
        *options,
    )
    for text in (said, record.read_text()):
        assert leaks(text) == {}
        assert not unprintable(text)
        assert not [line for line in text.splitlines() if line.startswith(FORGED[:10])]
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    if options == ("--verbose",):
        assert "logging in with ***" in said
    if options == ("--verbose",) and word == "raise":
        assert "\n  RuntimeError: the vendor's system refused" in said
        assert f"\n  {FORGED}" in said
    if options == ("--json",):
        assert json.loads(said[said.index("{") :])["request"] == shown.ids[word]


@pytest.mark.slow
def test_no_other_command_shows_a_secret(stack: FaultStack, shown: Shown) -> None:
    commands: list[tuple[str, ...]] = [
        ("status",),
        ("status", "--json"),
        ("doctor",),
        ("doctor", "--json"),
        ("metrics", "--once"),
        ("list", "--state", "all", "--json"),
        *(("show", shown.ids[word]) for word in ("quote", "inquire-changed")),
        *(("show", shown.ids[word], "--json") for word in ("raise", "inquire-changed")),
        # Connect's answer is of no interest here: the sandbox has webhooks, and lists them.
        ("webhook", "list"),
        ("worker", "--help"),
    ]
    said = {" ".join(words): read(stack, *words) for words in commands}
    assert leaking(said) == {}
    assert not unprintable("".join(said.values()))
    assert '"remedy"' in said["doctor --json"]


@pytest.mark.slow
def test_replay_shows_no_secret(stack: FaultStack, shown: Shown) -> None:
    said = read(stack, "replay", str(CARELESS), "--last", "5")
    assert "decided requests" in said
    assert leaks(said) == {}
    assert not unprintable(said)


@pytest.mark.slow
def test_an_error_of_a_module_shows_no_secret(stack: FaultStack, tmp_path: Path) -> None:
    module = tmp_path / "broken.py"
    module.write_text(BROKEN)
    file = tmp_path / "request.json"
    file.write_text('{"id": "PR-1"}')
    commands: list[tuple[str, ...]] = [
        ("try", str(module), "PR-1"),
        ("try", str(module), "--file", str(file), "--verbose"),
        ("replay", str(module)),
        ("doctor",),
        ("dev", str(module)),
        ("worker", "-P", "solo"),
    ]
    for words in commands:
        said = read(stack, *words, CONNECT_PROCESSORS=str(module))
        assert "Exception in a thread" in said, words
        assert "RuntimeError" in said, words
        assert leaks(said) == {}, words
        assert not unprintable(said), words


@pytest.mark.slow
def test_no_page_of_the_console_shows_a_secret(
    stack: FaultStack, shown: Shown, tmp_path: Path
) -> None:
    account = {name: stack.environment[name] for name in ("CONNECT_API_URL", "CONNECT_API_KEY")}
    with serving(
        stack.redis_url, tmp_path, **account, CONNECT_CONSOLE_PASSWORD=CONSOLE_PASSWORD
    ) as served:
        operator = served.visitor()
        operator.sign_in(password=CONSOLE_PASSWORD)
        pages = {path: operator.page(path) for path in ("/", "/requests?state=all")}
        for word, name in shown.ids.items():
            pages[word] = operator.page(f"/request?kind=fulfillment&id={name}")
        assert leaking(pages) == {}
        assert {name for name, page in pages.items() if unprintable(page)} == set()
        assert "is too weak" in pages["quote"]
        assert leaks(served.log()) == {}


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_every_command_prints_in_any_encoding(
    stack: FaultStack, shown: Shown, tmp_path: Path, encoding: str
) -> None:
    name = shown.ids["quote"]
    file = str(request_file(tmp_path, shown, "quote"))
    commands: list[tuple[str, ...]] = [
        ("--help",),
        ("status",),
        ("list", "--state", "all"),
        ("show", name),
        ("doctor",),
        ("try", str(CARELESS), "--file", file, "--verbose"),
    ]
    for words in commands:
        said = read(stack, *words, PYTHONIOENCODING=encoding)
        assert "Traceback (most recent call last)" not in said or "--verbose" in words, said
        # click writes UTF-8 to an ASCII terminal; so does its help.
        assert encoding != "ascii" or said.isascii() or words == ("--help",)
    shown_here = read(stack, "show", name, "--json", PYTHONIOENCODING=encoding)
    assert json.loads(shown_here) == json.loads(read(stack, "show", name, "--json"))


@pytest.mark.slow
def test_a_failed_test_of_a_user_shows_no_secret(stack: FaultStack, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    (tmp_path / "test_orders.py").write_text("def test_it(worker): worker('./broken.py')\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no"],
        cwd=tmp_path,
        env=stack.environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "the end of its log" in done.stdout
    assert "RuntimeError" in done.stdout
    assert leaks(done.stdout + done.stderr) == {}
    assert not unprintable(done.stdout + done.stderr)

"""Secrets never appear: not in a log, an error, Flower, Redis or what a command prints."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from tests.support.processors.careless import NEW_PASSWORD
from tests.support.talkative_run import CANARIES, CUSTOMER_PASSWORD, Shown

pytestmark = [pytest.mark.acceptance]


def leaks(text: str) -> dict[str, str]:
    """The canaries in a text, each with what stands around the first."""
    found = {canary: text.find(canary) for canary in CANARIES}
    return {c: text[max(0, at - 200) : at + 100] for c, at in found.items() if at >= 0}


def lines(text: str) -> list[Mapping[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def leaking(texts: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The texts that show a canary."""
    assert all(texts.values())
    return {name: found for name, text in texts.items() if (found := leaks(text))}


def test_no_log_shows_a_secret_at_its_most_talkative_level(shown: Shown) -> None:
    assert shown.logs.keys() == {"worker", "beat", "flower"}
    assert leaking(shown.logs) == {}


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

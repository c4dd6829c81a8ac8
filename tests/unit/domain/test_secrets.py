"""Values of password parameters: found wherever a request has them, and stored nowhere."""

from __future__ import annotations

import time
from typing import Any

import pytest

from connect_worker.domain.outcomes import Approve, Fail, Inquire, Outcome, Skip
from connect_worker.domain.secrets import (
    passwords_in,
    passwords_set_by,
    values_in,
    without_passwords,
)

PASSWORD = {"id": "pw", "type": "password", "value": "one", "value_error": "too short"}
TEXT = {"id": "email", "type": "text", "value": "a@b.example"}
STRUCTURED = {"id": "creds", "type": "password", "structured_value": {"a": ["two", 3]}}
DOCUMENT: dict[str, Any] = {
    "id": "PR-1",
    "asset": {
        "params": [TEXT, PASSWORD],
        "items": [{"params": [STRUCTURED]}],
        "configuration": {"params": [{"id": "x", "type": "password", "value": None}]},
    },
}


def test_every_password_of_a_request_is_found() -> None:
    assert list(passwords_in(DOCUMENT)) == ["one", "two"]
    assert list(passwords_in(None)) == []


def test_an_inquiry_is_stored_without_them() -> None:
    asked = Inquire("please", [{"id": "pw", "value": "one", "value_error": "too short"}, TEXT])
    stored = without_passwords(asked, DOCUMENT)
    assert stored == Inquire("please", [{"id": "pw", "value_error": "too short"}, TEXT])
    assert asked.params[0]["value"] == "one"


SECRET = "canary-0123456789"
WITH_SECRET: dict[str, Any] = {"params": [{"id": "pw", "type": "password", "value": SECRET}]}


@pytest.mark.parametrize(
    ("decided", "stored"),
    [
        (Fail(f"{SECRET} is taken"), Fail("*** is taken")),
        (Skip(f"wait for {SECRET}"), Skip("wait for ***")),
        (
            Inquire(f"not {SECRET}", [{"id": "name", "value_error": f"never {SECRET}"}]),
            Inquire("not ***", [{"id": "name", "value_error": "never ***"}]),
        ),
        (
            # The processor has chosen another one.
            Inquire("use new-password", [{"id": "pw", "value": "new-password", "value_error": 7}]),
            Inquire("use ***", [{"id": "pw", "value_error": 7}]),
        ),
        (
            # The id of a parameter is not a text for people.
            Inquire("x", [{"id": SECRET, "value_error": None}]),
            Inquire("x", [{"id": SECRET, "value_error": None}]),
        ),
        (Fail("a" * 100_000 + SECRET), Fail("a" * 100_000 + "***")),
    ],
)
def test_a_text_that_quotes_a_password_is_stored_without_it(
    decided: Outcome, stored: Outcome
) -> None:
    assert without_passwords(decided, WITH_SECRET) == stored


def test_other_decisions_are_stored_as_they_are() -> None:
    assert without_passwords(Approve(tile="x"), DOCUMENT) == Approve(tile="x")


def test_a_password_that_the_processor_changed_is_known_as_one() -> None:
    asked = Inquire("please", [{"id": "pw", "value": "three"}, TEXT])
    assert list(passwords_set_by(asked, DOCUMENT)) == ["three"]
    assert list(passwords_set_by(Approve(tile="x"), DOCUMENT)) == []


def nested(depth: int, inner: Any) -> Any:
    for _ in range(depth):
        inner = [inner]
    return inner


def cost(work: Any) -> float:
    """The processor time of the fastest of several runs: other processes do not count."""
    taken = []
    for _ in range(3):
        began = time.thread_time()
        work()
        taken.append(time.thread_time() - began)
    return min(taken)


@pytest.mark.parametrize("find", [passwords_in, values_in])
def test_a_deep_value_costs_no_more_than_a_flat_one(find: Any) -> None:
    def work(depth: int) -> Any:
        value = nested(depth, [f"text {number}" for number in range(20_000)])
        document = {"params": [{"id": "pw", "type": "password", "structured_value": value}]}
        return lambda: len(list(find(document)))

    assert work(800)() == 20_000
    # Nested generators pass each text through all of them: eighty times the time, and more.
    assert cost(work(800)) < 3 * cost(work(10)) + 0.01


@pytest.mark.parametrize("find", [passwords_in, values_in])
def test_a_document_may_be_deeper_than_pythons_stack(find: Any) -> None:
    deep = nested(10_000, "hidden")
    param = {"id": "pw", "type": "password", "structured_value": deep}
    assert list(find(nested(10_000, {"params": [param]}))) == ["hidden"]
    assert list(find(nested(10_000, {"params": ["none", {"value": nested(9, 7)}]}))) == []

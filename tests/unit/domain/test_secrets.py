"""Values of password parameters: found wherever a request has them, and stored nowhere."""

from __future__ import annotations

from typing import Any

from connect_worker.domain.outcomes import Approve, Inquire
from connect_worker.domain.secrets import given_passwords, passwords_in, without_passwords

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


def test_other_decisions_are_stored_as_they_are() -> None:
    assert without_passwords(Approve(tile="x"), DOCUMENT) == Approve(tile="x")


def test_a_password_that_the_processor_changed_is_known_as_one() -> None:
    asked = Inquire("please", [{"id": "pw", "value": "three"}, TEXT])
    assert list(given_passwords(asked, DOCUMENT)) == ["three"]
    assert list(given_passwords(Approve(tile="x"), DOCUMENT)) == []

"""Every refusal of Connect as the exception that says what the caller can do."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest

from connect_worker.api.responses import MAX_PARAM_CHARACTERS
from connect_worker.exceptions import (
    ApiError,
    BadRequest,
    Forbidden,
    InvalidDocument,
    InvalidResponse,
    NotFound,
    Permanent,
    RateLimited,
    Retryable,
    ServerFault,
    Unauthorized,
)
from tests.support.scripted_server import CANARY, KEY, Reply, error_document, serving

BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    402: BadRequest,
    403: Forbidden,
    404: NotFound,
    405: BadRequest,
    409: BadRequest,
    415: BadRequest,
    422: BadRequest,
    429: RateLimited,
    500: ServerFault,
    501: ServerFault,
    502: ServerFault,
    503: ServerFault,
    504: ServerFault,
    599: ServerFault,
}


def refusal(reply: Reply) -> ApiError:
    """The exception that a refused POST becomes."""
    with serving(reply) as server, pytest.raises(ApiError) as raised:
        server.client().post("requests/PR-1/approve", {})
    return raised.value


@pytest.mark.parametrize("status", BY_STATUS)
def test_each_status_is_its_exception_with_what_connect_said(status: int) -> None:
    error = refusal(Reply(status, error_document("one", "two", code="VAL_002", field="email")))

    assert type(error) is BY_STATUS[status]
    assert (error.status, error.error_code) == (status, "VAL_002")
    assert (error.errors, error.params) == (["one", "two"], {"field": "email"})
    assert (error.method, error.path) == ("POST", "requests/PR-1/approve")
    assert str(error) == f"POST requests/PR-1/approve answered {status}: VAL_002: one; two"
    assert error.error.error_code == "VAL_002"


@pytest.mark.parametrize("status", BY_STATUS)
def test_an_exception_says_whether_to_try_again(status: int) -> None:
    error = refusal(Reply(status))
    is_permanent = BY_STATUS[status] in (BadRequest, NotFound)
    assert isinstance(error, Permanent) == is_permanent
    assert isinstance(error, Retryable) != is_permanent


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        (b"", []),
        (b"<html>Bad gateway</html>", ["<html>Bad gateway</html>"]),
        (b'{"error_code": "VAL', ['{"error_code": "VAL']),
        (["a list"], ["['a list']"]),
        ("a text", ["a text"]),
        ({"detail": "Not found."}, ["Not found."]),
        ({"email": ["is required"]}, ["{'email': ['is required']}"]),
        ({"errors": "one text"}, ["one text"]),
        ({"errors": [{"a": 1}]}, ["{'a': 1}"]),
        ({"errors": None}, ["{'errors': None}"]),
        ({"error_code": "VAL_001"}, []),
        ({"errors": ["x"], "params": ["no", "object"]}, ["x"]),
        ({"errors": ["x"], "params": None, "error_code": None}, ["x"]),
        ({}, []),
    ],
)
def test_a_body_that_is_no_error_document_is_reported_as_it_is(
    body: Any, errors: list[str]
) -> None:
    error = refusal(Reply(400, body))
    assert type(error) is BadRequest
    assert error.errors == errors
    assert error.params == {}
    assert "answered 400" in str(error)


def test_a_page_instead_of_an_error_is_cut() -> None:
    error = refusal(Reply(502, b"<html>" + b"x" * 100_000))
    assert len(str(error)) < 2500


NUMBER = b"9" * 5_000
DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize("body", [NUMBER, b'{"errors": [%s]}' % NUMBER, DEEP])
@pytest.mark.parametrize("status", [400, 503])
def test_json_that_python_cannot_read_is_reported_as_text(status: int, body: bytes) -> None:
    error = refusal(Reply(status, body))
    assert type(error) is BY_STATUS[status]
    assert error.errors == [body[:500].decode()]


def test_a_number_that_python_cannot_read_stays_a_text() -> None:
    with serving(Reply(200, b'{"a": %s, "b": -12}' % NUMBER)) as server:
        assert server.client().get("requests/PR-1") == {"a": NUMBER.decode(), "b": -12}


def test_a_document_of_too_many_levels_is_named() -> None:
    with serving(Reply(200, DEEP)) as server:
        with pytest.raises(InvalidDocument, match=r"requests/PR-1 can't be loaded: .* levels"):
            server.client().get("requests/PR-1")
        # Whether a change was made has to be looked up: see `poster.UNCLEAR`.
        with pytest.raises(InvalidResponse):
            server.client().post("requests/PR-1/approve", {})


def test_a_document_that_is_no_json_is_the_callers_error() -> None:
    with serving(Reply(200, {})) as server:
        with pytest.raises(InvalidDocument, match="PUT requests/PR-1 can't be loaded: no JSON"):
            server.client().put("requests/PR-1", {"value": float("nan")})
        assert server.calls == []


@pytest.mark.parametrize("depth", [21, 500, 900])
@pytest.mark.parametrize(
    "document", [{"errors": ["x"], "params": "deep"}, {"errors": ["deep"]}, {"detail": "deep"}]
)
def test_deep_facts_of_an_error_are_cut(depth: int, document: dict[str, Any]) -> None:
    text = json.dumps(document).replace('"deep"', '{"a":' * depth + "1" + "}" * depth)
    error = refusal(Reply(400, text.encode()))
    assert type(error) is BadRequest
    assert len(error.errors) == 1
    assert pickle.loads(pickle.dumps(error)).params == error.params
    assert len(repr(error.params)) < 1_000


def test_of_many_errors_the_first_ones_are_reported() -> None:
    document = error_document(*(f"error {n}" for n in range(50_000)))
    document["params"] = {f"name {n}": ["x"] * 200 for n in range(5_000)}
    error = refusal(Reply(400, document))
    assert error.errors == [*(f"error {n}" for n in range(20)), "… (49980 more)"]
    assert list(error.params) == [f"name {n}" for n in range(100)]
    assert error.params["name 0"] == ["x"] * 100


def test_the_names_of_params_are_masked_as_their_values() -> None:
    document = error_document("x", left="alone")
    document["params"][f"key {KEY}"] = {KEY: KEY}
    error = refusal(Reply(400, document))
    assert CANARY not in repr(error.params)
    assert error.params["left"] == "alone"


@pytest.mark.parametrize(
    "params",
    [
        {f"{n}": {f"{n}": ["x" * 100] * 50 for n in range(50)} for n in range(50)},
        {f"{n}": "x" * 50_000 for n in range(50)},
        {f"{n}" * 20_000: n for n in range(50)},
        [[["x"] * 100] * 100] * 100,
    ],
    ids=["a tree", "long texts", "long names", "lists"],
)
def test_params_of_any_shape_are_cut_to_what_a_person_reads(params: Any) -> None:
    error = refusal(Reply(400, {"error_code": "X", "errors": ["x"], "params": {"all": params}}))
    assert error.error_code == "X"
    assert len(json.dumps(error.params)) < 6 * MAX_PARAM_CHARACTERS


# ---- the pause that a 429 asks for


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        ("1.5", 1.5),
        (" 12 ", 12.0),
        # A pause of a year, or one that no clock can hold, is one of a day.
        ("31536000", 86_400.0),
        ("9" * 400, 86_400.0),
        *((text, None) for text in ("", "soon", "-5", "nan", "inf", "1e9", "Mon, 99 Foo")),
        ("Mon, 01 Jan 2020 00:00:00 +9999999999999999999", None),
        ("Mon, 01 Jan 2020 00:00:00 +" + "9" * 5_000, 0.0),
    ],
)
def test_retry_after_is_a_number_of_seconds(text: str, seconds: float | None) -> None:
    error = refusal(Reply(429, error_document("slow down"), {"Retry-After": text}))
    assert isinstance(error, RateLimited)
    assert error.retry_after_seconds == seconds


@pytest.mark.parametrize(("ahead", "seconds"), [(60, 60), (-60, 0), (10**8, 86_400)])
@pytest.mark.parametrize("zone", ["GMT", "-0000", "+0300"])
def test_retry_after_may_be_a_date(ahead: float, seconds: float, zone: str) -> None:
    moment = datetime.now(UTC) + timedelta(seconds=ahead)
    text = {
        "GMT": format_datetime(moment, usegmt=True),
        "-0000": format_datetime(moment.replace(tzinfo=None)),
        "+0300": format_datetime(moment.astimezone(timezone(timedelta(hours=3)))),
    }[zone]
    error = refusal(Reply(429, headers={"Retry-After": text}))
    assert isinstance(error, RateLimited)
    assert error.retry_after_seconds == pytest.approx(seconds, abs=5)


def test_a_429_that_names_no_time_says_so() -> None:
    error = refusal(Reply(429))
    assert isinstance(error, RateLimited)
    assert error.retry_after_seconds is None

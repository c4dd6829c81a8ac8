"""The receiver's parts without a socket: tokens, places, ids in bodies, lines in a flood."""

from __future__ import annotations

import base64
import time
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_worker.domain.kinds import OBJECT_CLASSES, ChangeHint, find_id, is_hint
from connect_worker.domain.states import RequestKind
from connect_worker.observability.logging import MAX_LINES_PER_SECOND, LogThrottle
from connect_worker.sandbox.webhook import sign
from connect_worker.webhook.server import parse_path, path_for
from connect_worker.webhook.signature import DAY_SECONDS, SignatureError, verify
from tests.support.webhook_stack import NOT_CLAIMS, SECRET, signed_text

PR = "PR-5852-1608-0000"


def token(**claims: Any) -> str:
    return jwt.encode(claims, SECRET, algorithm="HS256")


def check(text: str) -> Any:
    return verify(f"Bearer {text}", SECRET, now=time.time())


def test_the_sandbox_signs_as_the_library_does() -> None:
    claims = {"iat": 1, "jti": "a"}
    assert jwt.decode(
        sign(claims, SECRET), SECRET, algorithms=["HS256"], options={"verify_iat": False}
    )


def test_a_token_without_any_claim_is_taken_and_remembered_for_a_day() -> None:
    assert check(token()).remember_seconds >= DAY_SECONDS


def test_a_notification_is_remembered_until_its_token_has_expired() -> None:
    found = check(token(exp=int(time.time()) + 600)).remember_seconds
    assert 600 < found < 800
    assert check(token(exp=2**40)).remember_seconds == 7 * DAY_SECONDS


def test_clocks_may_be_a_minute_apart() -> None:
    assert check(token(iat=int(time.time()) + 40, exp=int(time.time()) - 40))


def test_a_token_written_by_hand_is_as_good_as_the_librarys() -> None:
    assert check(signed_text(f'{{"exp": {time.time() + 60}, "jti": "a"}}')).token_id == "a"


@pytest.mark.parametrize("claims", NOT_CLAIMS, ids=range(len(NOT_CLAIMS)))
def test_a_claim_that_is_no_time_or_no_text_is_refused(claims: str) -> None:
    with pytest.raises(SignatureError):
        check(signed_text(claims))


@pytest.mark.parametrize(
    "header",
    [
        *("[]", "5", "", '{"alg": ["HS256"]}', '{"alg": {}}', '{"alg": "HS256", "kid": 5}'),
        *('{"alg": "HS256", "b64": false}', '{"alg": "HS256", "crit": ["b64"]}', '{"alg": "no"}'),
    ],
)
def test_a_header_that_is_none_is_refused(header: str) -> None:
    with pytest.raises(SignatureError):
        check(signed_text("{}", header))


@given(st.text(st.characters(max_codepoint=255), max_size=300) | st.from_regex(r"[\w.-]{1,300}"))
def test_whatever_stands_for_a_token_is_refused(text: str) -> None:
    with pytest.raises(SignatureError):
        check(text)


def test_a_signature_that_is_written_otherwise_is_the_same_notification() -> None:
    """The last character of a signature has two bits that nobody reads."""
    text = token(iat=int(time.time()))
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = text[:-1] + letters[letters.index(text[-1]) ^ 1]
    assert base64.urlsafe_b64decode(text.rpartition(".")[2] + "=") == base64.urlsafe_b64decode(
        other.rpartition(".")[2] + "="
    )
    try:
        again = check(other)
    except SignatureError:
        return
    assert again.digest(b"{}") == check(text).digest(b"{}")


def test_a_name_tells_notifications_apart_and_without_one_the_body_does() -> None:
    named, unnamed = check(token(jti="one")), check(token(iat=int(time.time())))
    assert named.digest(b"a") == named.digest(b"b")
    assert named.digest(b"a") != check(token(jti="two")).digest(b"a")
    assert unnamed.digest(b"a") != unnamed.digest(b"b")
    assert unnamed.digest(b"a") == unnamed.digest(b"a")


@pytest.mark.parametrize("account", ["", "eu"])
@pytest.mark.parametrize("kind", RequestKind)
def test_a_place_is_read_as_it_was_written(account: str, kind: RequestKind) -> None:
    place = path_for(account, kind)
    assert parse_path(place, {account}) == (account, kind, "")
    assert parse_path(f"/prefix{place}/", {account}) == (account, kind, "")


def test_another_account_or_class_has_no_place() -> None:
    assert parse_path("/us/usage_file", {"eu"}) is None
    assert parse_path("/usage_file", {"eu"}) is None
    assert parse_path("/billing_request", {""}) is None
    assert parse_path("/", {""}) is None


@pytest.mark.parametrize(
    "document",
    [
        {"id": PR},
        {"object": {"id": PR, "asset": {"id": "AS-1"}}},
        {"request_id": PR, "id": "NT-1"},
        {"data": {"request": PR}},
        {"api_url": f"https://api.example/public/v1/requests/{PR}"},
        {"api_url": f"https://api.example/public/v1/requests/{PR}/"},
        {"other": {"parent": "PR-0000"}, "id": PR},
    ],
)
def test_an_id_is_found_by_its_form(document: Any) -> None:
    assert find_id(RequestKind.FULFILLMENT, document) == PR


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"id": "TCR-000-000-000"},
        {"id": f"{PR})&eq(status,approved"},
        {"id": f"{PR}\n"},
        {"id": "PR-" + "1" * 2000},
        {"id": 5, "data": [PR]},
        {"api_url": "https://api.example/public/v1/requests?in(id,(PR-1,PR-2))"},
    ],
)
def test_what_is_no_id_is_none(document: Any) -> None:
    assert find_id(RequestKind.FULFILLMENT, document) == ""


def test_a_listing_is_named_without_its_period() -> None:
    assert find_id(RequestKind.USAGE, {"id": "LST-066-644-910"}) == "LST-066-644-910"
    assert is_hint("usage:LST-066-644-910")
    assert not is_hint("usage:LST-066-644-910@2026-11")
    assert not is_hint(5)
    assert not is_hint("fulfillment:PR-1:2")


@pytest.mark.parametrize("kind", RequestKind)
def test_a_hint_is_read_as_it_was_written(kind: RequestKind) -> None:
    assert ChangeHint.parse(str(ChangeHint(kind))) == ChangeHint(kind)
    assert ChangeHint(RequestKind.FULFILLMENT, PR).whole == ChangeHint(RequestKind.FULFILLMENT)
    assert ChangeHint.parse(f"fulfillment:{PR}") == ChangeHint(RequestKind.FULFILLMENT, PR)
    assert kind in OBJECT_CLASSES


def test_a_flood_is_reported_in_sums() -> None:
    now = [0.0]
    throttle = LogThrottle(clock=lambda: now[0])
    allowed = [throttle.allow() for _ in range(500)]
    assert allowed == [0] * MAX_LINES_PER_SECOND + [None] * (500 - MAX_LINES_PER_SECOND)
    now[0] = 1.0
    assert throttle.allow() == 500 - MAX_LINES_PER_SECOND
    assert throttle.allow() == 0

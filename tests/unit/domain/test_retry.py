"""How long to wait after an error, and whose error it is."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from connect_worker.domain.retry import (
    FAILURE_THRESHOLD,
    MAX_BREAKER_SECONDS,
    MIN_BREAKER_SECONDS,
    RATE_LIMIT_SECONDS,
    RATE_LIMITED_REASON,
    SPREAD_SECONDS,
    AccountError,
    RetryPolicy,
    as_account_paused,
    cause_of,
    classify_account_error,
)
from connect_worker.exceptions import (
    AccountPaused,
    ApiError,
    BadRequest,
    ConnectionFailed,
    DecryptionKeyMissing,
    FileCreationError,
    FileRetrievalError,
    Forbidden,
    InvalidDecision,
    InvalidResponse,
    LeaseLost,
    NotFound,
    RateLimited,
    ServerFault,
    Unauthorized,
)

SECONDS = st.floats(0.01, 10_000)
POLICY = RetryPolicy(max_attempts=8, base_seconds=5, max_seconds=900)


class Fixed(Random):
    """A dice that always falls the same way."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def random(self) -> float:
        return self.value


@given(st.integers(-1, 10**6), SECONDS, SECONDS, st.randoms())
@hypothesis_settings(max_examples=100)
def test_a_wait_is_between_half_and_the_whole_of_its_ceiling(
    failures: int, base: float, most: float, rng: Random
) -> None:
    policy = RetryPolicy(max_attempts=8, base_seconds=base, max_seconds=most)
    ceiling = min(most, base * 2.0 ** min(max(failures, 1) - 1, 32))
    assert ceiling / 2 <= policy.delay(failures, rng) <= ceiling <= most


@given(SECONDS, SECONDS)
@hypothesis_settings(max_examples=50)
def test_waits_grow_until_the_longest(base: float, most: float) -> None:
    policy = RetryPolicy(max_attempts=8, base_seconds=base, max_seconds=most)
    for dice in (Fixed(0.0), Fixed(0.999)):
        waits = [policy.delay(failures, dice) for failures in range(1, 60)]
        assert waits == sorted(waits)
    pauses = [policy.breaker_seconds(failures) for failures in range(1, 60)]
    assert pauses == sorted(pauses)
    assert max(pauses) <= MAX_BREAKER_SECONDS


def test_the_wait_doubles() -> None:
    policy = RetryPolicy(max_attempts=8, base_seconds=5, max_seconds=900)
    waits = [policy.delay(failures, Fixed(1.0)) for failures in range(1, 11)]
    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]
    assert [policy.breaker_seconds(failures) for failures in (1, 2, 7, 8)] == [5, 10, 300, 300]


def test_requests_that_failed_together_do_not_come_back_together() -> None:
    waits = {round(POLICY.delay(3), 3) for _ in range(50)}
    assert len(waits) > 30


def refused(kind: type[ApiError], status: int, **facts: Any) -> ApiError:
    return kind(status=status, method="GET", path="requests", **facts)


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("named", "asked"),
    [(None, RATE_LIMIT_SECONDS), (7.0, 7.0), (0.0, MIN_BREAKER_SECONDS), (600.0, 600.0)],
)
def test_a_429_is_a_pause_as_long_as_connect_asks_and_no_failure(
    named: float | None, asked: float
) -> None:
    error = refused(RateLimited, 429, retry_after_seconds=named)
    assert classify_account_error(error) == AccountError(
        RATE_LIMITED_REASON, asked, failure_threshold=0
    )


@pytest.mark.parametrize(("kind", "status"), [(Unauthorized, 401), (Forbidden, 403)])
def test_a_refused_key_is_the_accounts_trouble_at_once(kind: type[ApiError], status: int) -> None:
    trouble = classify_account_error(refused(kind, status))
    assert trouble is not None
    assert (trouble.failure_threshold, trouble.asked_seconds) == (1, None)
    assert str(status) in trouble.reason


@pytest.mark.parametrize("error", [refused(ServerFault, 503), ConnectionFailed("no answer")])
def test_connect_being_away_is_trouble_after_some_failures_in_a_row(error: Exception) -> None:
    trouble = classify_account_error(error)
    assert trouble is not None
    assert trouble.failure_threshold == FAILURE_THRESHOLD


@pytest.mark.parametrize(
    "error",
    [
        refused(BadRequest, 400),
        refused(NotFound, 404),
        refused(ApiError, 302),
        InvalidResponse(method="GET", path="x", body=""),
        AccountPaused("x", retry_after_seconds=1),
        InvalidDecision("x"),
        LeaseLost("x"),
        ValueError("x"),
        OSError("the vendor's system is away"),
        FileCreationError("x"),
        caused(FileCreationError("x"), refused(BadRequest, 400)),
        caused(ValueError("x"), refused(Unauthorized, 401)),
    ],
)
def test_any_other_error_is_the_requests_own(error: Exception) -> None:
    assert classify_account_error(error) is None


@pytest.mark.parametrize("kind", [FileCreationError, FileRetrievalError])
def test_a_file_error_is_the_trouble_of_its_cause(kind: type[Exception]) -> None:
    cause = refused(RateLimited, 429, retry_after_seconds=9.0)
    assert classify_account_error(caused(kind("x"), cause)) == classify_account_error(cause)


def test_a_pause_that_was_met_is_distinguished_from_any_other_error() -> None:
    met = AccountPaused("429", retry_after_seconds=3)
    assert as_account_paused(met) is met
    assert as_account_paused(caused(FileCreationError("x"), met)) is met
    assert as_account_paused(caused(FileRetrievalError("x"), met)) is met
    assert as_account_paused(refused(RateLimited, 429)) is None
    assert as_account_paused(FileCreationError("x")) is None
    assert as_account_paused(caused(ValueError("x"), met)) is None


def test_requests_that_met_a_pause_come_back_behind_its_end_and_not_all_at_once() -> None:
    waits = [POLICY.after_breaker(10.0, Random(seed)) for seed in range(50)]
    assert all(10.0 <= wait <= 10.0 + SPREAD_SECONDS for wait in waits)
    assert len({round(wait, 1) for wait in waits}) > 10


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (AccountPaused("busy", retry_after_seconds=1), "breaker open"),
        (RateLimited(status=429), "rate limited"),
        (Unauthorized(status=401), "key refused"),
        (Forbidden(status=403), "key refused"),
        (ServerFault(status=503), "Connect down"),
        (DecryptionKeyMissing("no key"), "key missing"),
        (ConnectionError("the vendor's system"), "processor"),
        (BadRequest(status=400), "processor"),
    ],
)
def test_each_error_is_counted_under_a_cause(error: Exception, cause: str) -> None:
    assert cause_of(error) == cause
    outer = FileCreationError("not uploaded")
    outer.__cause__ = error
    assert cause_of(outer) == cause

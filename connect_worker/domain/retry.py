"""What to do after an error: pure decisions, returned as values."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from connect_worker.domain.outcomes import Outcome
from connect_worker.exceptions import (
    AccountPaused,
    ConnectionFailed,
    DecryptionKeyMissing,
    FileCreationError,
    FileRetrievalError,
    Forbidden,
    InvalidResponse,
    RateLimited,
    ServerFault,
    Unauthorized,
)

#: How long a request may be snoozed, unless its automation sets another time.
DEFAULT_GIVE_UP_AFTER_SECONDS: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class ErrorRules:
    """The class attributes of an automation about errors and time limits; times in seconds."""

    #: Transient errors, whatever they are by default.
    retry_on: tuple[type[Exception], ...] = ()
    #: Permanent errors: another attempt would fail too.
    give_up_on: tuple[type[Exception], ...] = ()
    #: The outcome when no attempt is left; None parks the request.
    when_exhausted: Outcome | None = None
    #: How long a request may be snoozed, from the cycle's first snooze; None for no limit.
    give_up_after: float | None = DEFAULT_GIVE_UP_AFTER_SECONDS
    #: How long one run of `process_request` may take; None for no limit.
    time_limit: float | None = None

    def gives_up_on(self, error: BaseException) -> bool | None:
        """Whether the error is declared permanent; None if it is not declared.

        The most specific declared class wins; an undeclared usage-file error is judged by its
        cause.
        """
        for kind in type(error).__mro__:
            if kind in self.give_up_on:
                return True
            if kind in self.retry_on:
                return False
        if isinstance(error, (FileCreationError, FileRetrievalError)) and error.__cause__:
            return self.gives_up_on(error.__cause__)
        return None


NO_ERROR_RULES: Final = ErrorRules()

#: Failures of Connect in a row (5xx, no connection) that trip the account's circuit breaker.
FAILURE_THRESHOLD = 5

#: Breaker time after a 429 without `Retry-After`.
RATE_LIMIT_SECONDS = 10.0

#: Least breaker time after a 429 with one.
MIN_BREAKER_SECONDS = 1.0

#: The breaker's reason after a 429, which is not a failure.
RATE_LIMITED_REASON = "Connect asked for a pause (429)"

#: Requests that an open breaker stopped become due within this time after it closes.
SPREAD_SECONDS = 2.0

#: The longest time between two half-open probes.
MAX_BREAKER_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How many attempts, and the delays between them in seconds."""

    max_attempts: int
    base_seconds: float
    max_seconds: float

    def delay(self, failures: int, rng: random.Random | None = None) -> float:
        """Return the delay after the n-th failure (from 1): it doubles up to a maximum.

        Half of the delay is random, so that requests that failed together are not retried together.
        """
        ceiling = min(self.max_seconds, self.base_seconds * 2.0 ** min(max(failures, 1) - 1, 32))
        spread = rng.random() if rng else random.random()
        return ceiling * (0.5 + 0.5 * spread)

    def after_breaker(self, open_seconds: float, rng: random.Random | None = None) -> float:
        """Return the delay of a request that an open breaker stopped, plus a spread."""
        return open_seconds + SPREAD_SECONDS * (rng.random() if rng else random.random())

    def breaker_seconds(self, failures: int) -> float:
        """Return how long the breaker stays open after this number of failures."""
        return float(
            min(MAX_BREAKER_SECONDS, self.base_seconds * 2.0 ** min(max(failures, 1) - 1, 16))
        )


@dataclass(frozen=True, slots=True)
class AccountError:
    """An error of the account, not of the request: no request can be processed now."""

    reason: str
    #: How long Connect asked to wait, in seconds; None if it did not.
    asked_seconds: float | None = None
    #: Failures in a row that trip the breaker; 0 trips it at once and counts no failure (429).
    failure_threshold: int = 1


def root_cause(error: BaseException) -> BaseException:
    """Return the cause of an error about a usage file or template, or else the error itself."""
    reports = (FileCreationError, FileRetrievalError)
    while isinstance(error, reports) and error.__cause__ is not None:
        error = error.__cause__
    return error


def classify_account_error(error: BaseException) -> AccountError | None:
    """Return the error as one of the account; None if it concerns only the request."""
    match met := root_cause(error):
        case RateLimited():
            seconds = met.retry_after_seconds
            asked = RATE_LIMIT_SECONDS if seconds is None else max(MIN_BREAKER_SECONDS, seconds)
            return AccountError(RATE_LIMITED_REASON, asked, failure_threshold=0)
        case Unauthorized():
            return AccountError("Connect refused the API key (401): check CONNECT_API_KEY")
        case Forbidden():
            return AccountError(
                "the API key may not do this (403): check the service user's permissions in Connect"
            )
        case ServerFault() | ConnectionFailed():
            return AccountError(
                f"Connect does not work: {met}", failure_threshold=FAILURE_THRESHOLD
            )
        case _:
            return None


def as_account_paused(error: BaseException) -> AccountPaused | None:
    """Return the error as `AccountPaused`, if an open breaker caused it."""
    met = root_cause(error)
    return met if isinstance(met, AccountPaused) else None


def is_forbidden(error: BaseException) -> bool:
    """Whether the key lacks a permission (403)."""
    return isinstance(root_cause(error), Forbidden)


class Cause(StrEnum):
    """Why a request is retried, for metrics. The sweep adds workers that died."""

    #: The circuit breaker was open.
    BREAKER_OPEN = "breaker open"
    RATE_LIMITED = "rate limited"
    #: 401 and 403.
    KEY_REFUSED = "key refused"
    #: 5xx, no answer, or one that can't be read.
    CONNECT_DOWN = "Connect down"
    KEY_MISSING = "key missing"
    #: A run of the processor exceeded the `time_limit`.
    TIME_LIMIT = "time limit"
    #: Any other error of the user's code.
    PROCESSOR = "processor"


def cause_of(error: BaseException) -> Cause:
    """Return the cause that an error is counted as."""
    match root_cause(error):
        case AccountPaused():
            return Cause.BREAKER_OPEN
        case RateLimited():
            return Cause.RATE_LIMITED
        case Unauthorized() | Forbidden():
            return Cause.KEY_REFUSED
        case ServerFault() | ConnectionFailed() | InvalidResponse():
            return Cause.CONNECT_DOWN
        case DecryptionKeyMissing():
            return Cause.KEY_MISSING
        case _:
            return Cause.PROCESSOR

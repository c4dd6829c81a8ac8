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

# What a processor says beforehand of its errors, its patience and its time.

#: For so long "not yet" is taken for an answer, unless the processor says otherwise.
PATIENCE_SECONDS: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class ErrorRules:
    """The class attributes of an automation that concern what goes wrong; times in seconds."""

    #: These are transient, whatever they are by themselves.
    retry_on: tuple[type[Exception], ...] = ()
    #: These are permanent: another try won't help.
    give_up_on: tuple[type[Exception], ...] = ()
    #: What is decided when no try is left; None parks the request for a person.
    when_exhausted: Outcome | None = None
    #: How long "not yet" may last, from the cycle's first one; None for no limit.
    give_up_after: float | None = PATIENCE_SECONDS
    #: How long a run may be inside `process_request`; None for no limit.
    time_limit: float | None = None

    def gives_up_on(self, error: BaseException) -> bool | None:
        """Whether the error was declared permanent; None when nothing was declared of it.

        The class nearest to the error's own decides; of an error about a usage file that says
        nothing, its cause.
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

#: Failures of Connect in a row (5xx, no connection) after which all workers pause.
STRIKES_BEFORE_PAUSE = 5

#: Seconds that the account pauses after a 429 that names no time.
RATE_LIMIT_SECONDS = 10.0

#: And at least after one that names less.
LEAST_PAUSE_SECONDS = 1.0

#: The reason of a pause that is no failure.
PAUSE_ASKED_FOR = "Connect asked for a pause (429)"

#: Requests that met a pause come back within so many seconds after its end, not all at once.
SPREAD_SECONDS = 2.0

#: The longest pause between two probes of an account that can't be used.
LONGEST_PAUSE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how far apart; seconds."""

    max_attempts: int
    base_seconds: float
    max_seconds: float

    def delay(self, failures: int, rng: random.Random | None = None) -> float:
        """Return the wait after the n-th failure (from 1): doubling, capped, and spread.

        Half of the wait is random, so that requests that failed together don't come back together.
        """
        ceiling = min(self.max_seconds, self.base_seconds * 2.0 ** min(max(failures, 1) - 1, 32))
        spread = rng.random() if rng else random.random()
        return ceiling * (0.5 + 0.5 * spread)

    def after_pause(self, paused_seconds: float, rng: random.Random | None = None) -> float:
        """Return the wait of a request that met a pause: until its end, and spread behind it."""
        return paused_seconds + SPREAD_SECONDS * (rng.random() if rng else random.random())

    def pause(self, failures: int) -> float:
        """Return how long the account pauses after so many failed tries to use it."""
        return float(
            min(LONGEST_PAUSE_SECONDS, self.base_seconds * 2.0 ** min(max(failures, 1) - 1, 16))
        )


@dataclass(frozen=True, slots=True)
class AccountError:
    """An error that is the account's, not the request's: no request can be dealt with now."""

    reason: str
    #: The pause that Connect itself asked for, in seconds; None where none was.
    asked_seconds: float | None = None
    #: Failures in a row from which on all workers pause; 0 for a pause that is no failure (429).
    strikes: int = 1


def root_cause(error: BaseException) -> BaseException:
    """Return the error behind one that says which usage file or template met it; else itself."""
    reports = (FileCreationError, FileRetrievalError)
    while isinstance(error, reports) and error.__cause__ is not None:
        error = error.__cause__
    return error


def classify_account_error(error: BaseException) -> AccountError | None:
    """Return what the error says of the account; None when it is the request's own matter."""
    match met := root_cause(error):
        case RateLimited():
            seconds = met.retry_after_seconds
            asked = RATE_LIMIT_SECONDS if seconds is None else max(LEAST_PAUSE_SECONDS, seconds)
            return AccountError(PAUSE_ASKED_FOR, asked, strikes=0)
        case Unauthorized():
            return AccountError("Connect refused the API key (401): check CONNECT_API_KEY")
        case Forbidden():
            return AccountError(
                "the API key may not do this (403): check the service user's permissions in Connect"
            )
        case ServerFault() | ConnectionFailed():
            return AccountError(f"Connect does not work: {met}", strikes=STRIKES_BEFORE_PAUSE)
        case _:
            return None


def as_account_paused(error: BaseException) -> AccountPaused | None:
    """Return the pause for which a call was not sent, when that is what the error tells."""
    met = root_cause(error)
    return met if isinstance(met, AccountPaused) else None


def is_forbidden(error: BaseException) -> bool:
    """Whether Connect says that the key may not do this (403)."""
    return isinstance(root_cause(error), Forbidden)


class Cause(StrEnum):
    """Why a request is tried again, as it is counted; that a worker died, a sweep finds out."""

    PAUSED = "paused"
    RATE_LIMITED = "rate limited"
    #: 401 and 403.
    KEY_REFUSED = "key refused"
    #: 5xx, no answer, or one that can't be read.
    CONNECT_DOWN = "Connect down"
    KEY_MISSING = "key missing"
    #: A run was inside its processor for longer than the `time_limit`.
    TIME_LIMIT = "time limit"
    #: Whatever else the user's code raised.
    PROCESSOR = "processor"


def cause_of(error: BaseException) -> Cause:
    """Return what kind of trouble an error is."""
    match root_cause(error):
        case AccountPaused():
            return Cause.PAUSED
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

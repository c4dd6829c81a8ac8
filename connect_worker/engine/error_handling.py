"""What becomes of a job that raised: later, parked, or a pause for the whole account."""

from __future__ import annotations

from collections.abc import Callable

from connect_worker.domain.outcomes import Outcome
from connect_worker.domain.retry import (
    AccountError,
    Cause,
    ErrorRules,
    as_account_paused,
    cause_of,
    classify_account_error,
    is_forbidden,
    root_cause,
)
from connect_worker.domain.states import State
from connect_worker.engine.job import Job
from connect_worker.engine.runtime import Runtime
from connect_worker.exceptions import (
    DecryptionKeyMissing,
    LeaseLost,
    LedgerUnavailable,
    Message,
    Permanent,
    RateLimited,
    RetryDeadlineExceeded,
    RetryRequest,
    Unauthorized,
)
from connect_worker.logger import LogEvent, logger
from connect_worker.observability.masking import mask_secrets

#: So often a decision is posted before a person is asked to look at it: for most of a day.
MAX_POSTS = 100


def handle_error(engine: Runtime, job: Job, error: Exception) -> tuple[str, float | None]:
    """Give the request back as the error asks; return what to tell and the seconds until due.

    What is told is for Flower, which has no business with what the customer wrote.

    Raises:
        LedgerUnavailable: Passed on; the lease ends by itself and the sweep takes over.
    """
    try:
        return _dispose(engine, job, error)
    except LeaseLost as lost:
        logger.warning(LogEvent("lease.lost", error=lost))
        return f"stopped: {lost}", None


def exhausted_outcome(engine: Runtime, job: Job, error: Exception) -> Outcome | None:
    """Return what is decided instead of a processor that has no try left; None while it has one.

    None as well when a person shall look at it, and for trouble that is not the processor's.

    Raises:
        RetryDeadlineExceeded: It was "not yet" for too long, and a person shall look at it.
    """
    given_up = _why_exhausted(engine, job, error)
    if given_up is None:
        return None
    outcome = job.rules.when_exhausted
    if outcome is None:
        if given_up is error:
            return None
        raise given_up from error
    logger.error(
        LogEvent("job.exhausted", attempts=job.claim.attempt, error=describe(given_up)),
        exc_info=None if isinstance(given_up, RetryDeadlineExceeded) else error,
    )
    return outcome


def _why_exhausted(engine: Runtime, job: Job, error: Exception) -> Exception | None:
    """Return why the processor gets no other try; None when it does, or something else is wrong."""
    if job.is_decided:
        return None
    if isinstance(error, RetryRequest):
        limit = _give_up_after(job, error)
        lasted = engine.ledger.now() - job.claim.snoozed_since if job.claim.snoozed_since else 0.0
        if limit is None or lasted < limit:
            return None
        return RetryDeadlineExceeded(
            f"not yet for {lasted:.0f} s, and {limit:g} are allowed: {error}"
        )
    if isinstance(error, (LeaseLost, LedgerUnavailable)) or cause_of(error) is not Cause.PROCESSOR:
        return None
    declared = job.rules.gives_up_on(error)
    if declared or (
        job.claim.attempt >= engine.policy.max_attempts and not _is_permanent(job.rules, error)
    ):
        return error
    return None


def _give_up_after(job: Job, error: RetryRequest) -> float | None:
    return job.rules.give_up_after if error.give_up_after is None else error.give_up_after


def _dispose(engine: Runtime, job: Job, error: Exception) -> tuple[str, float | None]:
    if isinstance(error, (LeaseLost, LedgerUnavailable)):
        raise error
    if isinstance(error, RetryRequest) and not job.is_decided:
        return _snooze(engine, job, error)
    if isinstance(error, DecryptionKeyMissing):
        # For another worker to take, or for this one when it has been given the key.
        return _reschedule(engine, job, error, engine.lease_seconds, attempt_used=False)
    met = as_account_paused(error)
    if met is not None:
        # Nothing was sent: the pause is known to all, and this request waits for its end.
        seconds = engine.policy.after_pause(met.retry_after_seconds)
        return _reschedule(engine, job, error, seconds, attempt_used=False)
    trouble = classify_account_error(error)
    if trouble is not None:
        seconds = record_account_error(engine, trouble)
        is_own = _is_request_error(job, error)
        if seconds > 0 and not (is_own and _is_exhausted(engine, job)):
            # Behind the pause's end, and spread: else the one that fails is the next probe as well.
            seconds = engine.policy.after_pause(seconds)
            if is_own:
                seconds = max(seconds, engine.policy.delay(_failures(job)))
            is_used = is_own and not job.is_decided
            return _reschedule(engine, job, error, seconds, attempt_used=is_used)
    if _is_permanent(job.rules, error) or _is_exhausted(engine, job):
        return _park(engine, job, error)
    return _reschedule(engine, job, error, engine.policy.delay(_failures(job)))


def _failures(job: Job) -> int:
    return job.tries if job.decision is not None else job.claim.attempt


def _is_request_error(job: Job, error: Exception) -> bool:
    """Whether trouble that looks like the account's may be this request's alone.

    The request itself could be read: then a 403 is an answer to what its processor wants, and any
    failure but that of the key, or a pause that was asked for, one to its decision.
    """
    if job.decision is not None:
        return job.is_posting and not isinstance(error, (Unauthorized, RateLimited))
    return job.document is not None and is_forbidden(error)


def _is_exhausted(engine: Runtime, job: Job) -> bool:
    """Whether its tries are used up: a stored decision has many, and is kept when it is parked."""
    if job.decision is not None:
        return job.is_posting and job.tries >= MAX_POSTS
    return job.claim.attempt >= engine.policy.max_attempts


def _snooze(engine: Runtime, job: Job, error: RetryRequest) -> tuple[str, None]:
    """Let the request wait, at most until its patience ends: then it has a last look."""
    seconds = engine.skip_seconds if error.delay is None else error.delay
    limit = _give_up_after(job, error)
    if limit is not None:
        now = engine.ledger.now()
        seconds = min(seconds, max(0.0, (job.claim.snoozed_since or now) + limit - now))
    why = " ".join(mask_secrets(str(error)).split())
    engine.ledger.reschedule(
        job.claim,
        State.SNOOZED,
        delay_seconds=seconds,
        error=why,
        attempt_used=False,
        not_yet=True,
    )
    logger.info(LogEvent("job.snoozed", seconds=round(seconds, 1), why=why))
    return f"not yet, again in {seconds:.0f} s: {job.without_values(why)}"[:500], None


def _is_permanent(rules: ErrorRules, error: BaseException | None) -> bool:
    """Whether another try can't help; a usage file that Connect refused stays refused."""
    declared = rules.gives_up_on(error) if error is not None else None
    return _is_permanent_by_itself(error) if declared is None else declared


def _is_permanent_by_itself(error: BaseException | None) -> bool:
    return error is not None and isinstance(root_cause(error), (Permanent, NotImplementedError))


def record_account_error(engine: Runtime, trouble: AccountError) -> float:
    """Tell all workers what one call found out; return the seconds of pause, 0 for none yet."""
    if trouble.asked_seconds is not None:
        _trip_breaker(engine, trouble.asked_seconds, trouble.reason, asked=True)
        return max(trouble.asked_seconds, 0.1)
    gate = engine.ledger.trip_breaker(seconds=0, reason=trouble.reason, failed=True)
    over = gate.failures - trouble.strikes + 1
    if over < 1:
        return 0.0
    seconds = engine.policy.pause(over)
    _trip_breaker(engine, seconds, trouble.reason)
    logger.error(LogEvent("breaker.opened", seconds=round(seconds, 1), reason=trouble.reason))
    return seconds


def _trip_breaker(engine: Runtime, seconds: float, reason: str, *, asked: bool = False) -> None:
    """Pause all workers; this process's other jobs need not ask the ledger to know."""
    engine.ledger.trip_breaker(seconds=seconds, reason=reason, failed=False, asked=asked)
    engine.breaker_cache.learn(
        asked_at=engine.breaker_cache.clock(), paused_seconds=seconds, reason=reason
    )


def _reschedule(
    engine: Runtime, job: Job, error: Exception, seconds: float, *, attempt_used: bool = True
) -> tuple[str, float]:
    state = State.DECIDED if job.is_decided else State.RETRY
    text = describe(error)
    engine.ledger.reschedule(
        job.claim,
        state,
        delay_seconds=seconds,
        error=text,
        attempt_used=attempt_used,
        cause=cause_of(error),
    )
    logger.warning(
        LogEvent("job.retry_scheduled", state=state, seconds=round(seconds, 1), error=text),
        exc_info=None if isinstance(error, Message) else error,
    )
    return describe(error, job.without_values), seconds


def _park(engine: Runtime, job: Job, error: Exception) -> tuple[str, None]:
    text = describe(error)
    engine.ledger.park(job.claim, text)
    logger.error(LogEvent("job.parked", attempts=job.claim.attempt, error=text), exc_info=error)
    return f"parked: {describe(error, job.without_values)}", None


def describe(error: BaseException, hide: Callable[[str], str] = str) -> str:
    """Return the error as one line for people, without secrets, at most 500 characters."""
    # What is cut off in its middle would be known no more.
    text = " ".join(hide(mask_secrets(str(error))).split())
    return f"{type(error).__name__}: {text}"[:500]

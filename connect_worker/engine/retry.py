"""What happens after an error: retry, snooze, park, or trip the account's circuit breaker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

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
from connect_worker.engine.job import Job, JobResult, JobStatus
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

#: How often workers try to post a decision before they park it: this takes most of a day.
MAX_POSTS: Final = 100


def handle_error(runtime: Runtime, job: Job, error: Exception) -> JobResult:
    """Reschedule or park the request of a job that raised, and return how the job ended.

    The result's text is for Flower, and has no values of the customer's parameters.

    Raises:
        LedgerUnavailable: Passed on; the lease ends, and the sweep publishes the request.
    """
    try:
        return _handle(runtime, job, error)
    except LeaseLost as lost:
        logger.warning(LogEvent("lease.lost", error=lost))
        return job.result(JobStatus.LEASE_LOST, f"stopped: {lost}")


def exhausted_outcome(runtime: Runtime, job: Job, error: Exception) -> Outcome | None:
    """Return the outcome of `when_exhausted` if the processor gets no further attempt, else None.

    None as well when the request is to be parked, and for errors that are not the processor's.

    Raises:
        RetryDeadlineExceeded: The processor said "not yet" for too long, and has no
            `when_exhausted`: the request is to be parked.
    """
    final_error = _final_error(runtime, job, error)
    if final_error is None:
        return None
    outcome = job.rules.when_exhausted
    if outcome is None:
        if final_error is error:
            return None
        raise final_error from error
    logger.error(
        LogEvent("job.exhausted", attempts=job.claim.attempt, error=describe(final_error)),
        exc_info=None if isinstance(final_error, RetryDeadlineExceeded) else error,
    )
    return outcome


def _final_error(runtime: Runtime, job: Job, error: Exception) -> Exception | None:
    """Return why the processor gets no further attempt; None when it gets one.

    None as well when the error is not the processor's.
    """
    if job.is_decided:
        return None
    if isinstance(error, RetryRequest):
        limit = _give_up_after(job, error)
        lasted = runtime.ledger.now() - job.claim.snoozed_since if job.claim.snoozed_since else 0.0
        if limit is None or lasted < limit:
            return None
        return RetryDeadlineExceeded(
            f"not yet for {lasted:.0f} s, and {limit:g} are allowed: {error}"
        )
    if isinstance(error, (LeaseLost, LedgerUnavailable)) or cause_of(error) is not Cause.PROCESSOR:
        return None
    is_last = job.claim.attempt >= runtime.policy.max_attempts
    if job.rules.gives_up_on(error) or (is_last and not _is_permanent(job.rules, error)):
        return error
    return None


def _give_up_after(job: Job, error: RetryRequest) -> float | None:
    return job.rules.give_up_after if error.give_up_after is None else error.give_up_after


def _handle(runtime: Runtime, job: Job, error: Exception) -> JobResult:
    if isinstance(error, (LeaseLost, LedgerUnavailable)):
        raise error
    if isinstance(error, RetryRequest) and not job.is_decided:
        return _snooze(runtime, job, error)
    if isinstance(error, DecryptionKeyMissing):
        # Another worker may have the key, or this one may get it.
        return _reschedule(runtime, job, error, runtime.lease_seconds, attempt_used=False)
    paused = as_account_paused(error)
    if paused is not None:
        # The circuit breaker was open, and nothing was sent: the request waits for its end.
        seconds = runtime.policy.after_breaker(paused.retry_after_seconds)
        return _reschedule(runtime, job, error, seconds, attempt_used=False)
    account_error = classify_account_error(error)
    if account_error is not None:
        seconds = record_account_error(runtime, account_error)
        is_own = _is_request_error(job, error)
        if seconds > 0 and not (is_own and _is_exhausted(runtime, job)):
            # After the breaker's end, and spread: else the failing request is the next probe too.
            seconds = runtime.policy.after_breaker(seconds)
            if is_own:
                seconds = max(seconds, runtime.policy.delay(_failures(job)))
            is_used = is_own and not job.is_decided
            return _reschedule(runtime, job, error, seconds, attempt_used=is_used)
    if _is_permanent(job.rules, error) or _is_exhausted(runtime, job):
        return _park(runtime, job, error)
    return _reschedule(runtime, job, error, runtime.policy.delay(_failures(job)))


def _failures(job: Job) -> int:
    return job.tries if job.decision is not None else job.claim.attempt


def _is_request_error(job: Job, error: Exception) -> bool:
    """Whether an error that looks like the account's may concern this request alone.

    The request itself could be read. Then a 403 answers a call of its processor, and any failure
    but a refused key or a 429 answers the post of its decision.
    """
    if job.decision is not None:
        return job.is_posting and not isinstance(error, (Unauthorized, RateLimited))
    return job.document is not None and is_forbidden(error)


def _is_exhausted(runtime: Runtime, job: Job) -> bool:
    """Whether no attempt is left; a stored decision has many, and stays when it is parked."""
    if job.decision is not None:
        return job.is_posting and job.tries >= MAX_POSTS
    return job.claim.attempt >= runtime.policy.max_attempts


def _snooze(runtime: Runtime, job: Job, error: RetryRequest) -> JobResult:
    """Snooze the request, at most until its `give_up_after` ends: then it has a last attempt."""
    seconds = runtime.skip_seconds if error.delay is None else error.delay
    limit = _give_up_after(job, error)
    if limit is not None:
        now = runtime.ledger.now()
        seconds = min(seconds, max(0.0, (job.claim.snoozed_since or now) + limit - now))
    why = " ".join(mask_secrets(str(error)).split())
    runtime.ledger.reschedule(
        job.claim,
        State.SNOOZED,
        delay_seconds=seconds,
        error=why,
        attempt_used=False,
        not_yet=True,
    )
    logger.info(LogEvent("job.snoozed", seconds=round(seconds, 1), why=why))
    text = f"not yet, again in {seconds:.0f} s: {job.without_values(why)}"[:500]
    return job.result(JobStatus.SNOOZED, text)


def _is_permanent(rules: ErrorRules, error: BaseException) -> bool:
    """Whether another attempt can't help; a usage file that Connect refused stays refused."""
    declared = rules.gives_up_on(error)
    if declared is not None:
        return declared
    return isinstance(root_cause(error), (Permanent, NotImplementedError))


def record_account_error(runtime: Runtime, error: AccountError) -> float:
    """Count an error of the account for all workers, and trip the circuit breaker if it is due.

    Returns the seconds until the breaker lets a call pass; 0 when it stays closed.
    """
    if error.asked_seconds is not None:
        _trip_breaker(runtime, error.asked_seconds, error.reason, asked=True)
        return max(error.asked_seconds, 0.1)
    breaker = runtime.ledger.trip_breaker(seconds=0, reason=error.reason, failed=True)
    over = breaker.failures - error.failure_threshold + 1
    if over < 1:
        return 0.0
    seconds = runtime.policy.breaker_seconds(over)
    _trip_breaker(runtime, seconds, error.reason)
    return seconds


def _trip_breaker(runtime: Runtime, seconds: float, reason: str, *, asked: bool = False) -> None:
    """Trip it for all workers; the other jobs of this process need not ask the ledger for it."""
    runtime.ledger.trip_breaker(seconds=seconds, reason=reason, failed=False, asked=asked)
    runtime.breaker_cache.learn(
        asked_at=runtime.breaker_cache.clock(), paused_seconds=seconds, reason=reason
    )
    log = logger.warning if asked else logger.error
    log(LogEvent("breaker.opened", seconds=round(seconds, 1), reason=reason))


def _reschedule(
    runtime: Runtime, job: Job, error: Exception, seconds: float, *, attempt_used: bool = True
) -> JobResult:
    state = State.DECIDED if job.is_decided else State.RETRY
    text, cause = describe(error), cause_of(error)
    runtime.ledger.reschedule(
        job.claim,
        state,
        delay_seconds=seconds,
        error=text,
        attempt_used=attempt_used,
        cause=cause,
    )
    logger.warning(
        LogEvent("job.retry_scheduled", state=state, seconds=round(seconds, 1), error=text),
        exc_info=None if isinstance(error, Message) else error,
    )
    shown = describe(error, job.without_values)
    return job.result(JobStatus.RETRY, shown, retry_seconds=seconds, cause=cause)


def _park(runtime: Runtime, job: Job, error: Exception) -> JobResult:
    text = describe(error)
    runtime.ledger.park(job.claim, text)
    event, word = ("job.parked", "parked") if runtime.is_lasting else ("job.failed", "not decided")
    logger.error(LogEvent(event, attempts=job.claim.attempt, error=text), exc_info=error)
    shown = f"{word}: {describe(error, job.without_values)}"
    return job.result(JobStatus.PARKED, shown, cause=cause_of(error))


def describe(error: BaseException, hide: Callable[[str], str] = str) -> str:
    """Return the error as one line for people, without secrets, at most 500 characters."""
    # Mask first: masking would not recognize a secret that is cut off in its middle.
    text = " ".join(hide(mask_secrets(str(error))).split())
    return f"{type(error).__name__}: {text}"[:500]

"""One job, from the claim to the end of the cycle; `run_job` reads from top to bottom."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from connect_worker.domain.kinds import cycle_of, product_of, status_of
from connect_worker.domain.outcomes import Outcome
from connect_worker.domain.secrets import passwords_in
from connect_worker.domain.states import (
    JSON,
    Claim,
    ClaimDenied,
    RequestKey,
    RequestKind,
    State,
    idempotency_key,
)
from connect_worker.engine.job import Job, JobResult, JobStatus
from connect_worker.engine.metrics import metric_labels
from connect_worker.engine.poster import PostResult, post_decision
from connect_worker.engine.rate_limiter import calls_under_lease
from connect_worker.engine.retry import exhausted_outcome, handle_error
from connect_worker.engine.runtime import Processor, Runtime
from connect_worker.engine.time_limit import time_limit
from connect_worker.exceptions import BadRequest, NotFound
from connect_worker.logger import LogEvent, bind_log, logger
from connect_worker.observability.masking import (
    mask_secrets,
    register_scoped_secrets,
    secret_scope,
)

#: Inquired requests: the record holds the cycle number that the next cycle continues.
KEEP_INQUIRED_SECONDS: Final = 400 * 86_400.0

#: Usage reports: longer than any period that is polled again.
KEEP_REPORT_SECONDS: Final = 62 * 86_400.0


def run_job(runtime: Runtime, ref: RequestKey) -> JobResult:
    """Claim one request, decide it, post the decision and complete its cycle.

    Safe to call at any time, any number of times, from any number of workers: only the worker that
    gets the claim does anything. After a crash at any point the sweep publishes the request again.

    Raises:
        LedgerUnavailable: The ledger does not answer or refuses to write. Nothing is lost: when the
            lease has ended, another job repeats whatever this one had not stored.
    """
    claim = _claim(runtime, ref)
    if isinstance(claim, ClaimDenied):
        return JobResult(JobStatus.DENIED, f"nothing to do: {claim}", denied=claim)
    with job_scope(runtime, claim) as job:
        try:
            stored = job.load_decision()
            document = _fetch(runtime, job)
            processor = runtime.registry.find(ref.kind, product_of(ref.kind, document))
            if stored is not None:
                # An earlier job may have posted a part of it: compare with Connect before a call.
                posted = post_decision(runtime, job, stored, compare_first=True)
                result = _end_cycle(runtime, job, posted)
            elif not _is_pending(processor, job):
                result = _supersede(runtime, job, status_of(document), "nothing to do")
            elif processor is None:
                product = product_of(ref.kind, document)
                result = _snooze(runtime, job, f"left alone: no processor for product {product}")
            elif isinstance(outcome := _process(runtime, job, processor), _Superseded):
                result = _supersede(runtime, job, outcome.status)
            else:
                decision = job.decide(outcome)
                # The ledger freed the slot: the next request may run while this decision is posted.
                runtime.wake_slot_queue(claim.limit)
                posted = post_decision(runtime, job, decision, compare_first=False)
                result = _end_cycle(runtime, job, posted)
            if claim.is_half_open_probe:
                runtime.ledger.reset_breaker()
        except Exception as error:  # noqa: BLE001 - the one place where a job's errors are handled
            result = handle_error(runtime, job, error)
    return result


def _claim(runtime: Runtime, ref: RequestKey) -> Claim | ClaimDenied:
    asked_at = runtime.breaker_cache.clock()
    claim = runtime.ledger.claim(
        ref,
        owner=f"{runtime.worker}:{uuid.uuid4().hex[:12]}",
        lease_seconds=runtime.lease_seconds,
        limits=runtime.registry.limits(ref.kind),
    )
    if isinstance(claim, Claim):
        # A granted claim shows that the breaker lets calls pass: no need to ask the ledger again.
        runtime.breaker_cache.learn(asked_at=asked_at)
    return claim


@contextmanager
def job_scope(runtime: Runtime, claim: Claim) -> Iterator[Job]:
    """Hold what a job needs: log context, secrets to mask, metric labels, lease and slot.

    The time limit is not part of it: it ends when the processor has returned, so that a slow post
    does not count.
    """
    with (
        bind_log(
            request=claim.ref.id, product=claim.product, cycle=claim.cycle, attempt=claim.attempt
        ),
        secret_scope(),
        metric_labels(claim.ref.kind, claim.metric_product),
        runtime.leases.keep_alive(claim) as lease,
        calls_under_lease(lease),
    ):
        key = idempotency_key(runtime.account, claim.ref, claim.cycle)
        job = Job(ledger=runtime.ledger, claim=claim, lease=lease, key=key)
        try:
            yield job
        finally:
            if job.decision is None:
                # A decision frees the slot when it is stored; any other end frees it now.
                runtime.wake_slot_queue(claim.limit)


def _fetch(runtime: Runtime, job: Job) -> JSON:
    """Fetch the request afresh: what the poll saw is old. A success closes the circuit breaker."""
    job.document = runtime.fetch(job.ref)
    register_scoped_secrets(passwords_in(job.document))
    if job.claim.is_half_open_probe:
        # The failures stay counted until a post has succeeded too.
        runtime.ledger.reset_breaker(forget=False)
    return job.document


def _is_pending(processor: Processor | None, job: Job) -> bool:
    """Whether the request is still pending in this cycle; the next poll registers a later one.

    Without a processor any status counts as pending, except `deleted`.
    """
    if status_of(job.document) == "deleted":
        return False
    if processor is None:
        return True
    cycle = cycle_of(job.ref.kind, job.document)
    is_later = cycle is not None and not job.claim.cycle.isdigit() and cycle != job.claim.cycle
    return processor.awaits(job.document) and not is_later


@dataclass(frozen=True, slots=True)
class _Superseded:
    """Another user decided the request while the processor ran."""

    status: str


def _process(runtime: Runtime, job: Job, processor: Processor) -> Outcome | _Superseded:
    """Return the processor's outcome, or that of its `when_exhausted` after the last attempt.

    Raises:
        Exception: What the processor raised, for `handle_error`.
    """
    try:
        job.rules = processor.rules
        with runtime.metrics.time_run(), time_limit(runtime, job, job.rules.time_limit):
            return processor.run(job.document, job)
    except Exception as error:
        outcome = exhausted_outcome(runtime, job, error)
        if outcome is not None:
            return outcome
        if isinstance(error, (BadRequest, NotFound)):
            # Connect refused a call of the processor's code: perhaps another user decided.
            status = status_of(_fetch(runtime, job))
            if not _is_pending(processor, job):
                return _Superseded(status)
        raise


def _end_cycle(runtime: Runtime, job: Job, posted: PostResult) -> JobResult:
    """Complete the cycle, or end it as superseded, or snooze it after a skip."""
    text = posted.calls.result
    if posted.superseded_by:
        return _supersede(runtime, job, posted.superseded_by, decision=text)
    if posted.calls.stays_pending:
        return _snooze(runtime, job, ". ".join(filter(None, [text, posted.problem])))
    keep = keep_seconds(runtime, job.ref, posted.calls.resulting_status)
    runtime.ledger.complete(job.claim, text, keep_seconds=keep, error=posted.problem)
    logger.info(LogEvent("job.completed", outcome=text))
    shown = f"{text}. {job.without_values(posted.problem)}" if posted.problem else text
    return job.result(JobStatus.COMPLETED, shown)


def _supersede(
    runtime: Runtime,
    job: Job,
    status: str,
    prefix: str = JobStatus.SUPERSEDED,
    *,
    decision: str = "none",
) -> JobResult:
    """End the cycle: Connect shows the status of another decision."""
    logger.warning(LogEvent("job.superseded", status=status, decision=decision))
    keep = keep_seconds(runtime, job.ref, status)
    runtime.ledger.supersede(job.claim, status, keep_seconds=keep)
    return job.result(JobStatus.SUPERSEDED, f"{prefix}: Connect shows {status}")


def _snooze(runtime: Runtime, job: Job, why: str) -> JobResult:
    why = " ".join(mask_secrets(why).split())[:500]
    runtime.ledger.reschedule(
        job.claim,
        State.SNOOZED,
        delay_seconds=runtime.skip_seconds,
        error=why,
        attempt_used=False,
    )
    logger.info(LogEvent("job.snoozed", seconds=runtime.skip_seconds, why=why))
    return job.result(JobStatus.SNOOZED, job.without_values(why))


def keep_seconds(runtime: Runtime, ref: RequestKey, status: str) -> float:
    """Return how long to keep the record of a request that Connect shows in this status."""
    if status == "inquiring":
        return KEEP_INQUIRED_SECONDS
    return KEEP_REPORT_SECONDS if ref.kind is RequestKind.USAGE else runtime.retention_seconds

"""One job: the outcome is the journaled one, or the processor's, journaled; then it is posted."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from connect_worker.domain.kinds import cycle_of, product_of, status_of
from connect_worker.domain.outcomes import NoDecision
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
from connect_worker.engine.deadline import Deadline
from connect_worker.engine.error_handling import exhausted_outcome, handle_error
from connect_worker.engine.fetch import fetch
from connect_worker.engine.job import Decision, Job
from connect_worker.engine.metrics import metric_labels
from connect_worker.engine.poster import PostResult, post_decision
from connect_worker.engine.rate_limiter import calls_under_lease
from connect_worker.engine.runtime import Processor, Runtime
from connect_worker.engine.time_limit import exceed_time_limit, wake_slot_queue
from connect_worker.exceptions import BadRequest, NotFound
from connect_worker.logger import LogEvent, bind_log, logger
from connect_worker.observability.masking import register_scoped_secrets, secret_scope

# How long the record of a cycle that has ended is kept.

#: Of a cycle whose request may come back: it holds the count of cycles.
LONG_SECONDS: Final = 400 * 86_400.0

#: A listing's report is remembered for longer than any period that is polled again.
REPORT_SECONDS: Final = 62 * 86_400.0


def keep_seconds(engine: Runtime, ref: RequestKey, status: str) -> float:
    """Return the seconds to keep the record of a request that Connect shows in this status."""
    if status == "inquiring":
        return LONG_SECONDS
    return REPORT_SECONDS if ref.kind is RequestKind.USAGE else engine.retention_seconds


@dataclass(frozen=True, slots=True)
class JobResult:
    """How a job ended, for the one who called it."""

    #: For people: `approved`, `nothing to do: busy`, `ConnectionError: …`.
    text: str
    #: Seconds until the ledger wakes the request again after an error; None when there was none.
    retry_seconds: float | None = None
    #: Of the request, where the ledger knows it.
    product: str = ""


def run_job(engine: Runtime, ref: RequestKey) -> JobResult:
    """Do what there is to do for one request, as far as it is this worker's to do.

    Safe to call at any time, any number of times, from any number of workers: only the one that
    gets the claim does anything. After a crash at any point the ledger's sweep has it called again.

    Raises:
        LedgerUnavailable: The ledger could not be reached or refused to write. Nothing is lost:
            what this job had not stored yet is done again when its lease has ended.
    """
    owner = f"{engine.worker}:{uuid.uuid4().hex[:12]}"
    asked_at = engine.breaker_cache.clock()
    claim = engine.ledger.claim(
        ref,
        owner=owner,
        lease_seconds=engine.lease_seconds,
        limits=engine.registry.limits(ref.kind),
    )
    if isinstance(claim, ClaimDenied):
        return JobResult(f"nothing to do: {claim}")
    # The claim would have been refused: a short job need not ask again.
    engine.breaker_cache.learn(asked_at=asked_at)
    with (
        bind_log(request=ref.id, product=claim.product, cycle=claim.cycle, attempt=claim.attempt),
        secret_scope(),
        metric_labels(ref.kind, claim.counted_as),
        engine.leases.keep_alive(claim) as pulse,
        calls_under_lease(pulse),
    ):
        key = idempotency_key(engine.account, ref, claim.cycle)
        job = Job(ledger=engine.ledger, claim=claim, pulse=pulse, key=key)
        try:
            job.read_decision()
            handled = _work(engine, job)
        except Exception as error:  # noqa: BLE001 - the one place where a job's errors are handled
            return JobResult(*handle_error(engine, job, error), product=claim.product)
        finally:
            if job.decision is None:
                # Else it was handed on when the decision was stored.
                wake_slot_queue(engine, claim)
        if claim.is_half_open_probe:
            engine.ledger.reset_breaker()
        return replace(handled, product=claim.product)


def _work(engine: Runtime, job: Job) -> JobResult:
    document = _load(engine, job)
    job.open(document)
    if job.decision is not None:
        return _end(engine, job, post_decision(engine, job, job.decision, document=document))
    kind, product = job.ref.kind, product_of(job.ref.kind, document)
    processor = engine.registry.find(kind, product)
    status = status_of(document)
    if status == "deleted" or (processor and not _awaited(processor, job.claim, document)):
        engine.ledger.supersede(
            job.claim, status, keep_seconds=keep_seconds(engine, job.ref, status)
        )
        return JobResult(f"nothing to do: Connect shows {status}")
    if processor is None:
        return _wait(engine, job, f"left alone: no processor for product {product}")
    try:
        decision = _decide(engine, processor, job, document)
    except (BadRequest, NotFound):
        # Connect refused a call of the processor's own: perhaps since somebody else has decided.
        shown = _load(engine, job)
        if job.decision is not None or _awaited(processor, job.claim, shown):
            raise
        return _supersede(engine, job, status_of(shown))
    return _end(engine, job, post_decision(engine, job, decision, document=None))


def _load(engine: Runtime, job: Job) -> JSON:
    """GET the request afresh: what the poll saw is old. A success ends the account's pause."""
    document = fetch(engine.connect, job.ref)
    register_scoped_secrets(passwords_in(document))
    if job.claim.is_half_open_probe:
        # The posts may fail all the same: their failures are forgotten when one has succeeded.
        engine.ledger.reset_breaker(forget=False)
    return document


def _awaited(processor: Processor, claim: Claim, document: JSON) -> bool:
    """Whether the document still waits in this cycle; a later cycle is the next poll's."""
    cycle = cycle_of(claim.ref.kind, document)
    moved_on = cycle is not None and not claim.cycle.isdigit() and cycle != claim.cycle
    return processor.awaits(document) and not moved_on


def _decide(engine: Runtime, processor: Processor, job: Job, document: JSON) -> Decision:
    try:
        with _timed(engine, job):
            processor.run(document, job)
    except Exception as error:
        outcome = exhausted_outcome(engine, job, error)
        if outcome is None:
            raise
        job.decide(outcome)
    finally:
        if job.decision is not None:
            # The next one may be inside the processor while this one's decision is posted.
            wake_slot_queue(engine, job.claim)
    return job.decision or Decision(NoDecision())


@contextmanager
def _timed(engine: Runtime, job: Job) -> Iterator[None]:
    """Have the request taken from this run if it is inside for longer than its rules allow."""
    job.deadline = Deadline(partial(exceed_time_limit, engine, job), engine.process_killer)
    try:
        yield
    except BaseException:
        job.deadline.end()
        raise
    job.deadline.end()


def _end(engine: Runtime, job: Job, finished: PostResult) -> JobResult:
    """Settle the cycle, or let it wait for its next look."""
    result, found = finished.calls.result, finished.superseded_by
    if found:
        return _supersede(engine, job, found, decision=result)
    if finished.calls.stays_pending:
        return _wait(engine, job, result)
    keep = keep_seconds(engine, job.ref, finished.calls.resulting_status)
    engine.ledger.complete(job.claim, result, keep_seconds=keep)
    logger.info(LogEvent("job.completed", outcome=result))
    return JobResult(result)


def _supersede(engine: Runtime, job: Job, status: str, *, decision: str = "none") -> JobResult:
    """End the cycle with what somebody else decided while the processor ran."""
    logger.warning(LogEvent("job.superseded", status=status, decision=decision))
    engine.ledger.supersede(job.claim, status, keep_seconds=keep_seconds(engine, job.ref, status))
    return JobResult(f"superseded: Connect shows {status}")


def _wait(engine: Runtime, job: Job, why: str) -> JobResult:
    engine.ledger.reschedule(
        job.claim,
        State.SNOOZED,
        delay_seconds=engine.skip_seconds,
        error=why,
        attempt_used=False,
    )
    logger.info(LogEvent("job.snoozed", seconds=engine.skip_seconds, why=why))
    return JobResult(job.without_values(why))

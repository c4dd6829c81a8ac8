"""Taking a request from a run that was inside its processor for too long."""

from __future__ import annotations

from connect_worker.domain.retry import Cause
from connect_worker.domain.states import Claim, State
from connect_worker.engine.job import Job
from connect_worker.engine.runtime import Runtime
from connect_worker.exceptions import LeaseLost, LedgerUnavailable
from connect_worker.logger import LogEvent, logger

# Handing on a slot of an automation's limit, so that nobody in line waits for a sweep.


def wake_slot_queue(engine: Runtime, claim: Claim) -> None:
    """Wake the next in line for the slot that the claim held, if it held one.

    A slot that is not handed on, for a crash or a lost message, is found free by the next sweep.
    """
    if not claim.limit:
        return
    try:
        refs = engine.ledger.take_from_slot_queue(
            claim.limit, requeue_seconds=engine.requeue_seconds
        )
    except LedgerUnavailable as error:
        logger.warning(LogEvent("slot_queue.wake_failed", limit=claim.limit, error=error))
        return
    engine.publisher.publish(refs)


def exceed_time_limit(engine: Runtime, job: Job, seconds: float, place: str) -> None:
    """Give the request to others, or to a person at the limit of attempts, and end this process.

    Under a pool of processes it is the run's own, and another one is started for it. Under the
    others, whose threads nobody can end, the run goes on without being able to write anything: no
    step, no decision, no change through the automation.
    """
    # Local, and at once: whatever the ledger answers, this run writes nothing more.
    job.revoke()
    claim, most = job.claim, engine.policy.max_attempts
    is_last = claim.attempt >= most
    error = (
        f"the run took longer than its time_limit of {seconds:g} s in attempt {claim.attempt} of "
        f"{most}{', the last one' if is_last else ''}{f' ({place})' if place else ''}"
    )
    logger.error(
        LogEvent("job.time_limit_exceeded", seconds=seconds, attempt=claim.attempt, place=place)
    )
    try:
        if is_last:
            engine.ledger.park(claim, error)
        else:
            delay = engine.policy.delay(claim.attempt)
            engine.ledger.reschedule(
                claim, State.RETRY, delay_seconds=delay, error=error, cause=Cause.TIME_LIMIT
            )
        wake_slot_queue(engine, claim)
    except LeaseLost:
        # Somebody else has it already.
        pass
    except LedgerUnavailable as unavailable:
        # The lease is not renewed any more: it ends, and the next sweep finds it.
        logger.warning(LogEvent("job.reschedule_failed", error=unavailable))
    finally:
        engine.process_killer.end()

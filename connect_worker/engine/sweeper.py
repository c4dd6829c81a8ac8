"""The sweep: publish what is due, and rescue the requests of dead workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from connect_worker.engine.runtime import Runtime
from connect_worker.logger import LogEvent, logger

#: How many records one call of the ledger looks at.
BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What a sweep did."""

    woken: int = 0
    rescued: int = 0
    parked: int = 0

    def __str__(self) -> str:
        return f"{self.woken} woken, {self.rescued} rescued, {self.parked} parked"


def sweep(runtime: Runtime) -> SweepResult:
    """Publish due requests, reschedule those of dead workers, park those that killed too many.

    Also publish as many requests of each slot queue as there are free slots, and the change hints
    that no worker has acknowledged.

    Sweeps may overlap: the ledger gives each record to one of them.
    """
    woken = rescued = parked = 0
    backlogged = runtime.publisher.backlogged()
    while True:
        batch = runtime.ledger.take_due(
            limit=BATCH,
            requeue_seconds=runtime.requeue_seconds,
            max_attempts=runtime.policy.max_attempts,
            backlogged=backlogged,
            rescue_seconds=(runtime.policy.base_seconds, runtime.policy.max_seconds),
        )
        runtime.publisher.publish(batch.publish)
        for ref in batch.expired:
            logger.warning(
                LogEvent("sweep.request_rescued", request=ref.id, why="its worker went silent")
            )
        for ref in batch.parked:
            logger.error(
                LogEvent(
                    "sweep.request_parked", request=ref.id, why="its worker died at every attempt"
                )
            )
        for ref in batch.corrupt:
            logger.error(
                LogEvent("sweep.request_parked", request=ref.id, why="its record is corrupt")
            )
        woken += len(batch.publish)
        rescued += len(batch.expired)
        parked += len(batch.parked) + len(batch.corrupt)
        if batch.looked_at < BATCH:
            break
    # Hints whose message was lost, or whose worker died while it refreshed.
    runtime.publisher.publish_hints(
        runtime.ledger.stale_hints(limit=BATCH, requeue_seconds=runtime.requeue_seconds)
    )
    # Free slots of which no waiting request knows: a job died in its processor, or a message was
    # lost.
    released = runtime.ledger.take_from_slot_queue(requeue_seconds=runtime.requeue_seconds)
    runtime.publisher.publish(released)
    return SweepResult(woken + len(released), rescued, parked)

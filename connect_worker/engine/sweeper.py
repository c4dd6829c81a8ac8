"""A sweep: rescue what stopped on the way, wake what is due."""

from __future__ import annotations

from dataclasses import dataclass

from connect_worker.engine.runtime import Runtime
from connect_worker.logger import LogEvent, logger

#: How many records one call of the ledger looks at.
BATCH = 500


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What a sweep did."""

    woken: int = 0
    rescued: int = 0
    parked: int = 0

    def __str__(self) -> str:
        return f"{self.woken} woken, {self.rescued} rescued, {self.parked} parked"


def sweep(engine: Runtime) -> SweepResult:
    """Publish what is due, rescue what a dead worker held, park what killed too many workers.

    And wake as many of those in line for a slot as there is room for.

    Sweeps may overlap: each record is handed out once.
    """
    woken = rescued = parked = 0
    backlogged = engine.publisher.backlogged()
    while True:
        found = engine.ledger.take_due(
            limit=BATCH,
            requeue_seconds=engine.requeue_seconds,
            max_attempts=engine.policy.max_attempts,
            backlogged=backlogged,
        )
        engine.publisher.publish(found.publish)
        for ref in found.expired:
            logger.warning(
                LogEvent("sweep.request_rescued", request=ref.id, why="its worker went silent")
            )
        for ref in found.parked:
            logger.error(
                LogEvent(
                    "sweep.request_parked", request=ref.id, why="its worker died at every attempt"
                )
            )
        woken += len(found.publish)
        rescued += len(found.expired)
        parked += len(found.parked)
        if found.looked_at < BATCH:
            break
    # Notices whose message was lost, or whose worker died while it looked.
    engine.publisher.publish_hints(
        engine.ledger.stale_hints(limit=BATCH, requeue_seconds=engine.requeue_seconds)
    )
    # Slots that were not handed on: a job died inside the processor, or a message was lost.
    released = engine.ledger.take_from_slot_queue(requeue_seconds=engine.requeue_seconds)
    engine.publisher.publish(released)
    return SweepResult(woken + len(released), rescued, parked)

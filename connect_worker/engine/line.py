"""Handing on a slot of an automation's limit, so that nobody in line waits for a sweep."""

from __future__ import annotations

from connect_worker.engine.context import Engine
from connect_worker.exceptions import LedgerUnavailable
from connect_worker.logger import LogEvent, logger
from connect_worker.processing.states import Claim


def hand_on(engine: Engine, claim: Claim) -> None:
    """Wake the next in line for the slot that the claim held, if it held one.

    A slot that is not handed on, for a crash or a lost message, is found free by the next sweep.
    """
    if not claim.limit:
        return
    try:
        refs = engine.ledger.next_in_line(claim.limit, requeue_seconds=engine.requeue_seconds)
    except LedgerUnavailable as error:
        logger.warning(LogEvent("slot not handed on", limit=claim.limit, error=error))
        return
    engine.publisher.publish(refs)

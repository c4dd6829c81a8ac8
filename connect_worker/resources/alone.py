"""The 2019 way: all in one process, without Celery or Redis, with the worker's own code."""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

from connect_worker.engine.context import Engine, Processor
from connect_worker.engine.handle import handle
from connect_worker.engine.heart import Heart
from connect_worker.ledger.memory import MemoryLedger
from connect_worker.logger import LogEvent, logger
from connect_worker.processing.kinds import product_of, visit_of
from connect_worker.processing.registry import Registration, Registry
from connect_worker.processing.states import Ref, Refusal, Sighting
from connect_worker.resources.automation import Automation
from connect_worker.resources.processor import AutomationProcessor
from connect_worker.settings import account_name


class _Backlog:
    """A publisher that keeps the wake-up calls for the loop in this process."""

    def __init__(self) -> None:
        self.refs: deque[Ref] = deque()

    def publish(self, refs: Iterable[Ref]) -> None:
        self.refs.extend(refs)


def process_alone(automation: Automation[Any]) -> None:
    """Process all that waits for the automation, one request after the other."""
    engine, processor, backlog = _engine(automation)
    seen_at = engine.ledger.now()
    sightings = list(processor.sightings(engine.connect, now=seen_at))
    backlog.publish(
        engine.ledger.sight(sightings, seen_at=seen_at, requeue_seconds=engine.requeue_seconds)
    )
    logger.info(LogEvent("processing", kind=automation.kind, requests=len(backlog.refs)))
    while backlog.refs:
        _handle(engine, backlog.refs.popleft())


def dispatch_alone(automation: Automation[Any], request: Any) -> str:
    """Deal with one request that the caller has listed; returns how it ended."""
    engine, _, _ = _engine(automation)
    ref, document = Ref(automation.kind, str(request.id)), dict(request.json)
    sighting = Sighting(ref, visit_of(ref.kind, document), product_of(ref.kind, document))
    engine.ledger.sight([sighting], seen_at=engine.ledger.now(), requeue_seconds=60)
    return _handle(engine, ref)


def _handle(engine: Engine, ref: Ref) -> str:
    """Handle one request; while Connect asks for a pause, wait for its end."""
    while True:
        handled = handle(engine, ref)
        if handled.text != f"nothing to do: {Refusal.PAUSED}":
            logger.info(LogEvent("done", request=ref.id, result=handled.text))
            return handled.text
        gate = engine.ledger.gate()
        time.sleep(min(1.0, max(0.05, gate.closed_until - engine.ledger.now())))


def _engine(automation: Automation[Any]) -> tuple[Engine, AutomationProcessor, _Backlog]:
    account = account_name(automation.config)
    ledger, backlog = MemoryLedger(account=account), _Backlog()
    processor = AutomationProcessor(automation.kind, lambda: automation, automation.config)
    registration: Registration[Processor] = Registration(
        automation.kind, None, type(automation).__name__, processor
    )
    engine = Engine(
        ledger=ledger,
        connect=automation.client,
        publisher=backlog,
        registry=Registry([registration]),
        heart=Heart(ledger),
        account=account,
        worker=f"{socket.gethostname()}:{os.getpid()}",
    )
    return engine, processor, backlog

"""The 2019 way: all in one process, without Celery or Redis, with the worker's own code."""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from connect_worker.domain.kinds import ChangeHint
from connect_worker.domain.retry import PAUSE_ASKED_FOR, classify_account_error
from connect_worker.domain.routing import Registration, Registry
from connect_worker.domain.states import (
    JSON,
    NO_BACKLOG,
    Backlog,
    Claim,
    PendingRequest,
    RequestKey,
)
from connect_worker.engine.job import Job
from connect_worker.engine.job_runner import JobResult, run_job
from connect_worker.engine.lease import Lease, LeaseKeeper
from connect_worker.engine.ports import Connect
from connect_worker.engine.runtime import Processor, Runtime
from connect_worker.exceptions import RateLimited
from connect_worker.ledger.memory import MemoryLedger
from connect_worker.logger import LogEvent, logger
from connect_worker.resources.automation import Automation
from connect_worker.resources.processor import AutomationProcessor
from connect_worker.settings.model import account_name

#: Nobody else can take a request over, so a lease need not end.
LEASE_SECONDS = 365 * 86_400.0


def process_alone(automation: Automation[Any]) -> None:
    """Process all that waits for the automation, one request after the other."""
    loop = _Loop(automation)
    refs = deque(loop.sight())
    logger.info(LogEvent("local.started", kind=automation.kind, requests=len(refs)))
    while refs and not loop.broken:
        loop.handle(refs.popleft())
    if loop.broken:
        logger.error(LogEvent("local.stopped", reason=loop.broken, requests_left=len(refs)))


def dispatch_alone(automation: Automation[Any], request: Any) -> str:
    """Deal with one request that the caller has listed; returns how it ended."""
    loop, document = _Loop(automation), dict(request.json)
    if not loop.processor.covers(document):
        return "left alone: its product is not one of those looked after"
    sighting = loop.processor.pending_request(document, now=loop.engine.ledger.now())
    loop.note([sighting])
    return loop.handle(sighting.ref)


def local_runtime(
    processor: Processor,
    *,
    name: str,
    connect: Connect,
    ledger: MemoryLedger,
    products: Iterable[str] | None = None,
) -> Runtime:
    """Return an engine for one processor, with nobody beside it and nothing outside this process.

    Args:
        processor: What it runs.
        name: The processor's name, for people.
        connect: Where it reads and posts.
        ledger: What it remembers in; its account's name becomes part of the idempotency keys.
        products: The products that the processor is for; None for all.
    """
    claimed = frozenset(products) if products else None
    registration = Registration(processor.kind, claimed, name, processor)
    return Runtime(
        ledger=ledger,
        connect=connect,
        publisher=_Silence(),
        registry=Registry([registration]),
        leases=_Still(ledger),
        account=ledger.account,
        worker=f"{socket.gethostname()}:{os.getpid()}",
        lease_seconds=LEASE_SECONDS,
    )


class _Loop:
    """An engine for one automation, without anybody beside it."""

    def __init__(self, automation: Automation[Any]) -> None:
        self.processor = _Processor(automation.kind, lambda: automation, automation.config)
        self.engine = local_runtime(
            self.processor,
            name=type(automation).__name__,
            connect=automation.client,
            ledger=MemoryLedger(account=account_name(automation.config)),
        )
        #: Why no request can be dealt with (a refused key, Connect down); "" while they can.
        self.broken = ""

    def sight(self) -> list[RequestKey]:
        """List what waits; while Connect asks for a pause, wait for its end."""
        while True:
            try:
                now = self.engine.ledger.now()
                return self.note(self.processor.list_pending(self.engine.connect, now=now))
            except RateLimited as error:
                trouble = classify_account_error(error)
                assert trouble is not None  # noqa: S101 - a 429 always is one
                time.sleep(trouble.asked_seconds or 0)

    def note(self, sightings: Iterable[PendingRequest]) -> list[RequestKey]:
        """Note down what was seen; return the requests that are new, which is all of them."""
        ledger = self.engine.ledger
        return ledger.register(list(sightings), seen_at=ledger.now(), requeue_seconds=LEASE_SECONDS)

    def handle(self, ref: RequestKey) -> str:
        """Handle one request; while Connect asks for a pause, wait for its end.

        Raises:
            NotImplementedError: The processor raised it.
        """
        while True:
            handled = run_job(self.engine, ref)
            if self.processor.missing:
                raise self.processor.missing
            if not self._waits(ref, handled):
                logger.info(LogEvent("local.completed", request=ref.id, result=handled.text))
                return handled.text

    def _waits(self, ref: RequestKey, handled: JobResult) -> bool:
        """Wait for the end of a pause; False when there is none that Connect asked for."""
        now, gate = self.engine.ledger.now(), self.engine.ledger.breaker()
        entry = self.engine.ledger.get_record(ref)
        is_over = handled.retry_seconds is None and not handled.text.startswith("nothing to do")
        if entry is None or entry.state.is_final or is_over:
            return False
        if gate.open_until > now and gate.reason != PAUSE_ASKED_FOR:
            self.broken = gate.reason
            return False
        if gate.open_until <= now and handled.retry_seconds is not None:
            return False
        time.sleep(max(0.05, entry.due - now))
        return True


class _Processor(AutomationProcessor):
    """Keeps the error that the 2019 SDK raised to its caller."""

    missing: NotImplementedError | None = None

    def run(self, document: JSON, job: Job) -> None:
        try:
            super().run(document, job)
        except NotImplementedError as error:
            self.missing = error
            raise


class _Silence:
    """A publisher that has nobody to wake."""

    def publish(self, refs: Iterable[RequestKey]) -> None:
        """Do nothing: the loop knows its requests."""

    def publish_hints(self, notices: Iterable[ChangeHint]) -> None:
        """Do nothing: no notification comes here."""

    def backlogged(self) -> Backlog:
        return NO_BACKLOG


class _Still(LeaseKeeper):
    """Heartbeats of leases that don't end: none, and no thread for them."""

    @contextmanager
    def keep_alive(self, claim: Claim) -> Iterator[Lease]:
        yield Lease(self._ledger, claim)

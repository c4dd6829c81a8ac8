"""Runs automations as the 2019 SDK did: in one process, without Celery or Redis."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from connect_worker.domain.kinds import ChangeHint
from connect_worker.domain.outcomes import Outcome, Skip
from connect_worker.domain.retry import Cause, classify_account_error
from connect_worker.domain.states import (
    JSON,
    NO_BACKLOG,
    Backlog,
    Claim,
    PendingRequest,
    RequestKey,
)
from connect_worker.engine.job import Job, JobResult, JobStatus
from connect_worker.engine.job_runner import run_job
from connect_worker.engine.lease import Lease, LeaseKeeper
from connect_worker.engine.ports import Connect
from connect_worker.engine.runtime import Processor, Registration, Registry, Runtime
from connect_worker.exceptions import RateLimited
from connect_worker.ledger.memory import MemoryLedger
from connect_worker.logger import LogEvent, logger
from connect_worker.observability.logging import prepare_last_resort
from connect_worker.resources.automation import Automation
from connect_worker.resources.processor import AutomationProcessor, log_rejected_row
from connect_worker.rql import Filters
from connect_worker.settings.model import account_name

#: No other worker can take a request over, so a lease need not end.
LEASE_SECONDS: Final = 365 * 86_400.0


#: The result of a request whose decision is not in Connect, because of an error.
NOT_DECIDED: Final = "not decided"
#: The result of a request that waits for a later run, because its processor says so.
LEFT_PENDING: Final = "left pending"


class LocalRunner:
    """Runs an automation in this process; `Automation.process` and `dispatch` call it."""

    def __init__(self) -> None:
        #: How many requests of this process ended how: `approved`, `left pending`, `not decided`.
        self.results: Counter[str] = Counter()

    def process(self, automation: Automation[Any], filters: Filters = None) -> None:
        """Process what the automation lists, one after the other."""
        prepare_last_resort()
        run = _LocalRun(automation, filters)
        refs = deque(run.list_pending())
        if run.rejected:
            self.results[NOT_DECIDED] += run.rejected
        logger.info(LogEvent("local.started", kind=automation.kind, requests=len(refs)))
        while refs and not run.stop_reason:
            self._process(run, refs.popleft())
        if run.stop_reason:
            self.results[NOT_DECIDED] += len(refs)
            logger.error(LogEvent("local.stopped", reason=run.stop_reason, requests_left=len(refs)))

    def dispatch(self, automation: Automation[Any], request: Any) -> str:
        """Process one request that the caller has listed; return how it ended.

        A skip and a request of another product have the SDK's words, which its users compare.
        """
        prepare_last_resort()
        run, document = _LocalRun(automation), dict(request.json)
        if not run.processor.covers(document):
            return "Invalid product"
        pending = run.processor.pending_request(document, now=run.runtime.ledger.now())
        run.register([pending])
        result = self._process(run, pending.ref)
        is_skipped = isinstance(run.processor.outcome, Skip)
        return "skip" if is_skipped and result.status is JobStatus.SNOOZED else result.text

    def _process(self, run: _LocalRun, ref: RequestKey) -> JobResult:
        result = run.process(ref)
        record = run.runtime.ledger.get_record(ref)
        match result.status:
            case JobStatus.COMPLETED | JobStatus.SUPERSEDED if record:
                word = record.outcome
            case JobStatus.SNOOZED:
                word = LEFT_PENDING
            case _:
                word = NOT_DECIDED
        self.results[word] += 1
        return result


#: The one of this process.
LOCAL_RUNNER: Final = LocalRunner()


def local_runtime(
    processor: Processor,
    *,
    name: str,
    connect: Connect,
    ledger: MemoryLedger,
    products: Iterable[str] | None = None,
) -> Runtime:
    """Return a runtime for one processor that needs nothing outside of this process.

    Args:
        processor: What it runs.
        name: The processor's name, for people.
        connect: Where it reads and posts.
        ledger: Where it stores; its account's name becomes part of the idempotency keys.
        products: The products that the processor is for; None for all.
    """
    claimed = frozenset(products) if products else None
    registration = Registration(processor.kind, claimed, name, processor)
    return Runtime(
        ledger=ledger,
        connect=connect,
        publisher=_NullPublisher(),
        registry=Registry([registration]),
        leases=_EndlessLeases(ledger),
        account=ledger.account,
        worker=f"{socket.gethostname()}:{os.getpid()}",
        lease_seconds=LEASE_SECONDS,
        is_lasting=False,
    )


class _LocalRun:
    """One run of one automation, with a ledger of its own."""

    def __init__(self, automation: Automation[Any], filters: Filters = None) -> None:
        self.processor = _Processor(automation.kind, lambda: automation, automation.config, filters)
        self.runtime = local_runtime(
            self.processor,
            name=type(automation).__name__,
            connect=automation.client,
            ledger=MemoryLedger(account=account_name(automation.config)),
        )
        #: How many rows of the list can't be processed.
        self.rejected = 0
        #: Why no request can be processed (a refused key, Connect is down); "" while they can.
        self.stop_reason = ""
        #: Of the last job that failed: why the circuit breaker is open, if it is.
        self._cause: Cause | None = None

    def list_pending(self) -> list[RequestKey]:
        """Register what is pending; after a 429, wait as long as Connect asks for."""
        while True:
            try:
                now, connect = self.runtime.ledger.now(), self.runtime.connect
                rows = self.processor.list_pending(connect, now=now, rejected=self._reject)
                return self.register(rows)
            except RateLimited as error:
                account_error = classify_account_error(error)
                assert account_error is not None  # noqa: S101 - a 429 always is one
                time.sleep(account_error.asked_seconds or 0)

    def _reject(self, why: str) -> None:
        self.rejected += 1
        log_rejected_row(self.processor.kind, why)

    def register(self, pending: Iterable[PendingRequest]) -> list[RequestKey]:
        """Register pending requests; return those that are new, which are all of them."""
        ledger = self.runtime.ledger
        return ledger.register(list(pending), seen_at=ledger.now(), requeue_seconds=LEASE_SECONDS)

    def process(self, ref: RequestKey) -> JobResult:
        """Run the jobs of one request; after a 429, wait as long as Connect asks for.

        Raises:
            NotImplementedError: The processor raised it.
        """
        while True:
            result = run_job(self.runtime, ref)
            if self.processor.missing:
                raise self.processor.missing
            if not self._wait(ref, result):
                logger.info(LogEvent("local.completed", request=ref.id, result=result.text))
                return result

    def _wait(self, ref: RequestKey, result: JobResult) -> bool:
        """Wait for another job of the request; False when there is none.

        There is one only after a 429. Any other open circuit breaker stops the whole run.
        """
        self._cause = result.cause or self._cause
        if result.status not in (JobStatus.RETRY, JobStatus.DENIED):
            return False
        record = self.runtime.ledger.get_record(ref)
        if record is None or record.state.is_final:
            return False
        now, breaker = self.runtime.ledger.now(), self.runtime.ledger.breaker()
        if breaker.open_until > now and self._cause is not Cause.RATE_LIMITED:
            self.stop_reason = breaker.reason
            return False
        if breaker.open_until <= now and result.status is JobStatus.RETRY:
            return False
        time.sleep(max(0.05, record.due - now))
        return True


class _Processor(AutomationProcessor):
    """Keeps the outcome, and the error that the 2019 SDK raised to its caller."""

    outcome: Outcome | None = None
    missing: NotImplementedError | None = None

    def run(self, document: JSON, job: Job) -> Outcome:
        try:
            self.outcome = super().run(document, job)
        except NotImplementedError as error:
            self.missing = error
            raise
        return self.outcome


class _NullPublisher:
    """A publisher without a broker: the run knows its requests."""

    def publish(self, refs: Iterable[RequestKey]) -> None:
        """Do nothing."""

    def publish_hints(self, notices: Iterable[ChangeHint]) -> None:
        """Do nothing."""

    def backlogged(self) -> Backlog:
        return NO_BACKLOG


class _EndlessLeases(LeaseKeeper):
    """Leases that no thread has to renew."""

    @contextmanager
    def keep_alive(self, claim: Claim) -> Iterator[Lease]:
        yield Lease(self._ledger, claim)

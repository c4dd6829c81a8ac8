"""Polls and refreshes: read what is pending in Connect, register it, publish what is new.

A poll reads the whole pending list of a kind, within limits: a Connect that is broken may give
lists without end. A later poll reads what is left out. A refresh follows a change hint: it asks for
one request, or polls the kind. The content of a notification is not trusted: Connect's answer does
not contain a request that is not pending or belongs to another product, so nothing happens.
Registering a request twice has no effect.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Final

from connect_worker.domain.kinds import ChangeHint, status_of
from connect_worker.domain.retry import as_account_paused, classify_account_error
from connect_worker.domain.states import (
    JSON,
    PendingRequest,
    PollProblem,
    PollReport,
    RequestKey,
    RequestKind,
    State,
)
from connect_worker.engine.job_runner import keep_seconds
from connect_worker.engine.lease import RENEWALS_PER_LEASE
from connect_worker.engine.metrics import metric_labels
from connect_worker.engine.retry import describe, record_account_error
from connect_worker.engine.runtime import Runtime
from connect_worker.exceptions import LedgerUnavailable, Message, NotFound
from connect_worker.logger import LogEvent, logger

#: How many pending requests one call of the ledger registers.
BATCH: Final = 500
#: How often all workers together check that the account has the products of the settings.
PRODUCT_CHECK_SECONDS: Final = 3600.0
#: A kind that was refreshed, or is being polled, is refreshed again after this time.
REFRESH_SECONDS: Final = 2.0
#: How often one job refreshes one request in a row, while notifications about it arrive.
MOST_REFRESHES: Final = 3

#: A poll lasts so many leases at most. No other poll of its kind starts before.
MOST_LEASES: Final = 5
#: How many rows of one poll that can't become requests are described.
MOST_FAULTS: Final = 5

#: After these a poll has read every request that there is.
_COMPLETE: Final = (PollProblem.NONE, PollProblem.ROWS_REJECTED)

NO_PROCESSOR: Final = "no processor for this kind"


@dataclass(frozen=True, slots=True)
class PollResult:
    """What a poll found."""

    seen: int = 0
    new: int = 0
    problem: PollProblem = PollProblem.NONE
    #: What is wrong, for people; "" when nothing is.
    detail: str = ""

    def __str__(self) -> str:
        return self.detail or f"{self.seen} pending, {self.new} new"


class PollProgress:
    """How far a poll may go, and the little that it remembers of its lists, which may be long.

    Args:
        runtime: The ports and the limits.
        parked: The parked requests that no list had so far, by id.
    """

    def __init__(self, runtime: Runtime, *, parked: Iterable[RequestKey] = ()) -> None:
        self.count = 0
        #: Rows that can't become requests: how many, and what is wrong with the first ones.
        self.rejected = 0
        self.faults: list[str] = []
        self.parked = {ref.id: ref for ref in parked}
        #: Why the poll ends before its lists do; "" while it does not.
        self.stopped = ""
        self._connect = runtime.connect
        self._max_rows = runtime.max_list_rows
        self._seconds = MOST_LEASES * runtime.lease_seconds
        self._began = monotonic()

    def is_late(self) -> bool:
        """Whether the poll has lasted too long."""
        if monotonic() - self._began > self._seconds:
            self.stopped = f"it took longer than {self._seconds:g} s ({MOST_LEASES} leases)"
        return bool(self.stopped)

    def get(self, path: str, params: Mapping[str, str] | None = None) -> JSON:
        """Read from Connect."""
        return self._connect.get(path, params)

    def get_all(self, path: str, query: str | Mapping[str, object] | None = None) -> Iterator[JSON]:
        """Yield the rows of a list of Connect until the poll has to end."""
        for count, row in enumerate(self._connect.get_all(path, query), 1):
            if self.is_late():
                return
            yield row
            if count == self._max_rows:
                self.stopped = f"{path} has {count} rows or more (CONNECT_MAX_LIST_ROWS)"
                return

    def send(self, method: str, path: str, json: JSON, *, key: str) -> JSON:
        """Change something in Connect."""
        return self._connect.send(method, path, json, key=key)

    def track(self, rows: Iterable[PendingRequest]) -> Iterator[PendingRequest]:
        """Pass on each row. The ledger recognizes a request that comes twice."""
        for pending in rows:
            self.count += 1
            self.parked.pop(pending.ref.id, None)
            yield pending

    def reject(self, kind: RequestKind, why: str) -> None:
        """Count a row that can't become a request, and log it if it is one of the first."""
        self.rejected += 1
        if self.rejected <= MOST_FAULTS:
            self.faults.append(why)
            logger.error(LogEvent("poll.row_rejected", kind=kind, error=why))

    def detail(self) -> str:
        """Return for people how many rows can't become requests, and why."""
        rows = "1 row was" if self.rejected == 1 else f"{self.rejected} rows were"
        more = "; …" if self.rejected > len(self.faults) else ""
        return f"{rows} left out, all others read: {'; '.join(self.faults)}{more}"


def poll(runtime: Runtime, kind: RequestKind, *, is_asked_for: bool = False) -> PollResult:
    """Read every page of what is pending for this kind's processors and publish what is new.

    Polls may overlap, break off or be lost: a request is published once, and the next poll finds
    what this one missed. A poll that an operator or a change hint asked for also runs right after
    another one.

    Raises:
        LedgerUnavailable: Nothing can be registered, so nothing is published.
    """
    began = runtime.ledger.now()
    if not runtime.registry.of_kind(kind):
        result = PollResult(problem=PollProblem.NO_PROCESSOR, detail=NO_PROCESSOR)
        return _record(runtime, kind, began, result)
    read = partial(_poll_alone, runtime, kind, is_asked_for=is_asked_for)
    try:
        result = _read_connect(runtime, kind, read)
    except LedgerUnavailable:
        raise
    except Exception as error:
        result = PollResult(problem=PollProblem.FAILED, detail=describe(error))
        _record(runtime, kind, began, result)
        raise
    if result.problem is PollProblem.FAILED:
        logger.error(LogEvent("poll.failed", kind=kind, error=result.detail))
    return _record(runtime, kind, began, result)


def refresh(runtime: Runtime, hint: ChangeHint) -> str:
    """Register what a change hint is about, publish it if it is new; return what was found.

    The sweep repeats a refresh that is lost, or that Connect does not answer.

    Raises:
        LedgerUnavailable: Nothing can be registered, so nothing is published.
    """
    if not runtime.registry.of_kind(hint.kind):
        runtime.ledger.acknowledge_hint(hint, runtime.ledger.hint_mark(hint))
        return NO_PROCESSOR
    if not hint.request_id:
        return _refresh_kind(runtime, hint)
    text = ""
    for _ in range(MOST_REFRESHES):
        mark = runtime.ledger.hint_mark(hint)
        if not mark:
            return text or "nothing to do: already refreshed"
        read = partial(_read_one, runtime, hint)
        result = _read_connect(runtime, hint.kind, read)
        text = result.detail or ("new" if result.new else "nothing new")
        # A list that a processor makes wrongly is no better before the next poll.
        is_answer = result.problem in (*_COMPLETE, PollProblem.LIST_REJECTED)
        if not is_answer or runtime.ledger.acknowledge_hint(hint, mark):
            return text
    runtime.ledger.defer_hint(hint, seconds=REFRESH_SECONDS)
    return text


def _read_connect(
    runtime: Runtime, kind: RequestKind, read: Callable[[float], PollResult]
) -> PollResult:
    """Begin a poll or a refresh: check the circuit breaker, count calls, classify errors.

    Args:
        runtime: The ports.
        kind: What is read.
        read: Gets the ledger's clock before the first page.

    Raises:
        LedgerUnavailable: The ledger does not answer.
        Exception: An error that is not the account's.
    """
    breaker, seen_at = runtime.ledger.breaker(), runtime.ledger.now()
    if breaker.open_until > seen_at:
        return _breaker_open(breaker.reason)
    try:
        with metric_labels(kind):
            return read(seen_at)
    except Message as error:
        if paused := as_account_paused(error):
            return _breaker_open(paused.reason)
        account_error = classify_account_error(error)
        if account_error is None:
            raise
        record_account_error(runtime, account_error)
        return PollResult(problem=PollProblem.FAILED, detail=describe(error))


def _breaker_open(reason: str) -> PollResult:
    return PollResult(problem=PollProblem.BREAKER_OPEN, detail=f"breaker open: {reason}")


def _record(runtime: Runtime, kind: RequestKind, began: float, result: PollResult) -> PollResult:
    """Store how the poll ended, for operators; not of one that gave way to another poll."""
    if result.problem not in (PollProblem.TOO_SOON, PollProblem.UNDER_WAY):
        seconds = max(0.0, runtime.ledger.now() - began)
        report = PollReport(
            seconds=seconds,
            seen=result.seen,
            new=result.new,
            problem=result.problem,
            detail=result.detail,
        )
        runtime.ledger.record_poll(kind, report)
    return result


def _poll_alone(
    runtime: Runtime, kind: RequestKind, seen_at: float, *, is_asked_for: bool
) -> PollResult:
    """Poll under a lock, so that only one worker polls a kind at a time."""
    owner = f"{runtime.worker}:{uuid.uuid4().hex[:8]}"
    # Scheduled polls pile up while no worker takes them; one of them is enough.
    seconds = runtime.poll_seconds.get(kind, 0.0) / 2
    is_due = not seconds or runtime.ledger.lock(f"polled:{kind}", owner=owner, seconds=seconds)
    if not is_due and not is_asked_for:
        return PollResult(problem=PollProblem.TOO_SOON, detail="polled a moment ago")
    if not runtime.ledger.lock(f"poll:{kind}", owner=owner, seconds=runtime.lease_seconds):
        detail = "another poll of this kind is under way"
        return PollResult(problem=PollProblem.UNDER_WAY, detail=detail)
    try:
        with _kept_lock(runtime, f"poll:{kind}", owner=owner):
            progress = PollProgress(runtime, parked=runtime.ledger.parked(kind))
            return _poll(runtime, kind, progress, seen_at)
    finally:
        runtime.ledger.unlock(f"poll:{kind}", owner=owner)


@contextmanager
def _kept_lock(runtime: Runtime, name: str, *, owner: str) -> Iterator[None]:
    """Renew a lock inside the with-block: one page may take longer than a lease.

    Only for as long as a poll may last: a filter of a processor that never returns must not keep
    the lock for ever.
    """
    seconds, ended = runtime.lease_seconds, threading.Event()

    def renew() -> None:
        for _ in range((MOST_LEASES + 1) * RENEWALS_PER_LEASE):
            if ended.wait(seconds / RENEWALS_PER_LEASE):
                return
            try:
                runtime.ledger.lock(name, owner=owner, seconds=seconds)
            except LedgerUnavailable:
                # The poll notices it too, or the next renewal succeeds.
                continue

    thread = threading.Thread(target=renew, name="poll lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _poll(
    runtime: Runtime, kind: RequestKind, progress: PollProgress, seen_at: float
) -> PollResult:
    result = register_pending(runtime, kind, progress, seen_at)
    if runtime.ledger.breaker().failures:
        # Connect can be read; if decisions wait, a post shows whether it takes them too.
        reset_forgets = not _has_stored_decisions(runtime)
        runtime.ledger.reset_breaker(forget=reset_forgets)
    if progress.stopped:
        # The parked requests that it has not seen may be in the rest of a list.
        logger.warning(
            LogEvent("poll.incomplete", kind=kind, seen=result.seen, because=progress.stopped)
        )
        return result
    _check_parked(runtime, progress, seen_at)
    check_products(runtime)
    logger.info(LogEvent("poll.completed", kind=kind, seen=result.seen, new=result.new))
    return result


def _has_stored_decisions(runtime: Runtime) -> bool:
    return any(states[State.DECIDED] for states in runtime.ledger.counts().values())


def _read_one(runtime: Runtime, hint: ChangeHint, seen_at: float) -> PollResult:
    result = register_pending(runtime, hint.kind, PollProgress(runtime), seen_at, hint.request_id)
    logger.info(
        LogEvent("refresh.completed", request=hint.request_id, kind=hint.kind, new=result.new)
    )
    return result


def _refresh_kind(runtime: Runtime, hint: ChangeHint) -> str:
    """Poll, even right after another poll, but not more often than every two seconds.

    Without this limit the notifications of a busy account would have its list read all the time.
    """
    mark = runtime.ledger.hint_mark(hint)
    if not mark:
        return "nothing to do: already polled"
    if not runtime.ledger.lock(f"looked:{hint.kind}", owner=mark, seconds=REFRESH_SECONDS):
        runtime.ledger.defer_hint(hint, seconds=REFRESH_SECONDS)
        return "polled a moment ago; again soon"
    result = poll(runtime, hint.kind, is_asked_for=True)
    # The poll that is under way may have read before the change. After any other problem the sweep
    # publishes the hint again.
    if result.problem is PollProblem.UNDER_WAY or (
        result.problem in _COMPLETE and not runtime.ledger.acknowledge_hint(hint, mark)
    ):
        runtime.ledger.defer_hint(hint, seconds=REFRESH_SECONDS)
    return str(result)


def register_pending(
    runtime: Runtime,
    kind: RequestKind,
    progress: PollProgress,
    seen_at: float,
    request_id: str = "",
) -> PollResult:
    """Register what is pending for this kind's processors, or the request with this id.

    What is new is published. An error in the list of one processor does not stop the others.
    """
    new, details = 0, []
    for processor in runtime.registry.of_kind(kind):
        try:
            rows = processor.list_pending(
                progress,
                now=seen_at,
                request_id=request_id,
                rejected=partial(progress.reject, kind),
            )
            for refs in _register(runtime, rows, progress, seen_at):
                new += len(refs)
        except LedgerUnavailable:
            raise
        except Exception as error:
            # A processor's filters are user code: its errors concern no other processor.
            if classify_account_error(error) is not None or as_account_paused(error) is not None:
                raise
            details.append(describe(error))
            logger.exception(LogEvent("poll.list_rejected", kind=kind, automation=str(processor)))
    problem = PollProblem.LIST_REJECTED if details else PollProblem.NONE
    if progress.stopped:
        problem = problem or PollProblem.INCOMPLETE
        details.append(f"incomplete: {progress.stopped}")
    if progress.rejected:
        problem = problem or PollProblem.ROWS_REJECTED
        details.append(progress.detail())
    return PollResult(progress.count, new, problem, "; ".join(details))


def _register(
    runtime: Runtime, rows: Iterable[PendingRequest], progress: PollProgress, seen_at: float
) -> Iterator[list[RequestKey]]:
    """Register one processor's list, publish what is new and yield it, batch by batch.

    Rows before an error of the list are registered before the error is passed on.
    """
    batch: list[PendingRequest] = []

    def flush() -> list[RequestKey]:
        refs = runtime.ledger.register(
            batch, seen_at=seen_at, requeue_seconds=runtime.requeue_seconds
        )
        runtime.publisher.publish(refs)
        batch.clear()
        return refs

    try:
        for pending in progress.track(rows):
            batch.append(pending)
            if len(batch) == BATCH:
                yield flush()
    except LedgerUnavailable:
        raise
    except Exception:
        if batch:
            yield flush()
        raise
    if batch:
        yield flush()


def _check_parked(runtime: Runtime, progress: PollProgress, seen_at: float) -> None:
    """End the cycles of parked requests that a user has decided in Connect."""
    for ref in progress.parked.values():
        if progress.is_late():
            return
        try:
            status = status_of(runtime.fetch(ref))
        except Message as error:
            if classify_account_error(error) is not None or as_account_paused(error) is not None:
                raise
            # A request that can't be read concerns no other one.
            logger.warning(LogEvent("poll.check_failed", request=ref.id, error=describe(error)))
            continue
        if _may_be_pending(runtime, ref, status):
            continue
        keep = keep_seconds(runtime, ref, status)
        if runtime.ledger.mark_decided_elsewhere(ref, status, seen_at=seen_at, keep_seconds=keep):
            logger.info(LogEvent("request.decided_elsewhere", request=ref.id, status=status))


def _may_be_pending(runtime: Runtime, ref: RequestKey, status: str) -> bool:
    return any(
        processor.awaits({"status": status}) for processor in runtime.registry.of_kind(ref.kind)
    )


def check_products(runtime: Runtime) -> None:
    """Log the products of the settings that the account does not have; hourly, by one worker.

    A poll for such a product just finds nothing.
    """
    if not runtime.products:
        return
    if not runtime.ledger.lock("products", owner=runtime.worker, seconds=PRODUCT_CHECK_SECONDS):
        return
    for product in runtime.products:
        try:
            runtime.connect.get(f"products/{product}")
        except NotFound:
            logger.error(
                LogEvent(
                    "product.unknown",
                    product=product,
                    remedy="the account has no such product: check CONNECT_PRODUCTS",
                )
            )
        except Message as error:
            # The poll before has logged an error of the account.
            logger.debug(LogEvent("product.check_failed", product=product, error=error))

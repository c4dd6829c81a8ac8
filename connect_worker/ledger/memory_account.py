"""What the in-memory ledger holds of an account: its records, breaker, locks, hints and counters.

The part of `MemoryLedger` that changes no request. All times are milliseconds.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar
from uuid import uuid4

from connect_worker.domain.kinds import ChangeHint, HintResult
from connect_worker.domain.metrics import (
    MAX_PRODUCTS,
    OTHER,
    WORKER_SECONDS,
    Durations,
    HourlyCompletions,
    Metric,
    MetricBuffer,
    MetricCounts,
    NullMetricBuffer,
    WorkerLoad,
    bound_of,
)
from connect_worker.domain.states import (
    JSON,
    BreakerState,
    Claim,
    PollReport,
    RateLimitResult,
    RequestKey,
    RequestKind,
    RequestRecord,
    State,
    StateChange,
)
from connect_worker.ledger.codec import (
    DAY_MS,
    HOUR_MS,
    MAX_GAP_MS,
    MAX_HINTS,
    MAX_STATE_CHANGES,
    MAX_WAITING_CALLS,
    decode_poll,
    encode_poll,
    group_by_product,
    microseconds_between,
    milliseconds,
    sum_by_kind,
    truncate_error,
    worker_name,
)


@dataclass(slots=True)
class Record:
    """One request, from its first poll until the record expires."""

    cycle: str
    first_seen: int
    #: The last change of state.
    changed: int
    #: Leased: the lease's end. Unfinished: the time from which it may be claimed. Else 0.
    due: int
    #: When `take_due` must check it; None for parked and ended ones.
    check_at: int | None
    state: State = State.QUEUED
    #: Named cycles before this one.
    earlier: list[str] = field(default_factory=list)
    product: str = ""
    fence: int = 0
    #: Of the last claim, released or not.
    owner: str = ""
    attempt: int = 0
    #: Whether the claim counted an attempt, which can be given back.
    attempt_counted: bool = False
    #: Messages published since a worker last answered one.
    unanswered: int = 0
    #: JSON text, so that a caller who changes the document does not change the decision.
    decision: str | None = None
    steps: dict[str, str] = field(default_factory=dict)
    step_times: dict[str, int] = field(default_factory=dict)
    #: The limit of which it holds a slot (while running), or in whose slot queue it waits (else).
    limit: str = ""
    #: The processor's first "not yet"; 0 for none.
    snoozed_since: int = 0
    error: str = ""
    outcome: str = ""
    #: The call that released the last claim; repeated, that call changes nothing.
    released_by: str = ""
    #: How long to keep the record once the cycle has ended, and until when.
    keep: int = 0
    expires: int | None = None
    #: The cycle's last changes of state.
    history: list[StateChange] = field(default_factory=list)
    #: The operator's pause for whose end it waits.
    paused_by: str = ""

    def append_history(self, state: State, *, now: int, is_claimed: bool = False) -> None:
        """Add a change of state to the cycle's history; of too many the oldest goes."""
        change = StateChange(now / 1000, state, worker_name(self.owner) if is_claimed else "")
        self.history = [*self.history, change][-MAX_STATE_CHANGES:]

    def is_held(self, now: int) -> bool:
        """Whether a worker holds it under a live lease."""
        return self.state.is_leased and self.due > now

    def is_of(self, claim: Claim) -> bool:
        """Whether the claim is the last one given."""
        return self.fence == claim.fence and self.owner == claim.owner

    def is_unfinished(self) -> bool:
        """Whether a worker will still work on it."""
        return not self.state.is_final and self.state is not State.PARKED

    def to_claim(
        self,
        ref: RequestKey,
        lease_seconds: float,
        *,
        is_half_open_probe: bool,
        metric_product: str,
    ) -> Claim:
        """Return the claim that holds it."""
        return Claim(
            ref=ref,
            cycle=self.cycle,
            fence=self.fence,
            owner=self.owner,
            attempt=self.attempt,
            lease_seconds=lease_seconds,
            product=self.product,
            decision=self._decision(),
            steps=self._steps(),
            is_half_open_probe=is_half_open_probe,
            limit=self.limit,
            metric_product=metric_product,
            snoozed_since=self.snoozed_since / 1000,
        )

    def to_request_record(self, ref: RequestKey) -> RequestRecord:
        """Return all of it, for people."""
        return RequestRecord(
            ref=ref,
            state=self.state,
            cycle=self.cycle,
            fence=self.fence,
            attempt=self.attempt,
            product=self.product,
            owner=self.owner if self.state.is_leased else "",
            due=self.due / 1000,
            decision=self._decision(),
            steps=self._steps(),
            step_times={name: at / 1000 for name, at in self.step_times.items()},
            outcome=self.outcome,
            error=self.error,
            first_seen=self.first_seen / 1000,
            changed=self.changed / 1000,
            earlier=tuple(self.earlier),
            history=tuple(self.history),
            snoozed_since=self.snoozed_since / 1000,
            paused_by=self.paused_by,
        )

    def _decision(self) -> JSON:
        return None if self.decision is None else json.loads(self.decision)

    def _steps(self) -> dict[str, JSON]:
        return {name: json.loads(result) for name, result in self.steps.items()}


@dataclass(slots=True)
class Breaker:
    """The account's circuit breaker."""

    open_until: int = 0
    reason: str = ""
    failures: int = 0
    #: The owner of the half-open probe: its claim shows whether Connect works again.
    probe: str = ""
    probe_until: int = 0
    #: Opened for failures: half-open after `open_until`.
    needs_probe: bool = False
    #: Until when Connect requested a pause, and the reason.
    requested_until: int = 0
    requested_reason: str = ""

    def to_state(self, now: int) -> BreakerState:
        """Return it as workers see it; it is closed when its time is over without failures."""
        if self.open_until <= now and not self.failures:
            return BreakerState()
        return BreakerState(
            open_until=self.open_until / 1000,
            reason=self.reason,
            failures=self.failures,
            needs_probe=self.needs_probe,
        )


L = TypeVar("L", bound="MemoryAccount")
P = ParamSpec("P")
R = TypeVar("R")


def atomic(method: Callable[Concatenate[L, P], R]) -> Callable[Concatenate[L, P], R]:
    """Let one thread at a time use the ledger, as Redis lets one script."""

    @wraps(method)
    def locked(self: L, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._mutex:
            return method(self, *args, **kwargs)

    return locked


class MemoryAccount:
    """The part of `MemoryLedger` that changes no request.

    Args:
        clock: Seconds since the epoch.
        metric_buffer: As `RedisLedger` takes it.
    """

    def __init__(self, *, clock: Callable[[], float], metric_buffer: MetricBuffer | None) -> None:
        self._clock = clock
        #: The ledger's clock when it was last stored; None before the first call.
        self._seen: int | None = None
        #: By how much it was ahead of `clock` then.
        self._ahead = 0
        self._mutex = threading.RLock()
        self._records: dict[RequestKey, Record] = {}
        self._breaker = Breaker()
        #: When the next call to Connect may be sent, in microseconds.
        self._next_call = 0
        #: By name, the owner of a lock, and until when.
        self._locks: dict[str, tuple[str, int]] = {}
        #: The mark of a hint's last notification, and when another message is due.
        self._hints: dict[ChangeHint, tuple[str, int]] = {}
        #: Until when each notification is remembered.
        self._notifications: dict[str, int] = {}
        self._polls: dict[RequestKind, PollReport] = {}
        self._final_counts: Counter[tuple[RequestKind, State, str]] = Counter()
        self._outcomes: Counter[tuple[RequestKind, str, str]] = Counter()
        #: The outcomes by day, since the epoch, and without products.
        self._daily: Counter[tuple[int, RequestKind, str]] = Counter()
        #: Completed cycles by hour, since the epoch, and by how long they took.
        self._completed: Counter[tuple[int, RequestKind, float]] = Counter()
        self._metric_buffer = metric_buffer or NullMetricBuffer()
        #: Until when each worker's report counts, and the report.
        self._workers: dict[str, tuple[int, WorkerLoad]] = {}
        self._metrics: Counter[Metric] = Counter()
        #: The products that are counted by name.
        self._products: set[str] = set()

    @atomic
    def now(self) -> float:
        """Return the ledger's clock, in whole milliseconds."""
        return self._now() / 1000

    def _now(self) -> int:
        return self._read_clock() // 1000

    def _server_now(self) -> int:
        """Return the clock that may be set back; Redis lets keys expire by it."""
        return milliseconds(self._clock())

    def _read_clock(self) -> int:
        """Return the ledger's clock in microseconds, as `_prelude.lua` does."""
        exact, server, since = round(self._clock() * 1_000_000), self._server_now(), self._seen
        if since is None:
            self._seen = server
            return exact
        passed = server + self._ahead - since
        if passed < 0:
            ahead = self._ahead - passed
        else:
            ahead = self._ahead - min(self._ahead, max(passed // 10, passed - MAX_GAP_MS))
        if not 0 <= passed < 1000:
            self._seen, self._ahead = server + ahead, ahead
            if self._seen - since > MAX_GAP_MS:
                self._extend_leases(since, self._seen - since - MAX_GAP_MS)
        return exact + ahead * 1000

    def _extend_leases(self, since: int, by: int) -> None:
        """Let leases that held before an absence of the ledger last longer."""
        for record in self._records.values():
            if record.is_held(since):
                self._renew(record, record.due + by)

    def _renew(self, record: Record, until: int) -> None:
        """Let a lease last until then; as long do claims wait for its half-open probe."""
        record.due = record.check_at = until
        if self._breaker.probe == record.owner:
            self._breaker.probe_until = until

    # ---- CircuitBreaker

    @atomic
    def breaker(self) -> BreakerState:
        """Return the state of the account's circuit breaker."""
        return self._breaker.to_state(self._now())

    @atomic
    def trip_breaker(
        self, *, seconds: float, reason: str, failed: bool, asked: bool = False
    ) -> BreakerState:
        """Open the account's circuit breaker for all workers, at least for `seconds`."""
        now, breaker = self._now(), self._breaker
        till, reason = now + milliseconds(seconds), truncate_error(reason)
        # Many workers fail in one outage: while it is open for a failure, others are not counted.
        if failed and not (breaker.open_until > now and breaker.failures):
            breaker.failures += 1
        if seconds > 0 and breaker.failures > 0 and not asked:
            breaker.needs_probe = True
        if asked and till > breaker.requested_until:
            breaker.requested_until, breaker.requested_reason = till, reason
        if till >= breaker.open_until:
            breaker.open_until, breaker.reason = till, reason
        breaker.probe, breaker.probe_until = "", 0
        return breaker.to_state(now)

    @atomic
    def reset_breaker(self, *, forget: bool = True) -> None:
        """Close the breaker; forget its failures, unless `forget` is false."""
        old, failures = self._breaker, 0 if forget else self._breaker.failures
        self._breaker = Breaker(failures=failures, reason=old.reason if failures else "")
        if old.requested_until > self._now():
            # The call whose success resets the breaker was sent before Connect requested the pause.
            until, reason = old.requested_until, old.requested_reason
            self._breaker.open_until, self._breaker.reason = until, reason
            self._breaker.requested_until, self._breaker.requested_reason = until, reason

    @atomic
    def acquire_call(self, *, calls_per_second: float | None = None) -> RateLimitResult:
        """Say when one more call to Connect may be sent, and reserve its place."""
        open_for = self._breaker.open_until - self._now()
        if open_for > 0:
            return RateLimitResult(open_for / 1000, self._breaker.reason)
        interval = microseconds_between(calls_per_second)
        if not interval:
            return RateLimitResult()
        now = self._read_clock()
        place = max(self._next_call, now)
        if place - now > interval * MAX_WAITING_CALLS:
            # More calls than can wait: the clock was set back.
            place = now
        self._next_call = place + interval
        return RateLimitResult(wait_seconds=(place - now) / 1_000_000)

    # ---- Locks

    @atomic
    def lock(self, name: str, *, owner: str, seconds: float) -> bool:
        """Take a named lock for a while; its owner asking again renews it."""
        current, until = self._locks.get(name, ("", 0))
        if current != owner and until > self._now():
            return False
        self._locks[name] = owner, self._now() + milliseconds(seconds)
        return True

    @atomic
    def unlock(self, name: str, *, owner: str) -> None:
        """Give a named lock back, when it is still the owner's."""
        if self._locks.get(name, ("", 0))[0] == owner:
            del self._locks[name]

    # ---- ChangeHints

    @atomic
    def add_hint(
        self, hint: ChangeHint, *, digest: str, remember_seconds: float, requeue_seconds: float
    ) -> tuple[HintResult, ChangeHint]:
        """Store the hint of a notification."""
        now, mark, server = self._now(), uuid4().hex[:16], self._server_now()
        known = self._notifications.items()
        self._notifications = {name: until for name, until in known if until > server}
        if digest in self._notifications:
            return HintResult.REPLAYED, hint
        self._notifications[digest] = server + max(1, milliseconds(remember_seconds))
        if hint not in self._hints and len(self._hints) >= MAX_HINTS:
            hint = hint.whole
        if hint in self._hints:
            self._hints[hint] = mark, self._hints[hint][1]
            return HintResult.KNOWN, hint
        self._hints[hint] = mark, now + milliseconds(requeue_seconds)
        return HintResult.NEW, hint

    @atomic
    def hint_mark(self, hint: ChangeHint) -> str:
        """Return the mark of the last notification that no worker has acknowledged."""
        return self._hints.get(hint, ("", 0))[0]

    @atomic
    def acknowledge_hint(self, hint: ChangeHint, mark: str) -> bool:
        """Remove a hint, unless another notification has come since this mark."""
        if hint in self._hints and self._hints[hint][0] != mark:
            return False
        self._hints.pop(hint, None)
        return True

    @atomic
    def defer_hint(self, hint: ChangeHint, *, seconds: float) -> None:
        """Have `stale_hints` return it after a while."""
        if hint in self._hints:
            self._hints[hint] = self._hints[hint][0], self._now() + milliseconds(seconds)

    @atomic
    def stale_hints(self, *, limit: int, requeue_seconds: float) -> list[ChangeHint]:
        """Return the hints that no worker has acknowledged in time."""
        now = self._now()
        due = sorted((at, str(hint), hint) for hint, (_, at) in self._hints.items() if at <= now)
        stale = [hint for _, _, hint in due[:limit]]
        for hint in stale:
            self._hints[hint] = self._hints[hint][0], now + milliseconds(requeue_seconds)
        return stale

    # ---- Counters

    @atomic
    def record_poll(self, kind: RequestKind, poll: PollReport) -> None:
        """Store how a kind's poll ended."""
        self._polls[kind] = decode_poll(f"{self._now()} {encode_poll(poll)}")
        self._add_metrics()

    @atomic
    def polls(self) -> Mapping[RequestKind, PollReport]:
        """Return how the last poll of each kind ended."""
        return dict(self._polls)

    @atomic
    def counts(self) -> Mapping[RequestKind, Mapping[State, int]]:
        """Return how many requests are in each state, zeros included."""
        return sum_by_kind(self.counts_by_product(), words=State)

    @atomic
    def counts_by_product(self) -> Mapping[tuple[RequestKind, str], Mapping[State, int]]:
        """Return the same by kind and product, without zeros."""
        counted = Counter(
            (ref.kind, record.state, self._label_of(record.product))
            for ref, record in self._records.items()
            if not record.state.is_final
        )
        return group_by_product((counted + self._final_counts).items())

    @atomic
    def outcomes(self) -> Mapping[RequestKind, Mapping[str, int]]:
        """Return how many cycles ended with each outcome, for every kind."""
        return sum_by_kind(self.outcomes_by_product())

    @atomic
    def outcomes_by_product(self) -> Mapping[tuple[RequestKind, str], Mapping[str, int]]:
        """Return the same by kind and product."""
        return group_by_product(self._outcomes.items())

    @atomic
    def outcomes_today(self) -> Mapping[RequestKind, Mapping[str, int]]:
        """Return the outcomes since midnight, UTC."""
        ended: dict[RequestKind, dict[str, int]] = {kind: {} for kind in RequestKind}
        for (day, kind, outcome), count in self._daily.items():
            if day == self._now() // DAY_MS:
                ended[kind][outcome] = count
        return ended

    @atomic
    def completed_by_hour(self, hours: int) -> list[HourlyCompletions]:
        """Return what was completed in the last hours, the current one included."""
        this = self._now() // HOUR_MS
        numbers = range(this - hours + 1, this + 1)
        by_bound = {(at, kind): dict[float, int]() for at in numbers for kind in RequestKind}
        for (at, kind, bound), number in self._completed.items():
            if at in numbers:
                by_bound[at, kind][bound] = number
        return [
            HourlyCompletions(
                at * HOUR_MS / 1000, {kind: Durations(by_bound[at, kind]) for kind in RequestKind}
            )
            for at in numbers
        ]

    @atomic
    def oldest(self) -> Mapping[RequestKind, float | None]:
        """Return when the oldest unfinished cycle of each kind began."""
        began: dict[RequestKind, list[float]] = {kind: [] for kind in RequestKind}
        for (kind, _), at in self.oldest_by_product().items():
            began[kind].append(at)
        return {kind: min(times, default=None) for kind, times in began.items()}

    @atomic
    def oldest_by_product(self) -> Mapping[tuple[RequestKind, str], float]:
        """Return when the oldest unfinished cycle of each kind and product began."""
        began: dict[tuple[RequestKind, str], float] = {}
        for ref, record in self._records.items():
            if record.is_unfinished():
                name, at = (ref.kind, self._label_of(record.product)), record.first_seen / 1000
                began[name] = min(at, began.get(name, at))
        return began

    @atomic
    def metrics(self) -> MetricCounts:
        """Return what was counted in addition to states and outcomes, since the start."""
        return dict(self._metrics)

    @atomic
    def record_worker(self, name: str, load: WorkerLoad) -> None:
        """Store what a worker does now."""
        self._workers[name] = self._now() + milliseconds(WORKER_SECONDS), load

    @atomic
    def workers(self) -> Mapping[str, WorkerLoad]:
        """Return what each worker does that has reported lately."""
        now = self._now()
        return {name: load for name, (ends, load) in self._workers.items() if ends > now}

    def _label_of(self, product: str) -> str:
        """Return the name under which a product is counted; it stays the same."""
        if product and product not in self._products:
            if len(self._products) >= MAX_PRODUCTS:
                return OTHER
            self._products.add(product)
        return product

    def _count_metric(self, name: str, ref: RequestKey, record: Record, what: str = "") -> None:
        product = self._label_of(record.product)
        self._metrics[Metric(name, ref.kind.value, what, product)] += 1

    def _add_metrics(self) -> None:
        """Add what this process has counted since its last call that did so."""
        self._metrics.update(self._metric_buffer.take())

    def _count_end(self, ref: RequestKey, record: Record, state: State, outcome: str) -> None:
        """Count a cycle that ends in this state now."""
        product = self._label_of(record.product)
        self._final_counts[ref.kind, state, product] += 1
        if state is State.COMPLETED:
            bound = bound_of(self._now() - record.first_seen)
            self._completed[self._now() // HOUR_MS, ref.kind, bound] += 1
        if outcome:
            self._outcomes[ref.kind, outcome, product] += 1
            self._daily[self._now() // DAY_MS, ref.kind, outcome] += 1

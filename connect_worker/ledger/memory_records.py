"""What the ledger in memory counts, for people and dashboards; the half that changes no request."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from connect_worker.domain.metrics import (
    MAX_PRODUCTS,
    OTHER,
    Durations,
    HourlyCompletions,
    Metric,
    MetricBuffer,
    MetricCounts,
    NullMetricBuffer,
    bound_of,
)
from connect_worker.domain.states import (
    JSON,
    BreakerState,
    Claim,
    RequestKey,
    RequestKind,
    RequestRecord,
    State,
    StateChange,
)
from connect_worker.ledger.codec import by_kind, by_product, milliseconds, worker_of

# What `MemoryLedger` holds of one request, and of the account's pause; times in milliseconds.

#: How many changes of state a record remembers.
MAX_MOMENTS = 24


@dataclass(slots=True)
class Record:
    """One request, from the first sighting until it is forgotten."""

    cycle: str
    first_seen: int
    #: The last change of state.
    changed: int
    #: Leased: the lease's end. Waiting: the time from which it may be claimed. Else 0.
    due: int
    #: When `wake` must look at it; None for parked and ended ones.
    look: int | None
    state: State = State.QUEUED
    #: Named cycles before this one.
    names: list[str] = field(default_factory=list)
    product: str = ""
    fence: int = 0
    #: Of the last claim, given up or not.
    owner: str = ""
    attempt: int = 0
    #: Whether the claim counted an attempt, which can be given back.
    counted: bool = False
    #: Messages published since somebody last answered one.
    unanswered: int = 0
    #: JSON text, so that a caller who changes the document does not change the decision.
    decision: str | None = None
    steps: dict[str, str] = field(default_factory=dict)
    step_times: dict[str, int] = field(default_factory=dict)
    #: The limit in whose slots (while running) or line (else) it is.
    limit: str = ""
    #: The processor's first "not yet"; 0 for none.
    snoozed_since: int = 0
    error: str = ""
    outcome: str = ""
    #: The call that took it out of the last owner's hands; repeated, that call changes nothing.
    given_up_by: str = ""
    #: How long to remember it once the cycle has ended, and until when.
    keep: int = 0
    expires: int | None = None
    #: The cycle's last changes of state.
    history: list[StateChange] = field(default_factory=list)
    #: The pause for whose end it waits.
    paused_by: str = ""

    def remember(self, state: State, *, now: int, claimed: bool = False) -> None:
        """Add a change of state to the cycle's past; of too many the oldest goes."""
        moment = StateChange(now / 1000, state, worker_of(self.owner) if claimed else "")
        self.history = [*self.history, moment][-MAX_MOMENTS:]

    def is_held(self, now: int) -> bool:
        """Whether a worker holds it under a live lease."""
        return self.state.is_leased and self.due > now

    def is_of(self, claim: Claim) -> bool:
        """Whether the claim is the last one given."""
        return self.fence == claim.fence and self.owner == claim.owner

    def to_claim(
        self, ref: RequestKey, lease_seconds: float, *, probe: bool, counted_as: str
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
            is_half_open_probe=probe,
            limit=self.limit,
            counted_as=counted_as,
            snoozed_since=self.snoozed_since / 1000,
        )

    def to_entry(self, ref: RequestKey) -> RequestRecord:
        """Return all of it, for people to look at."""
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
            earlier=tuple(self.names),
            history=tuple(self.history),
            snoozed_since=self.snoozed_since / 1000,
            paused_by=self.paused_by,
        )

    def _decision(self) -> JSON:
        return None if self.decision is None else json.loads(self.decision)

    def _steps(self) -> dict[str, JSON]:
        return {name: json.loads(result) for name, result in self.steps.items()}


@dataclass(slots=True)
class GateRecord:
    """The account's pause."""

    until: int = 0
    reason: str = ""
    failures: int = 0
    #: The owner whose claim finds out whether the account works again.
    probe: str = ""
    probe_until: int = 0
    #: Closed for failures: it opens with one probe.
    strict: bool = False
    #: Until when Connect itself asked for it, and the reason.
    asked_until: int = 0
    asked_for: str = ""

    def to_gate(self, now: int) -> BreakerState:
        """Return it as everybody sees it; a pause that ended without failures is none."""
        if self.until <= now and not self.failures:
            return BreakerState()
        return BreakerState(
            open_until=self.until / 1000, reason=self.reason, failures=self.failures
        )


L = TypeVar("L", bound="MemoryNumbers")
P = ParamSpec("P")
R = TypeVar("R")

HOUR_MS, DAY_MS = 3_600_000, 86_400_000


def atomic(method: Callable[Concatenate[L, P], R]) -> Callable[Concatenate[L, P], R]:
    """Let one thread at a time change the ledger, as Redis lets one script."""

    @wraps(method)
    def alone(self: L, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._lock:
            return method(self, *args, **kwargs)

    return alone


class MemoryNumbers:
    """The counters of `MemoryLedger`.

    Args:
        clock: Seconds since the epoch.
        tally: As `RedisLedger` takes it.
    """

    def __init__(self, *, clock: Callable[[], float], tally: MetricBuffer | None) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._records: dict[RequestKey, Record] = {}
        self._ended: Counter[tuple[RequestKind, State, str]] = Counter()
        self._outcomes: Counter[tuple[RequestKind, str, str]] = Counter()
        #: The outcomes by day, since the epoch, and without products.
        self._daily: Counter[tuple[int, RequestKind, str]] = Counter()
        #: Settled cycles by hour, since the epoch, and by how long they took.
        self._settled: Counter[tuple[int, RequestKind, float]] = Counter()
        self._tally = tally or NullMetricBuffer()
        self._measures: Counter[Metric] = Counter()
        #: The products that are counted by name.
        self._products: set[str] = set()

    def now(self) -> float:
        """Return the clock, in whole milliseconds."""
        return self._now() / 1000

    def _now(self) -> int:
        return milliseconds(self._clock())

    @atomic
    def counts(self) -> Mapping[RequestKind, Mapping[State, int]]:
        """Return how many requests are in each state, zeros included."""
        return by_kind(self.census(), words=State)

    @atomic
    def census(self) -> Mapping[tuple[RequestKind, str], Mapping[State, int]]:
        """Return the same by kind and product, without zeros."""
        counted = Counter(
            (ref.kind, record.state, self._label_of(record.product))
            for ref, record in self._records.items()
            if not record.state.is_final
        )
        return by_product((counted + self._ended).items())

    @atomic
    def outcomes(self) -> Mapping[RequestKind, Mapping[str, int]]:
        """Return how many cycles ended with each outcome, for every kind."""
        return by_kind(self.endings())

    @atomic
    def endings(self) -> Mapping[tuple[RequestKind, str], Mapping[str, int]]:
        """Return the same by kind and product."""
        return by_product(self._outcomes.items())

    @atomic
    def oldest_by_product(self) -> Mapping[tuple[RequestKind, str], float]:
        """Return when the longest waiting cycle of each kind and product began."""
        began: dict[tuple[RequestKind, str], float] = {}
        for ref, item in self._records.items():
            if not item.state.is_final and item.state is not State.PARKED:
                name, at = (ref.kind, self._label_of(item.product)), item.first_seen / 1000
                began[name] = min(at, began.get(name, at))
        return began

    @atomic
    def measures(self) -> MetricCounts:
        """Return what was counted beside states and outcomes, since the start."""
        return dict(self._measures)

    @atomic
    def outcomes_today(self) -> Mapping[RequestKind, Mapping[str, int]]:
        """Return the same since midnight, UTC."""
        ended: dict[RequestKind, dict[str, int]] = {kind: {} for kind in RequestKind}
        for (day, kind, outcome), count in self._daily.items():
            if day == self._now() // DAY_MS:
                ended[kind][outcome] = count
        return ended

    @atomic
    def completed_by_hour(self, hours: int) -> list[HourlyCompletions]:
        """Return what was settled in the last hours, the one that goes on included."""
        this = self._now() // HOUR_MS
        numbers = range(this - hours + 1, this + 1)
        found = {(at, kind): dict[float, int]() for at in numbers for kind in RequestKind}
        for (at, kind, bound), number in self._settled.items():
            if at in numbers:
                found[at, kind][bound] = number
        return [
            HourlyCompletions(
                at * HOUR_MS / 1000, {kind: Durations(found[at, kind]) for kind in RequestKind}
            )
            for at in numbers
        ]

    def _label_of(self, product: str) -> str:
        """Return the name under which a product is counted; it stays the same."""
        if product and product not in self._products:
            if len(self._products) >= MAX_PRODUCTS:
                return OTHER
            self._products.add(product)
        return product

    def _measure(self, name: str, ref: RequestKey, record: Record, what: str = "") -> None:
        product = self._label_of(record.product)
        self._measures[Metric(name, ref.kind.value, what, product)] += 1

    def _add_measures(self) -> None:
        """Add what this process has counted since it last said so."""
        self._measures.update(self._tally.take())

    def _count_end(self, ref: RequestKey, record: Record, state: State, outcome: str) -> None:
        """Count a cycle that ends in this state now."""
        product = self._label_of(record.product)
        self._ended[ref.kind, state, product] += 1
        if state is State.COMPLETED:
            bound = bound_of(self._now() - record.first_seen)
            self._settled[self._now() // HOUR_MS, ref.kind, bound] += 1
        if outcome:
            self._outcomes[ref.kind, outcome, product] += 1
            self._daily[self._now() // DAY_MS, ref.kind, outcome] += 1

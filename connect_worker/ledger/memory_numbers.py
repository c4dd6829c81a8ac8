"""What the ledger in memory counts, for people and dashboards; the half that changes no request."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from connect_worker.ledger.memory_record import Record
from connect_worker.ledger.wire import by_kind, by_product, milliseconds
from connect_worker.processing.durations import Durations, Hour, bound_of
from connect_worker.processing.measures import (
    MAX_PRODUCTS,
    OTHER,
    Measure,
    Measures,
    NoTally,
    Tally,
)
from connect_worker.processing.states import Kind, Ref, State

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

    def __init__(self, *, clock: Callable[[], float], tally: Tally | None) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._records: dict[Ref, Record] = {}
        self._ended: Counter[tuple[Kind, State, str]] = Counter()
        self._outcomes: Counter[tuple[Kind, str, str]] = Counter()
        #: The outcomes by day, since the epoch, and without products.
        self._daily: Counter[tuple[int, Kind, str]] = Counter()
        #: Settled visits by hour, since the epoch, and by how long they took.
        self._settled: Counter[tuple[int, Kind, float]] = Counter()
        self._tally = tally or NoTally()
        self._measures: Counter[Measure] = Counter()
        #: The products that are counted by name.
        self._products: set[str] = set()

    def now(self) -> float:
        """Return the clock, in whole milliseconds."""
        return self._now() / 1000

    def _now(self) -> int:
        return milliseconds(self._clock())

    @atomic
    def counts(self) -> Mapping[Kind, Mapping[State, int]]:
        """Return how many requests are in each state, zeros included."""
        return by_kind(self.census(), words=State)

    @atomic
    def census(self) -> Mapping[tuple[Kind, str], Mapping[State, int]]:
        """Return the same by kind and product, without zeros."""
        counted = Counter(
            (ref.kind, record.state, self._label_of(record.product))
            for ref, record in self._records.items()
            if not record.state.is_final
        )
        return by_product((counted + self._ended).items())

    @atomic
    def outcomes(self) -> Mapping[Kind, Mapping[str, int]]:
        """Return how many visits ended with each outcome, for every kind."""
        return by_kind(self.endings())

    @atomic
    def endings(self) -> Mapping[tuple[Kind, str], Mapping[str, int]]:
        """Return the same by kind and product."""
        return by_product(self._outcomes.items())

    @atomic
    def oldest_by_product(self) -> Mapping[tuple[Kind, str], float]:
        """Return when the longest waiting visit of each kind and product began."""
        began: dict[tuple[Kind, str], float] = {}
        for ref, one in self._records.items():
            if not one.state.is_final and one.state is not State.PARKED:
                name, at = (ref.kind, self._label_of(one.product)), one.first_seen / 1000
                began[name] = min(at, began.get(name, at))
        return began

    @atomic
    def measures(self) -> Measures:
        """Return what was counted beside states and outcomes, since the start."""
        return dict(self._measures)

    @atomic
    def outcomes_today(self) -> Mapping[Kind, Mapping[str, int]]:
        """Return the same since midnight, UTC."""
        ended: dict[Kind, dict[str, int]] = {kind: {} for kind in Kind}
        for (day, kind, outcome), count in self._daily.items():
            if day == self._now() // DAY_MS:
                ended[kind][outcome] = count
        return ended

    @atomic
    def settled_by_hour(self, hours: int) -> list[Hour]:
        """Return what was settled in the last hours, the one that goes on included."""
        this = self._now() // HOUR_MS
        numbers = range(this - hours + 1, this + 1)
        found = {(at, kind): dict[float, int]() for at in numbers for kind in Kind}
        for (at, kind, bound), number in self._settled.items():
            if at in numbers:
                found[at, kind][bound] = number
        return [
            Hour(at * HOUR_MS / 1000, {kind: Durations(found[at, kind]) for kind in Kind})
            for at in numbers
        ]

    def _label_of(self, product: str) -> str:
        """Return the name under which a product is counted; it stays the same."""
        if product and product not in self._products:
            if len(self._products) >= MAX_PRODUCTS:
                return OTHER
            self._products.add(product)
        return product

    def _measure(self, name: str, ref: Ref, record: Record, what: str = "") -> None:
        product = self._label_of(record.product)
        self._measures[Measure(name, ref.kind.value, what, product)] += 1

    def _add_measures(self) -> None:
        """Add what this process has counted since it last said so."""
        self._measures.update(self._tally.take())

    def _count_end(self, ref: Ref, record: Record, state: State, outcome: str) -> None:
        """Count a visit that ends in this state now."""
        product = self._label_of(record.product)
        self._ended[ref.kind, state, product] += 1
        if state is State.SETTLED:
            bound = bound_of(self._now() - record.first_seen)
            self._settled[self._now() // HOUR_MS, ref.kind, bound] += 1
        if outcome:
            self._outcomes[ref.kind, outcome, product] += 1
            self._daily[self._now() // DAY_MS, ref.kind, outcome] += 1

"""What is counted of an account, read from Redis for people and dashboards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from connect_worker.domain.metrics import HourlyCompletions, Metric, MetricCounts
from connect_worker.domain.states import RequestKind, State
from connect_worker.ledger.codec import by_kind, by_product, to_durations
from connect_worker.ledger.scripts import Scripts

HOUR_SECONDS: Final = 3600
DAY_SECONDS: Final = 86_400
#: How many of a kind's waiting requests are looked at for their products: Redis takes 2 ms for it.
LOOKED_AT: Final = 1000


class Numbers:
    """The reading half of `RedisLedger` that concerns no single request."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def now(self) -> float:
        """Return Redis's clock, in seconds since the epoch; the one that the scripts read."""
        milliseconds_since_epoch: int = self._scripts.run("now")
        return milliseconds_since_epoch / 1000

    def counts(self) -> Mapping[RequestKind, Mapping[State, int]]:
        """Return how many requests are in each state, zeros included."""
        return by_kind(self.census(), words=State)

    def census(self) -> Mapping[tuple[RequestKind, str], Mapping[State, int]]:
        """Return the same by kind and product, without zeros."""
        return by_product(
            ((RequestKind(kind), State(state), product), int(number))
            for name, number in self._scripts.hash("counts").items()
            for kind, state, product in [name.split(":", 2)]
            if int(number)
        )

    def outcomes(self) -> Mapping[RequestKind, Mapping[str, int]]:
        """Return how many cycles ended with each outcome, for every kind."""
        return by_kind(self.endings())

    def endings(self) -> Mapping[tuple[RequestKind, str], Mapping[str, int]]:
        """Return the same by kind and product."""
        return by_product(
            ((RequestKind(kind), outcome, product), int(number))
            for name, number in self._scripts.hash("outcomes").items()
            for kind, outcome, product in [name.split(":", 2)]
        )

    def outcomes_today(self) -> Mapping[RequestKind, Mapping[str, int]]:
        """Return the outcomes since midnight, UTC."""
        ended: dict[RequestKind, dict[str, int]] = {kind: {} for kind in RequestKind}
        today = f"outcomes:{int(self.now() // DAY_SECONDS)}"
        for name, count in self._scripts.hash(today).items():
            kind, _, outcome = name.partition(":")
            ended[RequestKind(kind)][outcome] = int(count)
        return ended

    def completed_by_hour(self, hours: int) -> list[HourlyCompletions]:
        """Return what was settled in the last hours, the one that goes on included."""
        this = int(self.now() // HOUR_SECONDS)
        numbers = range(this - hours + 1, this + 1)
        found = self._scripts.hashes(f"completed:{number}" for number in numbers)
        return [
            HourlyCompletions(float(number * HOUR_SECONDS), to_durations(fields))
            for number, fields in zip(numbers, found, strict=True)
        ]

    def oldest_by_product(self) -> Mapping[tuple[RequestKind, str], float]:
        """Return when the longest waiting cycle of each kind and product began.

        The `LOOKED_AT` oldest of a kind are looked at. A product of which none is among them has
        the time of the last of these: its own are younger.
        """
        began: dict[tuple[RequestKind, str], float] = {}
        youngest: dict[RequestKind, float] = {}
        for kind in RequestKind:
            if found := self._scripts.run("oldest", kind, LOOKED_AT):
                *pairs, last = found
                youngest[kind] = int(last) / 1000
                for product, at in zip(pairs[::2], pairs[1::2], strict=True):
                    began[kind, product] = int(at) / 1000
        if youngest:
            for kind, product in self._waiting():
                if kind in youngest:
                    began.setdefault((kind, product), youngest[kind])
        return began

    def _waiting(self) -> Iterator[tuple[RequestKind, str]]:
        """Yield the kinds and products of which a request is neither ended nor parked."""
        for name, states in self.census().items():
            if any(
                number > 0
                for state, number in states.items()
                if not (state.is_final or state is State.PARKED)
            ):
                yield name

    def measures(self) -> MetricCounts:
        """Return what was counted beside states and outcomes, since the start."""
        stored = self._scripts.hash("metrics")
        return {Metric.parse(name): int(number) for name, number in stored.items()}

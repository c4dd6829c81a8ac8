"""What Prometheus is told: one account's ledger and the broker's queues, read at each scrape.

Everything is shared by all workers, so one exporter is right whatever their number and their pool.
What the ledger does not count is not told: attempts and calls to Connect, how long they took, and
products (a product's share would mean to read every record at each scrape).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from connect_worker.engine.poll import NO_PROCESSOR
from connect_worker.exceptions import LedgerUnavailable
from connect_worker.processing.states import FINAL_STATES, Gate, Kind, Poll, State

Family = CounterMetricFamily | GaugeMetricFamily
#: How many messages wait in each queue; None when the broker can't be reached.
QueueLengths = Callable[[], Mapping[str, int] | None]

_KIND = ("account", "kind")


class Watched(Protocol):
    """What of a ledger is read here."""

    def now(self) -> float:
        """Return the store's clock."""

    def counts(self) -> Mapping[Kind, Mapping[State, int]]:
        """Return how many requests are in each state."""

    def outcomes(self) -> Mapping[Kind, Mapping[str, int]]:
        """Return how many visits ended with each outcome."""

    def oldest(self) -> Mapping[Kind, float | None]:
        """Return when the longest waiting visit of each kind began."""

    def polls(self) -> Mapping[Kind, Poll]:
        """Return how the last poll of each kind ended."""

    def gate(self) -> Gate:
        """Return the account's pause."""


class Exporter(Collector):
    """Reads one ledger and the broker whenever it is asked.

    Args:
        ledger: Of the account.
        account: Its name in the ledger, and in the label.
        queue_lengths: Asks the broker.
    """

    def __init__(self, ledger: Watched, *, account: str, queue_lengths: QueueLengths) -> None:
        self._ledger = ledger
        self._account = account
        self._queue_lengths = queue_lengths

    def collect(self) -> Iterator[Family]:
        """Return the metrics; of a ledger that can't be reached only that it is away."""
        try:
            families = [*self._requests(), *self._times(), *self._pause()]
        except LedgerUnavailable:
            families = []
        yield _one("connect_worker_ledger_up", "Whether Redis answered.", bool(families))
        yield from families
        yield from self._queues()

    def describe(self) -> list[Family]:
        """Return nothing: to register the exporter, no Redis need be there."""
        return []

    def _requests(self) -> Iterator[Family]:
        now_in = GaugeMetricFamily(
            "connect_worker_requests", "Requests in a state now.", labels=(*_KIND, "state")
        )
        ended = CounterMetricFamily(
            "connect_worker_visits", "Stays in pending that ended.", labels=(*_KIND, "state")
        )
        for kind, states in self._ledger.counts().items():
            for state, number in states.items():
                family = ended if state in FINAL_STATES else now_in
                family.add_metric((self._account, kind, state), number)
        outcomes = CounterMetricFamily(
            "connect_worker_outcomes", "Outcomes, in Connect's words.", labels=(*_KIND, "outcome")
        )
        for kind, numbers in self._ledger.outcomes().items():
            for outcome, number in numbers.items():
                outcomes.add_metric((self._account, kind, outcome), number)
        yield from (now_in, ended, outcomes)

    def _times(self) -> Iterator[Family]:
        now, oldest = self._ledger.now(), self._ledger.oldest()
        age = GaugeMetricFamily(
            "connect_worker_oldest_pending_seconds",
            "Since the oldest request that is neither ended nor parked was first seen; 0: none is.",
            labels=_KIND,
        )
        for kind, began in oldest.items():
            age.add_metric((self._account, kind), 0.0 if began is None else max(0.0, now - began))
        since = GaugeMetricFamily(
            "connect_worker_poll_age_seconds", "Since the last poll ended.", labels=_KIND
        )
        took = GaugeMetricFamily(
            "connect_worker_poll_duration_seconds", "Of the last poll.", labels=_KIND
        )
        complete = GaugeMetricFamily(
            "connect_worker_poll_complete",
            "Whether the last poll has read all that waits.",
            labels=_KIND,
        )
        for kind, poll in self._ledger.polls().items():
            if poll.problem != NO_PROCESSOR:
                since.add_metric((self._account, kind), max(0.0, now - poll.at))
                took.add_metric((self._account, kind), poll.seconds)
                complete.add_metric((self._account, kind), float(not poll.problem))
        yield from (age, since, took, complete)

    def _pause(self) -> Iterator[Family]:
        gate, now = self._ledger.gate(), self._ledger.now()
        pause = GaugeMetricFamily(
            "connect_worker_pause_seconds",
            "Until the account may be called again; 0: it may.",
            labels=("account",),
        )
        pause.add_metric((self._account,), max(0.0, gate.closed_until - now))
        failures = GaugeMetricFamily(
            "connect_worker_failures_in_a_row",
            "Calls that failed since one succeeded; above 0 the breaker is open.",
            labels=("account",),
        )
        failures.add_metric((self._account,), gate.failures)
        yield from (pause, failures)

    def _queues(self) -> Iterator[Family]:
        lengths = self._queue_lengths()
        yield _one("connect_worker_broker_up", "Whether the broker answered.", lengths is not None)
        if lengths is not None:
            waiting = GaugeMetricFamily(
                "connect_worker_queue_messages",
                "Messages that no worker has taken, of all accounts.",
                labels=("queue",),
            )
            for queue, number in lengths.items():
                waiting.add_metric((queue,), number)
            yield waiting


def _one(name: str, documentation: str, value: float) -> Family:
    return GaugeMetricFamily(name, documentation, value=float(value))

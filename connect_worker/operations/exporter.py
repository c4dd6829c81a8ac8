"""What Prometheus is told: one account's ledger and the broker's queues, read at each scrape.

Everything is shared by all workers, so one exporter is right whatever their number and their pool.
What is counted here is counted in the ledger; calls to Connect are told by each worker with the end
of a job or a poll, so that the last ones of a worker that dies are missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import Metric as MetricFamily
from prometheus_client.registry import Collector

from connect_worker.domain.metrics import (
    ATTEMPTS,
    BUCKETS,
    ERRORS,
    MORE,
    POST_MS,
    POSTS,
    RETRIES,
    Metric,
    MetricCounts,
)
from connect_worker.domain.states import FINAL_STATES, PollProblem, RequestKind, State
from connect_worker.engine.ports import Ledger
from connect_worker.exceptions import LedgerUnavailable

# What is counted beside states and outcomes, as families of metrics.

_LABELS: Final = ("account", "kind", "product")


def counted(
    account: str, measures: MetricCounts
) -> Iterator[CounterMetricFamily | HistogramMetricFamily]:
    """Yield attempts, retries, posts and errors."""
    yield _counter(
        account,
        measures,
        ATTEMPTS,
        CounterMetricFamily(
            "connect_worker_attempts", "Runs of a processor that began.", labels=_LABELS
        ),
    )
    yield _counter(
        account,
        measures,
        RETRIES,
        CounterMetricFamily(
            "connect_worker_retries",
            "Requests that were put back to be tried again, by cause.",
            labels=(*_LABELS, "cause"),
        ),
    )
    yield _counter(
        account,
        measures,
        ERRORS,
        CounterMetricFamily(
            "connect_worker_api_errors",
            "Calls that Connect refused, by status, or did not answer.",
            labels=(*_LABELS, "error"),
        ),
    )
    yield _posts(account, measures)


def _counter(
    account: str, measures: MetricCounts, name: str, family: CounterMetricFamily
) -> CounterMetricFamily:
    for measure, times in sorted(measures.items(), key=lambda found: str(found[0])):
        if measure.name == name:
            what = [measure.what] if measure.what else []
            family.add_metric([account, measure.kind, measure.product, *what], times)
    return family


def _posts(account: str, measures: MetricCounts) -> HistogramMetricFamily:
    family = HistogramMetricFamily(
        "connect_worker_post_seconds",
        "Of calls that changed something in Connect, waiting for their turn included.",
        labels=_LABELS,
    )
    names = {(measure.kind, measure.product) for measure in measures if measure.name == POSTS}
    numbers = Counter(measures)
    for kind, product in sorted(names):
        bounds = [f"{bound:g}" for bound in BUCKETS]
        each = [numbers[Metric(POSTS, kind, bound, product)] for bound in (*bounds, MORE)]
        buckets = zip([*map(str, BUCKETS), "+Inf"], accumulate(each), strict=True)
        seconds = numbers[Metric(POST_MS, kind, "", product)] / 1000
        family.add_metric([account, kind, product], list(buckets), seconds)
    return family


Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
Numbers = Mapping[tuple[RequestKind, str], Mapping[State, int]]
#: How many messages wait in each queue; None when the broker can't be reached.
QueueLengths = Callable[[], Mapping[str, int] | None]

_KIND = ("account", "kind")
_PRODUCT = (*_KIND, "product")


class Exporter(Collector):
    """Reads one ledger and the broker whenever it is asked.

    Args:
        ledger: Of the account.
        account: Its name in the ledger, and in the label.
        queue_lengths: Asks the broker.
    """

    def __init__(self, ledger: Ledger, *, account: str, queue_lengths: QueueLengths) -> None:
        self._ledger = ledger
        self._account = account
        self._queue_lengths = queue_lengths

    def collect(self) -> Iterator[Family]:
        """Return the metrics; of a ledger that can't be reached only that it is away."""
        try:
            census = self._ledger.counts_by_product()
            families = [
                *self._requests(census),
                *self._ages(census),
                *self._polls(),
                *self._pause(),
                *counted(self._account, self._ledger.metrics()),
            ]
        except LedgerUnavailable:
            families = []
        yield _one("connect_worker_ledger_up", "Whether Redis answered.", bool(families))
        yield from families
        yield from self._queues()

    def describe(self) -> list[Family]:
        """Return nothing: to register the exporter, no Redis need be there."""
        return []

    def _requests(self, census: Numbers) -> Iterator[Family]:
        now_in = GaugeMetricFamily(
            "connect_worker_requests", "Requests in a state now.", labels=(*_PRODUCT, "state")
        )
        ended = CounterMetricFamily(
            "connect_worker_cycles", "Stays in pending that ended.", labels=(*_PRODUCT, "state")
        )
        for kind, product in _of_each_kind(census):
            states = census.get((kind, product), {})
            for state in State:
                family = ended if state in FINAL_STATES else now_in
                # A record that somebody deleted by hand may leave less than nothing.
                number = max(0, states.get(state, 0))
                family.add_metric((self._account, kind, product, state), number)
        outcomes = CounterMetricFamily(
            "connect_worker_outcomes",
            "Outcomes, in Connect's words.",
            labels=(*_PRODUCT, "outcome"),
        )
        for (kind, product), numbers in self._ledger.outcomes_by_product().items():
            for outcome, number in numbers.items():
                outcomes.add_metric((self._account, kind, product, outcome), number)
        yield from (now_in, ended, outcomes)

    def _ages(self, census: Numbers) -> Iterator[Family]:
        now, oldest = self._ledger.now(), self._ledger.oldest_by_product()
        age = GaugeMetricFamily(
            "connect_worker_oldest_pending_seconds",
            "Since the oldest request that is neither ended nor parked was first seen; 0: none is.",
            labels=_PRODUCT,
        )
        for kind, product in _of_each_kind(census.keys() | oldest.keys()):
            began = oldest.get((kind, product), now)
            age.add_metric((self._account, kind, product), max(0.0, now - began))
        yield age

    def _polls(self) -> Iterator[Family]:
        now = self._ledger.now()
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
            if poll.problem is not PollProblem.NO_PROCESSOR:
                since.add_metric((self._account, kind), max(0.0, now - poll.at))
                took.add_metric((self._account, kind), poll.seconds)
                complete.add_metric((self._account, kind), float(not poll.problem))
        yield from (since, took, complete)

    def _pause(self) -> Iterator[Family]:
        gate, now = self._ledger.breaker(), self._ledger.now()
        pause = GaugeMetricFamily(
            "connect_worker_pause_seconds",
            "Until the account may be called again; 0: it may.",
            labels=("account",),
        )
        pause.add_metric((self._account,), max(0.0, gate.open_until - now))
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


def _of_each_kind(found: Iterable[tuple[RequestKind, str]]) -> Iterator[tuple[RequestKind, str]]:
    """Yield what there is, and of a kind without anything that there is nothing."""
    names = set(found)
    for kind in RequestKind:
        yield from sorted(name for name in names if name[0] is kind) or [(kind, "")]


def _one(name: str, documentation: str, value: float) -> Family:
    return GaugeMetricFamily(name, documentation, value=float(value))


# What Prometheus is told of several accounts: each metric once, with the samples of all.


class Exporters(Collector):
    """Puts together what one collector an account tells.

    Args:
        collectors: Of what they say of the deployment as a whole, the first one's word counts.
    """

    def __init__(self, collectors: Sequence[Collector]) -> None:
        self._collectors = collectors

    def collect(self) -> Iterator[MetricFamily]:
        """Return the metrics; one of a name, or Prometheus would refuse all of them."""
        found: dict[str, MetricFamily] = {}
        for collector in self._collectors:
            for family in collector.collect():
                known = found.setdefault(family.name, family)
                if known is not family:
                    told = {
                        (sample.name, *sorted(sample.labels.items())) for sample in known.samples
                    }
                    known.samples += [
                        sample
                        for sample in family.samples
                        if (sample.name, *sorted(sample.labels.items())) not in told
                    ]
        yield from found.values()

    def describe(self) -> list[MetricFamily]:
        """Return nothing: to register it, no Redis need be there."""
        return []

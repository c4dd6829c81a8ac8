"""Prometheus metrics of an account's ledger and of the broker's queues, and the server of them.

Each scrape reads ledger and broker.
All workers share the ledger, so one exporter is enough for every number of workers and every pool.
Calls to Connect are counted by each worker, which writes them to the ledger at the end of a job or
poll: the last calls of a worker that is killed are missing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import accumulate
from types import MappingProxyType
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import Metric as MetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from tornado.web import HTTPError, RequestHandler, url

from connect_worker._web_access import is_known_host
from connect_worker.domain.metrics import (
    ATTEMPTS,
    BUCKETS,
    ERRORS,
    MORE,
    POST_MS,
    POSTS,
    RETRIES,
    RUN_MS,
    RUNS,
    Metric,
    MetricCounts,
)
from connect_worker.domain.states import FINAL_STATES, PollProblem, RequestKind, State
from connect_worker.engine.ports import Ledger
from connect_worker.exceptions import LedgerUnavailable
from connect_worker.operations import webserver

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
StateCounts = Mapping[tuple[RequestKind, str], Mapping[State, int]]
#: Returns how many messages wait in each queue; None when the broker can't be reached.
QueueLengths = Callable[[], Mapping[str, int] | None]

#: How many accounts are read at once.
MAX_THREADS: Final = 16

_ACCOUNT: Final = ("account",)
_KIND: Final = (*_ACCOUNT, "kind")
_PRODUCT: Final = (*_KIND, "product")


class Exporter(Collector):
    """Reads one ledger and the broker at each scrape.

    Args:
        ledger: The account's ledger.
        account: The account's name, for the label.
        queue_lengths: Asks the broker.
        poll_seconds: The time between two polls, by kind, as beat has it.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        account: str,
        queue_lengths: QueueLengths,
        poll_seconds: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self._ledger = ledger
        self._account = account
        self._queue_lengths = queue_lengths
        self._poll_seconds = poll_seconds

    def collect(self) -> Iterator[Family]:
        """Return the metrics; without a ledger only `connect_worker_ledger_up` and the broker's."""
        try:
            counts = self._ledger.counts_by_product()
            families = [
                *self._requests(counts),
                *self._ages(counts),
                *self._polls(),
                *self._breaker(),
                *self._workers(),
                *counter_families(self._account, self._ledger.metrics()),
            ]
        except LedgerUnavailable:
            families = []
        yield _gauge("connect_worker_ledger_up", "1 if Redis answered, else 0.", bool(families))
        yield from families
        yield from self._queues()

    def describe(self) -> list[Family]:
        """Return nothing, so that registering the exporter does not read Redis."""
        return []

    def _requests(self, counts: StateCounts) -> Iterator[Family]:
        requests = GaugeMetricFamily(
            "connect_worker_requests",
            "Requests that are in a state now.",
            labels=(*_PRODUCT, "state"),
        )
        cycles = CounterMetricFamily(
            "connect_worker_cycles", "Cycles that ended.", labels=(*_PRODUCT, "state")
        )
        for kind, product in _of_each_kind(counts):
            states = counts.get((kind, product), {})
            for state in State:
                family = cycles if state in FINAL_STATES else requests
                # Negative only after a person deleted a record in Redis.
                number = max(0, states.get(state, 0))
                family.add_metric((self._account, kind, product, state), number)
        outcomes = CounterMetricFamily(
            "connect_worker_outcomes",
            "Cycles that ended, by outcome.",
            labels=(*_PRODUCT, "outcome"),
        )
        for (kind, product), numbers in self._ledger.outcomes_by_product().items():
            for outcome, number in numbers.items():
                outcomes.add_metric((self._account, kind, product, outcome), number)
        yield from (requests, cycles, outcomes)

    def _ages(self, counts: StateCounts) -> Iterator[Family]:
        now, oldest = self._ledger.now(), self._ledger.oldest_by_product()
        age = GaugeMetricFamily(
            "connect_worker_oldest_pending_seconds",
            "Age of the oldest cycle that has not ended and is not parked; 0 without one.",
            labels=_PRODUCT,
        )
        for kind, product in _of_each_kind(counts.keys() | oldest.keys()):
            began = oldest.get((kind, product), now)
            age.add_metric((self._account, kind, product), max(0.0, now - began))
        yield age

    def _polls(self) -> Iterator[Family]:
        now = self._ledger.now()
        age = GaugeMetricFamily(
            "connect_worker_poll_age_seconds", "Seconds since the last poll ended.", labels=_KIND
        )
        duration = GaugeMetricFamily(
            "connect_worker_poll_duration_seconds", "Duration of the last poll.", labels=_KIND
        )
        complete = GaugeMetricFamily(
            "connect_worker_poll_complete",
            "1 if the last poll read all pending requests, else 0.",
            labels=_KIND,
        )
        interval = GaugeMetricFamily(
            "connect_worker_poll_interval_seconds",
            "The setting: seconds between two polls; not of kinds that no worker processes.",
            labels=_KIND,
        )
        polls = self._ledger.polls()
        unused = {k for k, poll in polls.items() if poll.problem is PollProblem.NO_PROCESSOR}
        for name, seconds in self._poll_seconds.items():
            if name not in unused:
                interval.add_metric((self._account, name), seconds)
        for kind, poll in polls.items():
            if kind not in unused:
                age.add_metric((self._account, kind), max(0.0, now - poll.at))
                duration.add_metric((self._account, kind), poll.seconds)
                complete.add_metric((self._account, kind), float(not poll.problem))
        yield from (age, duration, complete, interval)

    def _breaker(self) -> Iterator[Family]:
        breaker, now = self._ledger.breaker(), self._ledger.now()
        open_seconds = GaugeMetricFamily(
            "connect_worker_breaker_open_seconds",
            "Seconds until the circuit breaker lets calls through again; "
            "0 when it is closed or half-open.",
            labels=_ACCOUNT,
        )
        open_seconds.add_metric((self._account,), max(0.0, breaker.open_until - now))
        failures = GaugeMetricFamily(
            "connect_worker_breaker_failures",
            "Failures that the circuit breaker has counted since a call last succeeded; "
            "after some of them it opens.",
            labels=_ACCOUNT,
        )
        failures.add_metric((self._account,), breaker.failures)
        yield from (open_seconds, failures)

    def _workers(self) -> Iterator[Family]:
        loads = self._ledger.workers().values()
        for name, documentation, number in (
            ("connect_worker_workers", "Workers that take the account's messages.", len(loads)),
            (
                "connect_worker_slots",
                "Jobs that these workers can run at once, those of other accounts included.",
                sum(load.slots for load in loads),
            ),
            (
                "connect_worker_busy_slots",
                "Jobs of the account that run; polls and sweeps count too.",
                sum(load.busy for load in loads),
            ),
        ):
            family = GaugeMetricFamily(name, documentation, labels=_ACCOUNT)
            family.add_metric((self._account,), number)
            yield family

    def _queues(self) -> Iterator[Family]:
        lengths = self._queue_lengths()
        yield _gauge(
            "connect_worker_broker_up", "1 if the broker answered, else 0.", lengths is not None
        )
        if lengths is not None:
            messages = GaugeMetricFamily(
                "connect_worker_queue_messages",
                "Messages that no worker has taken, of all accounts.",
                labels=("queue",),
            )
            for queue, number in lengths.items():
                messages.add_metric((queue,), number)
            yield messages


class CombinedExporter(Collector):
    """Combines the exporters of several accounts: each metric once, with the samples of all.

    Args:
        collectors: Of a sample that several of them have, the first one's value counts.
    """

    def __init__(self, collectors: Sequence[Collector]) -> None:
        self._collectors = collectors

    def collect(self) -> Iterator[MetricFamily]:
        """Return the metrics; Prometheus refuses a scrape in which a name comes twice."""
        families: dict[str, MetricFamily] = {}
        # At once: with a Redis that does not answer, each waits as long as it may.
        with ThreadPoolExecutor(MAX_THREADS) as threads:
            collected = threads.map(lambda item: list(item.collect()), self._collectors)
        for families_of_one in collected:
            for family in families_of_one:
                known = families.setdefault(family.name, family)
                if known is not family:
                    _add_samples(known, family)
        yield from families.values()

    def describe(self) -> list[MetricFamily]:
        """Return nothing, so that registering the exporter does not read Redis."""
        return []


def _add_samples(known: MetricFamily, family: MetricFamily) -> None:
    def names(metric: MetricFamily) -> list[tuple[object, ...]]:
        return [(item.name, *sorted(item.labels.items())) for item in metric.samples]

    present = set(names(known))
    known.samples += [
        sample
        for sample, name in zip(family.samples, names(family), strict=True)
        if name not in present
    ]


# ---- the counters that workers keep in addition to states and outcomes


def counter_families(
    account: str, counts: MetricCounts
) -> Iterator[CounterMetricFamily | HistogramMetricFamily]:
    """Yield attempts, retries, errors, posts and runs."""
    for name, family in (
        (
            ATTEMPTS,
            CounterMetricFamily(
                "connect_worker_attempts", "Runs of a processor that began.", labels=_PRODUCT
            ),
        ),
        (
            RETRIES,
            CounterMetricFamily(
                "connect_worker_retries",
                "Requests that were rescheduled for another try, by cause.",
                labels=(*_PRODUCT, "cause"),
            ),
        ),
        (
            ERRORS,
            CounterMetricFamily(
                "connect_worker_api_errors",
                "Calls that Connect refused, by status, or did not answer.",
                labels=(*_PRODUCT, "error"),
            ),
        ),
    ):
        for metric, number in sorted(counts.items(), key=lambda item: str(item[0])):
            if metric.name == name:
                label = [metric.what] if metric.what else []
                family.add_metric([account, metric.kind, metric.product, *label], number)
        yield family
    posts = HistogramMetricFamily(
        "connect_worker_post_seconds",
        "Duration of calls that changed something in Connect, the wait for the rate limiter "
        "included.",
        labels=_PRODUCT,
    )
    runs = HistogramMetricFamily(
        "connect_worker_run_seconds", "Duration of runs of a processor.", labels=_PRODUCT
    )
    yield _with_durations(posts, account, counts, POSTS, POST_MS)
    yield _with_durations(runs, account, counts, RUNS, RUN_MS)


def _with_durations(
    family: HistogramMetricFamily, account: str, counts: MetricCounts, count: str, total_ms: str
) -> HistogramMetricFamily:
    names = {(metric.kind, metric.product) for metric in counts if metric.name == count}
    numbers = Counter(counts)
    for kind, product in sorted(names):
        bounds = [f"{bound:g}" for bound in BUCKETS]
        each = [numbers[Metric(count, kind, bound, product)] for bound in (*bounds, MORE)]
        buckets = zip([*map(str, BUCKETS), "+Inf"], accumulate(each), strict=True)
        seconds = numbers[Metric(total_ms, kind, "", product)] / 1000
        family.add_metric([account, kind, product], list(buckets), seconds)
    return family


def _of_each_kind(names: Iterable[tuple[RequestKind, str]]) -> Iterator[tuple[RequestKind, str]]:
    """Yield each kind with its products; a kind without a request with the product ""."""
    known = set(names)
    for kind in RequestKind:
        yield from sorted(name for name in known if name[0] is kind) or [(kind, "")]


def _gauge(name: str, documentation: str, value: float) -> Family:
    return GaugeMetricFamily(name, documentation, value=float(value))


# ---- the server


@dataclass
class AppState(webserver.AppState):
    """What all scrapes share."""

    registry: CollectorRegistry
    #: By which it answers, in addition to addresses and names that are known in this network only.
    host_names: Sequence[str] = ()
    #: The scrapes that run, by the format of their result.
    running: dict[str, asyncio.Future[bytes]] = field(default_factory=dict)

    def scrape(self, accept: str) -> tuple[str, asyncio.Future[bytes]]:
        """Return a format that the client accepts, and the metrics in it.

        Scrapes at the same time share one result, so that many cost as much as one.
        """
        try:
            encoder, content_type = choose_encoder(accept)
        except (ValueError, TypeError):
            # It names a version that prometheus_client can't read.
            encoder, content_type = choose_encoder("")
        if content_type not in self.running:
            loop = asyncio.get_running_loop()
            self.running[content_type] = loop.run_in_executor(self.threads, encoder, self.registry)
            self.running[content_type].add_done_callback(lambda _: self.running.pop(content_type))
        return content_type, self.running[content_type]


class MetricsHandler(RequestHandler):
    """Answers a scrape."""

    def initialize(self, state: AppState) -> None:
        """Take what all scrapes share."""
        self._state = state

    def prepare(self) -> None:
        """Refuse names that may be those of a page that a person visits (DNS rebinding).

        Raises:
            HTTPError: The host is unknown.
        """
        urls = [f"//{name}" for name in self._state.host_names]
        if not is_known_host(self.request.host, *urls, has_internal_names=True):
            raise HTTPError(421, reason="Unknown host name: start the exporter with --host NAME")

    async def get(self) -> None:
        """Read ledger and broker."""
        content_type, metrics = self._state.scrape(self.request.headers.get("Accept", ""))
        self.set_header("Content-Type", content_type)
        self.finish(await metrics)


def serve(
    registry: CollectorRegistry,
    *,
    address: str,
    port: int,
    ready: Callable[[int], None],
    host_names: Sequence[str] = (),
) -> None:
    """Serve until SIGTERM or Ctrl-C; `ready` gets the port.

    Raises:
        OSError: The address or the port is not available.
    """

    def application(_port: int, threads: Executor) -> webserver.LimitedApplication:
        return make_application(registry, threads, host_names)

    webserver.serve_until_stopped(application, address=address, port=port, ready=ready)


def make_application(
    registry: CollectorRegistry, threads: Executor, host_names: Sequence[str] = ()
) -> webserver.LimitedApplication:
    """Return an exporter of these metrics as a Tornado application."""
    shared = {"state": AppState(threads, registry, host_names)}
    return webserver.LimitedApplication(
        [
            url(r"/(?:metrics)?", MetricsHandler, shared),
            url(r"/healthcheck", webserver.Healthcheck),
        ],
        compress_response=True,
        log_function=webserver.log_no_access,
    )

"""What is counted beside states and outcomes, as families of metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

from connect_worker.processing.measures import (
    ATTEMPTS,
    BUCKETS,
    ERRORS,
    MORE,
    POST_MS,
    POSTS,
    RETRIES,
    Measure,
    Measures,
)

_LABELS: Final = ("account", "kind", "product")


def counted(
    account: str, measures: Measures
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
    account: str, measures: Measures, name: str, family: CounterMetricFamily
) -> CounterMetricFamily:
    for measure, times in sorted(measures.items(), key=lambda found: str(found[0])):
        if measure.name == name:
            what = [measure.what] if measure.what else []
            family.add_metric([account, measure.kind, measure.product, *what], times)
    return family


def _posts(account: str, measures: Measures) -> HistogramMetricFamily:
    family = HistogramMetricFamily(
        "connect_worker_post_seconds",
        "Of calls that changed something in Connect, waiting for their turn included.",
        labels=_LABELS,
    )
    names = {(one.kind, one.product) for one in measures if one.name == POSTS}
    numbers = Counter(measures)
    for kind, product in sorted(names):
        bounds = [f"{bound:g}" for bound in BUCKETS]
        each = [numbers[Measure(POSTS, kind, bound, product)] for bound in (*bounds, MORE)]
        buckets = zip([*map(str, BUCKETS), "+Inf"], accumulate(each), strict=True)
        seconds = numbers[Measure(POST_MS, kind, "", product)] / 1000
        family.add_metric([account, kind, product], list(buckets), seconds)
    return family

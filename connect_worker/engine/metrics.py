"""Counts the calls of this process to Connect, and the time that its processors take.

The ledger stores the numbers with a job's end: they need no call of their own. What a process has
not handed over when it dies is lost.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic

from connect_worker.domain.metrics import (
    ERRORS,
    POST_MS,
    POSTS,
    RUN_MS,
    RUNS,
    Metric,
    MetricCounts,
    bucket_of,
)
from connect_worker.domain.states import RequestKind

_labels: ContextVar[tuple[str, str]] = ContextVar("metric_labels", default=("", ""))


@contextmanager
def metric_labels(kind: RequestKind, product: str = "") -> Iterator[None]:
    """Count the calls of this block under a kind and a product."""
    token = _labels.set((kind.value, product))
    try:
        yield
    finally:
        _labels.reset(token)


class CallMetrics:
    """Counts calls and runs; threads may share it, and after a fork it is empty."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._counts: Counter[Metric] = Counter()

    def __call__(self, method: str, problem: str, seconds: float) -> None:
        """Count one call, as `api.Client` reports it: its method, what went wrong, its length."""
        kind, product = _labels.get()
        if problem:
            self._add({Metric(ERRORS, kind, problem, product): 1})
        elif method != "GET":
            self._add_duration(POSTS, POST_MS, seconds)

    @contextmanager
    def time_run(self) -> Iterator[None]:
        """Count this block as a run of a processor."""
        began = monotonic()
        try:
            yield
        finally:
            self._add_duration(RUNS, RUN_MS, monotonic() - began)

    def take(self) -> MetricCounts:
        """Return the counts, and start again at zero."""
        if self._pid != os.getpid():
            self._reset()
        with self._lock:
            counts, self._counts = self._counts, Counter()
        return counts

    def give_back(self, counts: MetricCounts) -> None:
        """Add counts again that the ledger could not store."""
        self._add(counts)

    def _add_duration(self, name: str, sum_name: str, seconds: float) -> None:
        kind, product = _labels.get()
        self._add(
            {
                Metric(name, kind, bucket_of(seconds), product): 1,
                Metric(sum_name, kind, "", product): round(seconds * 1000),
            }
        )

    def _add(self, counts: Mapping[Metric, int]) -> None:
        if self._pid != os.getpid():
            # The counts up to the fork are the parent's.
            self._reset()
        with self._lock:
            self._counts.update(counts)

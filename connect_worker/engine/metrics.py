"""Counting calls to Connect in this process; the ledger takes the numbers along with a job's end.

No call of the ledger is made for it. What a process that dies has not told yet is lost.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from connect_worker.domain.metrics import ERRORS, POST_MS, POSTS, Metric, MetricCounts, bucket_of
from connect_worker.domain.states import RequestKind

_about: ContextVar[tuple[str, str]] = ContextVar("measured", default=("", ""))


@contextmanager
def metric_labels(kind: RequestKind, product: str = "") -> Iterator[None]:
    """Count the calls of this block under a kind and a product."""
    token = _about.set((kind.value, product))
    try:
        yield
    finally:
        _about.reset(token)


class CallMetrics:
    """Counts calls; safe to share between threads, and over a fork, after which it is empty."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._counted: Counter[Metric] = Counter()

    def __call__(self, method: str, problem: str, seconds: float) -> None:
        """Count one call, as `api.Client` tells it: its method, what went wrong, and its length."""
        kind, product = _about.get()
        if problem:
            self._add({Metric(ERRORS, kind, problem, product): 1})
        elif method != "GET":
            self._add(
                {
                    Metric(POSTS, kind, bucket_of(seconds), product): 1,
                    Metric(POST_MS, kind, "", product): round(seconds * 1000),
                }
            )

    def take(self) -> MetricCounts:
        """Return what was counted, and begin anew."""
        if self._pid != os.getpid():
            self._begin()
        with self._lock:
            taken, self._counted = self._counted, Counter()
        return taken

    def give_back(self, taken: MetricCounts) -> None:
        """Count again what could not be told."""
        self._add(taken)

    def _add(self, more: Mapping[Metric, int]) -> None:
        if self._pid != os.getpid():
            # The parent's numbers are the parent's to tell.
            self._begin()
        with self._lock:
            self._counted.update(more)

"""Calls to Connect are counted under the job in which they are made."""

from __future__ import annotations

import os
import threading

import pytest

from connect_worker.domain.metrics import BUCKETS, MORE, Metric, bucket_of
from connect_worker.domain.states import RequestKind
from connect_worker.engine.metrics import CallMetrics, metric_labels


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0, "0.1"), (0.1, "0.1"), (0.1001, "0.25"), (1, "1"), (29.9, "30"), (301, MORE)],
)
def test_a_duration_is_in_the_least_bucket_that_holds_it(seconds: float, bucket: str) -> None:
    assert bucket_of(seconds) == bucket
    assert list(BUCKETS) == sorted(BUCKETS)


def test_a_measure_survives_the_way_to_the_ledger_and_back() -> None:
    for measure in (Metric("errors", "usage", "no answer", "PRD:1:2"), Metric("posts")):
        assert Metric.parse(str(measure)) == measure


def test_what_was_taken_is_counted_no_more_unless_it_is_given_back() -> None:
    meter = CallMetrics()
    with metric_labels(RequestKind.USAGE, "PRD-1"):
        meter("POST", "", 0.2)
    taken = meter.take()
    assert taken[Metric("posts", "usage", "0.25", "PRD-1")] == 1
    assert not meter.take()
    meter("PUT", "500", 1)
    meter.give_back(taken)
    assert meter.take() == {**taken, Metric("errors", "", "500", ""): 1}


def test_a_run_is_timed_whether_it_returns_or_raises() -> None:
    meter = CallMetrics()
    with metric_labels(RequestKind.USAGE, "PRD-1"):
        with meter.time_run():
            pass
        with pytest.raises(KeyError), meter.time_run():
            raise KeyError
    assert meter.take() == {
        Metric("runs", "usage", "0.1", "PRD-1"): 2,
        Metric("run_ms", "usage", "", "PRD-1"): 0,
    }


def test_threads_count_together_and_each_under_its_own_job() -> None:
    meter = CallMetrics()

    def call(product: str) -> None:
        with metric_labels(RequestKind.FULFILLMENT, product):
            for _ in range(500):
                meter("GET", "404", 0.1)

    threads = [threading.Thread(target=call, args=(f"PRD-{n % 2}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(meter.take().values()) == {1000}


def test_after_a_fork_the_parents_numbers_are_the_parents() -> None:
    meter = CallMetrics()
    meter("POST", "", 0.2)
    pid = os.fork()
    if pid == 0:
        os._exit(len(meter.take()))
    assert os.waitpid(pid, 0)[1] == 0
    assert meter.take()

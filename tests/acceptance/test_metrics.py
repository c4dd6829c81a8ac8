"""What real workers count of their calls, as `connect-worker metrics` serves it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.fault_stack import FaultStack, running_fault_stack
from tests.support.orders import Order, Point
from tests.support.stack import POOLS, ROOT

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[FaultStack]:
    with running_fault_stack(tmp_path) as stack:
        yield stack


def served(stack: FaultStack) -> dict[tuple[str, frozenset[str]], float]:
    """The numbers by name, and the values of the labels beside the account."""
    text = subprocess.run(
        [sys.executable, "-m", "connect_worker", "metrics", "--once"],
        cwd=ROOT,
        env=stack.environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    return {
        (
            sample.name.removeprefix("connect_worker_"),
            frozenset(value for name, value in sample.labels.items() if name != "account"),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.long
def test_attempts_retries_posts_and_refusals_are_counted_by_product(stack: FaultStack) -> None:
    stack.seed(fulfillment=1)
    [request_id] = stack.ids("purchase")
    stack.misbehave("status", method="POST", path="approve", status=429, retry_after=1)
    stack.misbehave("reset_before", method="POST", path="vendor/tenants")
    stack.work("one")
    stack.until_done()
    # What a process counted since its last job is reported by its next poll.
    stack.until_polled_again(times=8)
    product = stack.entry(request_id)["product"]
    numbers = served(stack)

    def metric(name: str, *labels: str) -> float:
        return numbers[name, frozenset({"fulfillment", product, *labels})]

    assert metric("outcomes_total", "approved") == 1
    assert metric("attempts_total") == 2
    assert metric("retries_total", "processor") == 1
    assert metric("retries_total", "rate limited") == 1
    assert metric("api_errors_total", "429") == 1
    # The parameters, the approval, and the message in the conversation.
    assert metric("post_seconds_count") == metric("post_seconds_bucket", "+Inf") == 3
    assert 0 < metric("post_seconds_sum") < 3 * 60
    assert metric("oldest_pending_seconds") == 0
    assert metric("requests", "parked") == 0


# Under solo the job has the thread that reports.
@pytest.mark.parametrize(("pool", "slots"), [item for item in POOLS if item[0] != "solo"])
def test_workers_their_slots_and_the_duration_of_runs_are_reported(
    stack: FaultStack, pool: str, slots: int
) -> None:
    stack.seed(fulfillment=1)
    [request_id] = stack.ids("purchase")
    # Longer than the time between two reports.
    stack.orders.give(Order.WORK_LONG, Point.INSIDE, request_id, seconds=15)
    stack.work("one", pool=pool, concurrency=slots)
    none: frozenset[str] = frozenset()
    stack.until_soon(lambda: served(stack)["busy_slots", none] >= 1, "a slot is busy")
    numbers = served(stack)
    assert numbers["workers", none] == 1
    assert numbers["slots", none] == slots
    assert numbers["busy_slots", none] <= slots
    stack.until_done()
    labels = frozenset({"fulfillment", stack.entry(request_id)["product"]})
    stack.until_soon(lambda: served(stack).get(("run_seconds_count", labels)) == 1, "it is timed")
    assert 15 <= served(stack)["run_seconds_sum", labels] < 30
    stack.kill("one")
    stack.until_soon(lambda: not served(stack)["workers", none], "the worker is gone")

"""What real workers count of their calls, as `connect-worker metrics` serves it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.fault_stack import FaultStack, running_fault_stack
from tests.support.stack import ROOT

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

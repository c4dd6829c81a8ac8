"""Requests that somebody else changes meanwhile, and answers that are none (rows 16, 17, 23)."""

from __future__ import annotations

from pathlib import Path

import pytest

from connect_worker.domain.states import State
from tests.support.fault_stack import FaultStack, running_fault_stack
from tests.support.orders import Order, Point
from tests.support.stack import assert_each_resolved_once

pytestmark = [pytest.mark.faults]

MANY = 100


@pytest.mark.long
@pytest.mark.parametrize("action", ["html", "broken_json"])
def test_one_unreadable_request_among_many_is_parked_with_the_reason(
    tmp_path: Path, action: str
) -> None:
    """Row 16: status 200, and no document in it."""
    with running_fault_stack(tmp_path, CONNECT_MAX_ATTEMPTS="2") as stack:
        stack.seed(fulfillment=MANY)
        bad = stack.ids("purchase")[3]
        # The first poll gets such an answer, too.
        stack.misbehave(action, method="GET", path="/requests/?$")
        stack.misbehave(action, method="GET", path=f"/{bad}$", times=None)
        stack.work("one")
        stack.until_soon(lambda: pending(stack) == [bad], "the others are resolved")
        stack.until_soon(lambda: stack.record(bad).state is State.PARKED, "the bad one is parked")
        stack.until_soon(stack.is_idle, "every job has ended")

        assert "no usable JSON" in stack.record(bad).error
        assert stack.orders.runs(bad) == []
        report = stack.report()
        del report["requests"][bad]
        assert len(report["requests"]) == MANY - 1
        assert_each_resolved_once(report)


def test_one_malformed_document_among_many_is_parked_with_the_reason(stack: FaultStack) -> None:
    """Row 16: JSON, and no request."""
    stack.seed(fulfillment=MANY - 1)
    body = {"type": "purchase", "asset": {"items": "three seats"}}
    [bad] = stack.control("POST", "requests", {"kind": "fulfillment", "body": body})["ids"]
    stack.work("one")
    stack.until_soon(lambda: pending(stack) == [bad], "the others are resolved")
    stack.until_soon(lambda: stack.record(bad).state is State.PARKED, "the bad one is parked")
    stack.until_soon(stack.is_idle, "every job has ended")

    assert "InvalidDocument" in stack.record(bad).error
    assert "items" in stack.record(bad).error
    assert stack.orders.runs(bad) == []
    report = stack.report()
    del report["requests"][bad]
    assert len(report["requests"]) == MANY - 1
    assert_each_resolved_once(report)


def pending(stack: FaultStack) -> list[str]:
    rows = stack.report()["requests"].values()
    return [row["id"] for row in rows if row["status"] == "pending"]


@pytest.mark.parametrize(
    ("scenario", "by_hand"),
    [
        pytest.param("purchase", "failed", marks=pytest.mark.long),
        ("absurd-quantity", "approved"),
    ],
)
def test_what_a_person_decides_while_the_processor_runs_is_not_overwritten(
    stack: FaultStack, scenario: str, by_hand: str
) -> None:
    """Row 17."""
    stack.seed(fulfillment=4)
    [request_id] = stack.ids(scenario)[:1]
    stack.orders.give(Order.HOLD, Point.INSIDE, request_id)
    stack.work("one")
    stack.until_soon(lambda: stack.orders.reached(Point.INSIDE, request_id), "the job has begun")
    stack.control("POST", f"requests/{request_id}/decide", {"status": by_hand})
    stack.orders.release(Point.INSIDE, request_id)
    stack.until_done()

    assert stack.record(request_id).state is State.SUPERSEDED
    entry = stack.entry(request_id)
    assert (entry["status"], entry["accepted"], entry["messages"]) == (by_hand, [], [])
    warnings = [line for line in stack.whole_log("one").splitlines() if "superseded" in line]
    assert any(by_hand in line and request_id in line and "WARNING" in line for line in warnings)
    report = stack.report()
    del report["requests"][request_id]
    assert_each_resolved_once(report)


def test_a_customers_answer_begins_a_cycle_with_a_key_of_its_own(stack: FaultStack) -> None:
    """Row 23: the old key never comes again, not even after a death in the new cycle."""
    stack.seed(fulfillment=2)
    [request_id] = stack.ids("missing-email")
    stack.work("one")
    stack.until_soon(lambda: stack.entry(request_id)["status"] == "inquiring", "it is inquired")
    stack.until_soon(stack.is_idle, "the first cycle has ended")
    stack.orders.give(Order.KILL_CHILD, Point.AFTER_EFFECT, request_id)
    stack.control("POST", f"requests/{request_id}/answer", {})
    stack.until_soon(lambda: stack.entry(request_id)["status"] == "approved", "it is approved")
    stack.until_done()
    stack.until_polled_again()

    asked, *answered = [run.key for run in stack.orders.runs(request_id)]
    assert answered == [answered[0]] * 2
    assert asked != answered[0]
    entry = stack.entry(request_id)
    assert [(post["action"], post["idempotency_key"]) for post in entry["accepted"]] == [
        ("inquire", asked),
        ("approve", answered[0]),
    ]
    assert entry["vendor"]["keys"] == [answered[0]]
    assert len(entry["messages"]) == 2
    assert entry["refused"] == []

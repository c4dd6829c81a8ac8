"""A notification has its request processed without any poll, and once."""

from __future__ import annotations

import json

import pytest

from connect_worker.devtools.embedded_redis import free_port
from tests.support.stack import assert_each_resolved_once
from tests.support.webhook_stack import WebhookStack, signed

pytestmark = [pytest.mark.faults]


@pytest.fixture
def working(stack: WebhookStack) -> WebhookStack:
    """A registered receiver, a worker, and no poll to come."""
    stack.seed(fulfillment=0)
    stack.receive()
    stack.command("register")
    stack.work("one")
    stack.ready()
    return stack


def test_an_order_is_posted_although_no_poll_is_made(working: WebhookStack) -> None:
    before = working.ledger().polls()
    request_id = working.order(scenario="purchase")
    working.until_approved(request_id)

    assert working.ledger().polls() == before
    assert_each_resolved_once(working.report())
    assert [run.attempt for run in working.orders.runs(request_id)] == [1]


@pytest.mark.long
def test_an_answered_inquiry_is_reported_too(working: WebhookStack) -> None:
    before = working.ledger().polls()
    request_id = working.order(scenario="missing-email")
    working.until_soon(lambda: working.status(request_id) == "inquiring", "it is inquired")
    working.until_soon(working.is_idle, "its job has ended")
    working.control("POST", f"requests/{request_id}/answer", {})
    working.until_approved(request_id)

    assert working.ledger().polls() == before
    assert len({run.key for run in working.orders.runs(request_id)}) == 2


@pytest.mark.long
def test_its_own_decisions_are_reported_and_wake_nobody(working: WebhookStack) -> None:
    request_id = working.order(scenario="purchase")
    working.until_approved(request_id)
    working.until_soon(
        lambda: [delivery["status"] for delivery in working.deliveries()].count(202) == 2,
        "both are notified",
    )
    working.until_soon(
        lambda: working.whole_log("one").count("refresh.completed ") >= 2, "both are followed"
    )
    assert len(working.orders.runs(request_id)) == 1
    assert working.record(request_id).cycle == "1"
    assert working.record(request_id).state.value == "completed"


@pytest.mark.long
def test_two_hundred_orders_with_polls_beside_them_are_resolved_once_each(
    stack: WebhookStack,
) -> None:
    stack.environment["CONNECT_POLL_SECONDS"] = "0.5"
    stack.seed(fulfillment=0)
    stack.receive()
    stack.command("register")
    stack.work("one", "two")
    stack.ready()
    for _ in range(10):
        stack.control(
            "POST", "requests", {"kind": "fulfillment", "count": 20, "scenario": "change"}
        )
    stack.until_done()

    assert_each_resolved_once(stack.report())
    ids = stack.ids("change")
    assert len(ids) == 200
    assert all(len(stack.orders.runs(item)) == 1 for item in ids)


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        {},
        pytest.param({"data": {}}, marks=pytest.mark.long),
        pytest.param({"id": "elsewhere"}, marks=pytest.mark.long),
    ],
)
def test_a_notification_without_an_id_has_the_kind_polled(
    stack: WebhookStack, body: dict[str, object]
) -> None:
    stack.take_orders()
    request_id = stack.order(scenario="purchase")
    assert stack.post(body).status_code == 202
    stack.until_approved(request_id)
    assert_each_resolved_once(stack.report())


@pytest.mark.long
def test_what_does_not_wait_is_looked_at_and_left_alone(working: WebhookStack) -> None:
    request_id = working.order(scenario="purchase")
    working.until_approved(request_id)
    record = working.record(request_id)
    other = working.order("tier-config")
    for body in ({"id": request_id}, {"id": "PR-0000-0000-0000-001"}, {"id": other}):
        assert working.post(body).status_code == 202
    working.until_soon(
        lambda: working.whole_log("one").count("nothing new") >= 2, "the worker has looked"
    )
    working.until_soon(working.is_idle, "every job has ended")
    assert working.record(request_id).cycle == record.cycle
    assert working.entry(other)["accepted"] == []
    assert working.record(request_id).state is record.state


@pytest.mark.long
def test_a_product_that_nobody_looks_after_is_left_alone(working: WebhookStack) -> None:
    working.kill("one")
    report = working.report(summary=True)
    assert report
    first, second, *_ = json.loads((working.directory / "sandbox.json").read_text())["products"]
    working.environment["CONNECT_PRODUCTS"] = first
    working.worker("two", "--pool", "prefork", "-c", "2")
    mine = working.order(body={"asset": {"product": {"id": first}}})
    foreign = working.order(body={"asset": {"product": {"id": second}}})
    working.until_approved(mine)
    working.until_soon(lambda: foreign in working.whole_log("two"), "the worker has looked")
    working.until_soon(lambda: working.whole_log("two").count("refresh.completed ") >= 3, "at both")
    assert working.status(foreign) == "pending"


@pytest.mark.slow
def test_several_receivers_share_what_they_remember(working: WebhookStack) -> None:
    other = free_port()
    working.receive("second", port=other)
    token, body = signed(), {"id": "PR-0000-0000-0000-001"}
    assert working.post(body, token=token).json() == {"verdict": "new"}
    again = working.post(body, token=token, port=other)
    assert (again.status_code, again.json()) == (200, {"verdict": "replayed"})

"""Redis is away, a receiver or a worker is killed, Connect is down: nothing is lost, or twice."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from connect_worker.devtools.embedded_redis import HOST
from connect_worker.domain.kinds import ChangeHint
from connect_worker.domain.states import RequestKind
from tests.support.redis_process import running_server
from tests.support.stack import assert_each_resolved_once
from tests.support.webhook_stack import WebhookStack, signed

pytestmark = [pytest.mark.faults]


@pytest.mark.long
def test_while_redis_is_away_connect_is_asked_to_come_again(tmp_path: Path) -> None:
    folder = tmp_path / "redis"
    folder.mkdir()
    with running_server(folder) as redis:
        stack = WebhookStack(tmp_path, redis.url)
        try:
            stack.seed(fulfillment=0)
            stack.receive()
            stack.command("register")
            stack.work("one")
            stack.ready()
            redis.kill()
            request_id = stack.order(scenario="purchase")
            stack.until_soon(
                lambda: 503 in [delivery["status"] for delivery in stack.deliveries()],
                "Connect gets a 503",
            )
            redis.start()
            stack.until_approved(request_id)
            assert 202 in [delivery["status"] for delivery in stack.deliveries()]
            assert not stack.ledger().polls(), "what the dead Redis knew is lost, and none was made"
            assert_each_resolved_once(stack.report())
        finally:
            stack.stop()


@contextmanager
def deaf_broker() -> Iterator[str]:
    """Somebody who takes connections, and never says a word; its URL."""
    with socket.create_server((HOST, 0)) as server:
        yield f"redis://{HOST}:{server.getsockname()[1]}/0"


def test_a_receiver_killed_before_it_has_notified_a_worker_loses_nothing(
    stack: WebhookStack,
) -> None:
    stack.seed(fulfillment=0)
    with deaf_broker() as url:
        stack.environment["CONNECT_BROKER_URL"] = url
        stack.receive()
        del stack.environment["CONNECT_BROKER_URL"]
        stack.work("one")
        stack.ready()
        request_id = stack.order(scenario="purchase")
        before = stack.ledger().polls()
        token, body = signed(), {"id": request_id}
        assert stack.post(body, token=token).json() == {"verdict": "new"}
        assert stack.ledger().hint_mark(ChangeHint(RequestKind.FULFILLMENT, request_id))
        # A broker without a word holds no notification up.
        others = [stack.post({"id": f"PR-{number}"}).status_code for number in range(30)]
        assert set(others) == {202}
        stack.kill("receiver")
    stack.until_approved(request_id)
    assert stack.ledger().polls() == before, "no poll was needed"
    assert_each_resolved_once(stack.report())
    # Connect, which may have had no answer, sends it again.
    stack.receive()
    assert stack.post(body, token=token).json() == {"verdict": "replayed"}
    assert len(stack.orders.runs(request_id)) == 1


@pytest.mark.long
def test_a_receiver_that_is_asked_to_stop_sends_what_is_noted_and_ends(stack: WebhookStack) -> None:
    stack.seed(fulfillment=0)
    stack.receive()
    for number in range(20):
        assert stack.post({"id": f"PR-{number}"}).status_code == 202
    stack.processes["receiver"].terminate()
    assert stack.until_ended("receiver") == 0
    assert stack.queued() == 20
    with deaf_broker() as url:
        stack.environment["CONNECT_BROKER_URL"] = url
        stack.receive()
        assert stack.post({"id": "PR-20"}).status_code == 202
        stack.processes["receiver"].terminate()
        assert stack.until_ended("receiver") == 0


@pytest.mark.long
def test_a_worker_killed_while_it_looks_is_replaced_by_a_sweep(stack: WebhookStack) -> None:
    stack.take_orders()
    stack.misbehave("delay", method="GET", path="/v1/requests/?$", seconds=60, times=1)
    request_id = stack.order(scenario="purchase")
    before = stack.ledger().polls()
    assert stack.post({"id": request_id}).status_code == 202
    stack.until_soon(lambda: stack.hits() == 1, "the worker looks")
    stack.kill("one")
    stack.worker("two", "--pool", "prefork", "-c", "2")
    stack.until_approved(request_id)
    assert stack.ledger().polls() == before, "no poll was needed"
    assert_each_resolved_once(stack.report())


@pytest.mark.long
def test_a_look_that_connect_does_not_answer_is_taken_again(stack: WebhookStack) -> None:
    stack.take_orders()
    stack.misbehave("status", method="GET", path="/v1/requests/?$", status=500, times=12)
    request_id = stack.order(scenario="purchase")
    before = stack.ledger().polls()
    assert stack.post({"id": request_id}).status_code == 202
    stack.until_approved(request_id)
    assert stack.hits() >= 4
    assert stack.ledger().polls() == before, "no poll was needed"
    assert_each_resolved_once(stack.report())

"""The operator's commands, as a person runs them, beside real workers."""

from __future__ import annotations

import pytest

from connect_worker.cli.context import Exit
from connect_worker.domain.states import RequestKind
from tests.support.fault_stack import FaultStack
from tests.support.stack import assert_each_resolved_once

pytestmark = [pytest.mark.faults]


def parked(stack: FaultStack) -> list[str]:
    found = stack.answer("list", "--state", "parked")
    return [request["id"] for request in found["requests"]]


@pytest.mark.slow
def test_a_parked_request_is_found_shown_rerun_and_settled(stack: FaultStack) -> None:
    stack.seed(fulfillment=4)
    stack.misbehave("status", status=400, method="POST", path="/approve", times=1)
    stack.work()
    stack.until_soon(lambda: parked(stack), "a request is parked")
    (request_id,) = parked(stack)

    story = stack.answer("show", request_id)
    assert (story["state"], story["attempt"]) == ("parked", 1)
    assert story["error"].startswith("PostRefused: Connect refused to approve")
    assert story["decision"]["outcome"] == "approve"
    assert [item["state"] for item in story["timeline"]] == [
        "queued",
        "running",
        "posting",
        "parked",
    ]
    assert story["timeline"][1]["worker"]

    assert stack.answer("rerun", request_id, "--yes")["done"] == [request_id]
    stack.until_done()
    story = stack.answer("show", request_id)
    assert (story["state"], story["outcome"]) == ("completed", "approved")
    assert [item["state"] for item in story["timeline"]][3:5] == ["parked", "queued"]
    (accepted,) = stack.entry(request_id)["accepted"]
    assert accepted["action"] == "approve"
    assert len({run.key for run in stack.orders.runs(request_id)}) == 1
    assert parked(stack) == []


@pytest.mark.long
def test_a_parked_decision_is_posted_without_a_second_run(stack: FaultStack) -> None:
    stack.seed(fulfillment=4)
    stack.misbehave("status", status=400, method="POST", path="/approve", times=1)
    stack.work()
    stack.until_soon(lambda: parked(stack), "a request is parked")
    (request_id,) = parked(stack)
    assert stack.answer("repost", "--all", "--yes")["done"] == [request_id]
    stack.until_done()
    assert stack.entry(request_id)["status"] == "approved"
    assert len(stack.orders.runs(request_id)) == 1


@pytest.mark.long
def test_paused_requests_wait_and_go_on_soon_after_the_end(stack: FaultStack) -> None:
    stack.seed(fulfillment=6)
    stack.answer("pause", "fulfillment", "--reason", "the vendor is down")
    stack.work()

    def held() -> int:
        return int(stack.answer("status", "--no-workers")["paused"]["fulfillment"]["requests"])

    waiting = sum(item["status"] == "pending" for item in stack.report()["requests"].values())
    stack.until_soon(lambda: held() == waiting, "a worker has tried all of them")
    stack.until_polled_again()
    assert held() == waiting
    assert stack.answer("status")["kinds"]["fulfillment"]["completed"] == 0
    assert not any(stack.orders.runs(request_id) for request_id in stack.report()["requests"])

    assert stack.answer("resume", "fulfillment")["resumed"] == {"fulfillment": waiting}
    stack.until_done()
    assert_each_resolved_once(stack.report())
    for request_id in stack.report()["requests"]:
        assert stack.record(request_id, RequestKind.FULFILLMENT).attempt <= 1


@pytest.mark.long
def test_poll_doctor_and_status_see_the_workers(stack: FaultStack) -> None:
    stack.environment |= {"CONNECT_POLL_SECONDS": "3600"}
    stack.seed(fulfillment=4)
    silent = stack.run("poll", "fulfillment", "--wait", "0.1")
    assert silent.returncode == Exit.NO_ANSWER
    assert "no worker has polled fulfillment" in silent.stderr
    stack.worker("one", "--pool", "threads", "-c", "2")
    found = stack.answer("poll", "fulfillment", "--wait", "60")["polls"]["fulfillment"]
    assert found["problem"] == ""
    # The answer may be of the second poll: the first one's message has waited for a worker, too.
    stack.until_done()
    # Polled a moment ago; who asks is answered all the same.
    again = stack.answer("poll", "--wait", "60")
    assert set(again["polls"]) == {kind.value for kind in RequestKind}
    assert again["polls"]["fulfillment"]["at"] > found["at"]

    (worker,) = stack.answer("status")["workers"]
    assert worker.startswith("one@")
    findings = stack.answer("doctor")["findings"]
    texts = {finding["part"]: finding["text"] for finding in findings}
    assert (texts["workers"], texts["beat"]) == (worker, "polls are made")
    stack.processes["one"].terminate()
    stack.until_ended("one")
    sick = stack.run("status", "--check")
    assert sick.returncode == Exit.NEEDS_ATTENTION
    assert "No worker answers" in sick.stdout

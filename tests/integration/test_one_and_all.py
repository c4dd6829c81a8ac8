"""What goes wrong with one request stays with it: no gateway, storage or refusal ends more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from connect_worker.domain.states import RequestKey, RequestKind, State
from connect_worker.engine.retry import MAX_POSTS
from connect_worker.engine.sweeper import sweep
from connect_worker.exceptions import InquireRequest, SkipRequest
from connect_worker.models import ActivationTileResponse, Param
from connect_worker.operations.requests import facts, reason
from tests.support.engine_harness import MAX_ATTEMPTS, EngineHarness
from tests.support.ledger_factories import claim_of

from .conftest import Open

HOUR = 3600.0
DAY = 24 * HOUR

Keys = list[str]


def approving(keys: Keys) -> Callable[[Any, Any], ActivationTileResponse]:
    """A processor that notes its key, and approves."""

    def process(self: Any, request: Any) -> ActivationTileResponse:
        keys.append(self.idempotency_key)
        return ActivationTileResponse("x")

    return process


def waiting(opened: EngineHarness) -> list[RequestKey]:
    opened.poll()
    refs = list(opened.messages)
    opened.messages.clear()
    return refs


def go_on(
    opened: EngineHarness, refs: list[RequestKey], *, every: float, until: Callable[[], bool]
) -> float:
    """Sweep, and handle those of these that it wakes; how long the account paused meanwhile."""
    paused = 0.0
    for _ in range(1000):
        if until():
            return paused
        opened.clock.step(every)
        opened.messages.clear()
        sweep(opened.engine)
        if opened.engine.ledger.breaker().open_until > opened.clock():
            paused += every
        for ref in refs:
            if ref in opened.messages:
                opened.handle(ref)
    raise AssertionError(f"not within {1000 * every} s")


# ---- a 404 that is none


@pytest.mark.parametrize("kind", [RequestKind.FULFILLMENT, RequestKind.TIER_CONFIG])
def test_a_request_that_is_not_shown_for_a_moment_is_processed_later(
    open_for: Open, kind: RequestKind
) -> None:
    keys: Keys = []
    opened = open_for(approving(keys), kind)
    ref = waiting(opened)[0]
    with opened.fault("status", status=404, method="GET", path=ref.id, times=1):
        assert "RequestUnavailable" in opened.handle(ref).text
    assert opened.entry(ref).state is State.RETRY
    opened.later(ref, HOUR)
    assert opened.accepted(ref) == ["approve"]
    assert len(keys) == 1


def test_nor_is_its_key_another_one_after_an_effect(open_for: Open) -> None:
    keys: Keys = []

    def process(self: Any, request: Any) -> ActivationTileResponse:
        keys.append(self.idempotency_key)
        if len(keys) == 1:
            raise OSError("after the effect")
        return ActivationTileResponse("x")

    opened = open_for(process)
    ref = waiting(opened)[0]
    opened.handle(ref)
    with opened.fault("status", status=404, method="GET", path=ref.id, times=1):
        opened.later(ref, HOUR)
    opened.poll()
    opened.later(ref, HOUR)
    assert opened.accepted(ref) == ["approve"]
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_a_stored_decision_outlives_a_404(open_for: Open) -> None:
    keys: Keys = []
    opened = open_for(approving(keys))
    ref = waiting(opened)[0]
    with opened.fault("status", status=500, method="POST", path="approve", times=1):
        opened.handle(ref)
    with opened.fault("status", status=404, method="GET", path=ref.id, times=1):
        opened.later(ref, HOUR)
    assert opened.entry(ref).state is State.DECIDED
    opened.later(ref, HOUR)
    assert opened.accepted(ref) == ["approve"]
    assert len(keys) == 1


# ---- a proxy's word


@pytest.mark.parametrize("status", [302, 408, 425, 499])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_a_proxy_says_of_a_lost_call_is_no_refusal(
    open_for: Open, method: str, status: int
) -> None:
    keys: Keys = []
    opened = open_for(approving(keys))
    ref = waiting(opened)[0]
    path = f"{ref.id}/approve" if method == "POST" else ref.id
    # A GET is repeated by itself.
    with opened.fault("status", status=status, method=method, path=path, times=None):
        opened.handle(ref)
    assert opened.entry(ref).state in (State.RETRY, State.DECIDED)
    opened.later(ref, HOUR)
    assert opened.accepted(ref) == ["approve"]
    assert len(keys) == 1


# ---- 403


def test_a_conversation_that_is_forbidden_is_no_reason_to_wait(open_for: Open) -> None:
    opened = open_for(approving([]))
    refs = waiting(opened)
    with opened.fault("status", status=403, path="conversations", times=None):
        for ref in refs:
            opened.handle(ref)
    assert {opened.entry(ref).state for ref in refs} == {State.COMPLETED}
    assert opened.engine.ledger.breaker().failures == 0


# ---- a message that Connect refuses, or cuts


@pytest.mark.parametrize("status", [400, 403])
def test_a_refused_message_is_an_error_of_its_request_and_the_decision_stands(
    open_for: Open, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    opened = open_for(approving([]))
    ref = waiting(opened)[0]
    with opened.fault("status", status=status, path="messages", times=None):
        result = opened.handle(ref)
    record = opened.entry(ref)
    assert (record.state, record.outcome) == (State.COMPLETED, "approved")
    assert record.error.startswith("Connect refused the message to the conversation: ")
    assert result.text == f"approved. {record.error}"
    assert ("Last error", record.error) in list(facts(record, opened.engine.ledger.now()))
    assert reason(record) == result.text
    [line] = [line for line in caplog.records if "conversation.message_rejected" in line.msg]
    assert line.levelname == "ERROR"
    opened.clock.step(HOUR)
    assert opened.handle(ref).denied is not None
    assert (opened.accepted(ref), opened.said(ref)) == (["approve"], [])


def test_the_refused_message_of_a_skip_is_the_error_of_its_request(open_for: Open) -> None:
    def process(self: Any, request: Any) -> Any:
        raise SkipRequest("Not yet")

    opened = open_for(process)
    ref = waiting(opened)[0]
    with opened.fault("status", status=400, path="messages", times=None):
        opened.handle(ref)
    assert opened.entry(ref).state is State.SNOOZED
    assert "skipped: Not yet. Connect refused the message" in opened.entry(ref).error


def test_a_long_message_is_cut_as_the_sdk_cut_it(open_for: Open) -> None:
    text = "".join(f"{number:03} " for number in range(200))

    def process(self: Any, request: Any) -> Any:
        raise InquireRequest(text)

    opened = open_for(process)
    ref = waiting(opened)[0]
    opened.handle(ref)
    assert opened.said(ref) == [text[:540]]
    assert opened.entry(ref).error == ""


# ---- 403


def test_a_request_whose_own_calls_are_forbidden_is_parked_and_the_others_go_on(
    open_for: Open,
) -> None:
    bad: list[str] = []

    def process(self: Any, request: Any) -> ActivationTileResponse:
        if request.id in bad:
            self.client.get(f"products/{request.asset.product.id}")
        return ActivationTileResponse("x")

    opened = open_for(process)
    refs = waiting(opened)
    bad.append(refs[0].id)
    product = opened.seen(refs[0])["product"]
    with opened.fault("status", status=403, method="GET", path=f"/products/{product}$", times=None):
        for ref in refs[:4]:
            opened.handle(ref)
        paused = go_on(
            opened, refs[:4], every=5, until=lambda: opened.entry(refs[0]).state is State.PARKED
        )
    assert opened.entry(refs[0]).attempt == MAX_ATTEMPTS
    assert "403" in opened.entry(refs[0]).error
    assert paused < 60
    others = refs[1:4]
    go_on(
        opened,
        others,
        every=5,
        until=lambda: {opened.entry(ref).state for ref in others} == {State.COMPLETED},
    )


# ---- a decision that is never taken


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "status", "status": 500, "method": "POST", "path": "{}/approve"},
        {"action": "html", "path": "conversations"},
    ],
    ids=["the post fails", "the conversation can't be read"],
)
def test_a_decision_that_can_not_be_posted_is_parked_in_the_end_and_kept(
    open_for: Open, fault: dict[str, Any]
) -> None:
    opened = open_for(approving([]))
    ref = opened.only(opened.sandbox.with_scenario("purchase"))
    with opened.fault(times=None, **{**fault, "path": fault["path"].format(ref.id)}):
        opened.handle(ref)
        go_on(opened, [ref], every=400, until=lambda: opened.entry(ref).state is State.PARKED)
    entry = opened.entry(ref)
    assert entry.fence == MAX_POSTS
    assert entry.decision is not None
    assert opened.engine.ledger.repost(ref)
    opened.later(ref, HOUR)
    assert opened.entry(ref).outcome == "approved"
    assert opened.accepted(ref) == ["approve"]


def test_long_waiting_before_the_decision_is_no_try_of_it(open_for: Open) -> None:
    """Only claims since the decision are counted."""
    opened = open_for(approving([]))
    ref = waiting(opened)[0]
    ledger = opened.engine.ledger
    for _ in range(MAX_POSTS + 5):
        claim = claim_of(ledger, ref)
        ledger.reschedule(claim, State.SNOOZED, delay_seconds=0, attempt_used=False)
    with opened.fault("status", status=500, method="POST", path="/approve", times=1):
        opened.handle(ref)
    assert opened.entry(ref).state is State.DECIDED
    opened.later(ref, HOUR)
    assert opened.accepted(ref) == ["approve"]


def test_an_inquiry_that_is_made_again_sends_its_own_parameters(open_for: Open) -> None:
    values = ["old"]

    def process(self: Any, request: Any) -> None:
        first = request.asset.params[0].id
        param = Param(id=first, value=values[-1], value_error=f"bad {values[-1]}")
        raise InquireRequest("please", params=[param])

    opened = open_for(process)
    ref = opened.only(opened.sandbox.with_scenario("purchase"))
    with opened.fault("status", status=400, method="POST", path="inquire", times=1):
        assert "PostRefused" in opened.handle(ref).text
    values.append("new")
    assert opened.engine.ledger.rerun(ref)
    opened.later(ref, 1)
    param = opened.sandbox.get(f"requests/{ref.id}")["asset"]["params"][0]
    assert (param["value"], param["value_error"]) == ("new", "bad new")


# ---- parked ones


def test_a_parked_request_that_can_not_be_read_does_not_hold_up_the_others(open_for: Open) -> None:
    opened = open_for(lambda self, request: "nonsense")
    item, other = waiting(opened)[:2]
    for ref in (item, other):
        opened.handle(ref)
        opened.sandbox.control("POST", f"requests/{ref.id}/decide", {"status": "approved"})
    with opened.fault("html", method="GET", path=item.id, times=None):
        assert opened.poll().problem == ""
    assert opened.entry(item).state is State.PARKED
    assert opened.entry(other).state is State.SUPERSEDED
    opened.poll()
    assert opened.entry(item).state is State.SUPERSEDED


def test_one_that_a_person_inquired_about_comes_back_as_another_cycle(open_for: Open) -> None:
    keys: Keys = []

    def process(self: Any, request: Any) -> str:
        keys.append(self.idempotency_key)
        return "nonsense"

    opened = open_for(process)
    ref = waiting(opened)[0]
    opened.handle(ref)
    opened.sandbox.control("POST", f"requests/{ref.id}/decide", {"status": "inquiring"})
    opened.poll()
    # For longer than the record of one that has ended is kept.
    opened.clock.step(30 * DAY)
    opened.sandbox.control("POST", f"requests/{ref.id}/decide", {"status": "pending"})
    opened.poll()
    opened.handle(ref)
    assert opened.entry(ref).cycle == "2"
    assert len(set(keys)) == 2

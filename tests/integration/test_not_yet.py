"""`RetryRequest`: it comes back later, uses no attempt, is not failing, and ends in time."""

from __future__ import annotations

from typing import Any

import pytest

from connect_worker.domain.states import RequestKey, RequestKind, State
from connect_worker.exceptions import FailRequest, InquireRequest, RetryRequest
from connect_worker.models import ActivationTileResponse
from connect_worker.operations.requests import facts
from tests.support.engine_harness import MAX_ATTEMPTS, SKIP_SECONDS, EngineHarness

from .conftest import Open

ACCOUNT = "test"


def purchase(harness: EngineHarness) -> RequestKey:
    return harness.only(harness.sandbox.with_scenario("purchase"))


def not_yet(self: Any, request: Any) -> Any:
    raise RetryRequest("the tenant is being made", delay=60)


def test_it_comes_back_after_its_delay_and_uses_no_attempt(open_for: Open) -> None:
    attempts: list[int] = []

    def process(self: Any, request: Any) -> Any:
        attempts.append(self.attempt)
        if len(attempts) <= 3 * MAX_ATTEMPTS:
            raise RetryRequest("the tenant is being made", delay=60)
        return ActivationTileResponse("x")

    harness = open_for(process)
    ref = purchase(harness)
    assert harness.handle(ref).text == "not yet, again in 60 s: the tenant is being made"
    for _ in range(3 * MAX_ATTEMPTS - 1):
        assert harness.handle(ref).text == "nothing to do: not due"
        harness.later(ref, 60)
        entry = harness.entry(ref)
        assert (entry.state, entry.attempt) == (State.SNOOZED, 0)
    assert harness.later(ref, 60).text == "approved"
    assert set(attempts) == {1}
    assert harness.said(ref) == ["Activated using custom activation tile."]


def test_it_shows_as_waiting_and_counts_as_no_retry(open_for: Open) -> None:
    harness = open_for(not_yet)
    ref = purchase(harness)
    handled = harness.handle(ref)
    assert handled.retry_seconds is None, "Flower shows RETRY for a failure"
    entry = harness.entry(ref)
    assert (entry.state, entry.error) == (State.SNOOZED, "the tenant is being made")
    shown = dict(facts(entry, harness.clock()))
    assert shown["Waits for"] == "the tenant is being made"
    assert "Last error" not in shown
    assert shown["Snoozed"].startswith("since")
    measured = harness.engine.ledger.metrics()
    assert not [item for item in measured if item.name == "retries"]


def test_without_a_delay_it_comes_back_as_a_skip_does(open_for: Open) -> None:
    def process(self: Any, request: Any) -> Any:
        raise RetryRequest

    harness = open_for(process)
    ref = purchase(harness)
    assert harness.handle(ref).text == f"not yet, again in {SKIP_SECONDS:.0f} s: not yet"
    assert harness.entry(ref).due == harness.clock() + SKIP_SECONDS


def test_a_customers_words_are_not_shown_to_flower(open_for: Open) -> None:
    def process(self: Any, request: Any) -> Any:
        email = request.asset.get_param_by_id("email").value
        raise RetryRequest(f"no mailbox for {email}", delay=5)

    harness = open_for(process)
    ref = purchase(harness)
    assert harness.handle(ref).text == "not yet, again in 5 s: no mailbox for ***"


@pytest.mark.parametrize("by", ["class", "exception"])
def test_after_its_time_it_has_a_last_look_and_is_parked(open_for: Open, by: str) -> None:
    runs: list[str] = []

    def process(self: Any, request: Any) -> Any:
        runs.append(request.id)
        limit = {"give_up_after": 100} if by == "exception" else {}
        raise RetryRequest("the tenant is being made", delay=60, **limit)

    harness = open_for(process, give_up_after=100 if by == "class" else 86_400)
    ref = purchase(harness)
    harness.handle(ref)
    harness.later(ref, 60)
    assert harness.entry(ref).due == harness.clock() + 40
    text = harness.later(ref, 40).text
    assert text == (
        "parked: RetryDeadlineExceeded: not yet for 100 s, and 100 are allowed: "
        "the tenant is being made"
    )
    assert (harness.entry(ref).state, len(runs)) == (State.PARKED, 3)


def test_a_rerun_has_all_its_patience_again(open_for: Open) -> None:
    harness = open_for(not_yet, give_up_after=100)
    ref = purchase(harness)
    harness.handle(ref)
    harness.clock.step(1000)
    assert harness.handle(ref).text.startswith("parked")
    harness.engine.ledger.rerun(ref)
    assert harness.handle(ref).text.startswith("not yet")


def test_none_waits_for_ever(open_for: Open) -> None:
    harness = open_for(not_yet, give_up_after=None)
    ref = purchase(harness)
    harness.handle(ref)
    assert harness.later(ref, 400 * 86_400).text.startswith("not yet")


def test_what_is_decided_after_its_time_is_the_processors_choice(open_for: Open) -> None:
    harness = open_for(not_yet, give_up_after=100, when_exhausted=FailRequest("Too late"))
    ref = purchase(harness)
    harness.handle(ref)
    assert harness.later(ref, 100).text == "failed"
    assert harness.seen(ref)["status"] == "failed"


def test_errors_between_two_not_yets_use_their_attempts(open_for: Open) -> None:
    runs: list[int] = []

    def process(self: Any, request: Any) -> Any:
        runs.append(self.attempt)
        if len(runs) % 2:
            raise RetryRequest("not yet", delay=60)
        raise OSError("away")

    harness = open_for(process)
    ref = purchase(harness)
    harness.handle(ref)
    while harness.entry(ref).state is not State.PARKED:
        harness.later(ref, 1000)
    assert runs == [1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("kind", RequestKind)
def test_every_kind_of_automation_can_say_not_yet(open_for: Open, kind: RequestKind) -> None:
    harness = open_for(not_yet, kind)
    harness.poll()
    ref = harness.messages.popleft()
    assert harness.handle(ref).text.startswith("not yet, again in 60 s")
    assert harness.later(ref, 60).text.startswith("not yet, again in 60 s")


@pytest.mark.parametrize("wrong", [{"delay": -1}, {"delay": float("inf")}, {"give_up_after": 0}])
def test_a_time_that_can_not_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="seconds"):
        RetryRequest("not yet", **wrong)


@pytest.mark.parametrize(
    ("decision", "ended"), [(FailRequest("No"), "failed"), (InquireRequest("Which?"), "inquired")]
)
def test_attempts_used_up_lead_to_what_the_processor_chose(
    open_for: Open, decision: Exception, ended: str
) -> None:
    def process(self: Any, request: Any) -> Any:
        raise OSError("away")

    harness = open_for(process, when_exhausted=decision)
    ref = purchase(harness)
    harness.handle(ref)
    for _ in range(MAX_ATTEMPTS - 2):
        assert harness.later(ref, 1000).retry_seconds is not None
    assert harness.later(ref, 1000).text == ended
    assert len(harness.accepted(ref)) == 1


class Refused(Exception):
    pass


class RefusedForNow(Refused):
    pass


def test_an_exception_that_is_given_up_on_has_one_try(open_for: Open) -> None:
    def process(self: Any, request: Any) -> Any:
        raise Refused("no such plan")

    harness = open_for(process, give_up_on=(Refused,))
    ref = purchase(harness)
    assert harness.handle(ref).text == "parked: Refused: no such plan"

    harness = open_for(process, give_up_on=(Refused,), when_exhausted=FailRequest("No such plan"))
    other = harness.only(harness.sandbox.with_scenario("purchase", 1))
    assert harness.handle(other).text == "failed"


def test_the_nearer_class_decides(open_for: Open) -> None:
    def process(self: Any, request: Any) -> Any:
        raise RefusedForNow("later")

    harness = open_for(process, give_up_on=(Refused,), retry_on=(RefusedForNow, OSError))
    assert harness.handle(purchase(harness)).retry_seconds is not None


def test_what_connect_does_not_have_yet_may_be_tried_again(open_for: Open) -> None:
    from connect_worker.exceptions import NotFound

    def process(self: Any, request: Any) -> Any:
        return self.client.get("assets/AS-000-000-000-0")

    harness = open_for(process)
    ref = purchase(harness)
    assert harness.handle(ref).text.startswith("parked: NotFound")

    harness = open_for(process, retry_on=(NotFound,))
    other = harness.only(harness.sandbox.with_scenario("purchase", 1))
    assert harness.handle(other).retry_seconds is not None


def test_trouble_of_connects_is_never_the_processors_last_word(open_for: Open) -> None:
    def process(self: Any, request: Any) -> Any:
        return self.client.get("assets")

    rules = {"give_up_on": (Exception,), "when_exhausted": FailRequest("No")}
    harness = open_for(process, **rules)
    ref = purchase(harness)
    for _ in range(MAX_ATTEMPTS):
        with harness.fault("html", method="GET", path="/assets"):
            harness.handle(ref)
        harness.clock.step(1000)
    assert harness.accepted(ref) == []


def test_a_processor_that_is_wrong_is_parked_and_not_failed(open_for: Open) -> None:
    def process(self: Any, request: Any) -> Any:
        return "approved"

    harness = open_for(process, when_exhausted=FailRequest("No"))
    ref = purchase(harness)
    assert harness.handle(ref).text.startswith("parked: InvalidDecision")

"""How a job ends, as a status that code may compare; the text is for people."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from connect_worker.domain.outcomes import Fail
from connect_worker.domain.retry import Cause
from connect_worker.domain.states import Claim, ClaimDenied, PollProblem, RequestKey, State
from connect_worker.engine.job import JobStatus
from connect_worker.exceptions import FailRequest, InvalidStep, RetryRequest, SkipRequest
from connect_worker.ledger.memory import MemoryLedger
from connect_worker.models import ActivationTileResponse
from connect_worker.resources import FulfillmentAutomation
from tests.support.engine_harness import EngineHarness

from .conftest import Open


def purchase(opened: EngineHarness) -> RequestKey:
    return opened.only(opened.sandbox.with_scenario("purchase"))


def approve(self: Any, request: Any) -> ActivationTileResponse:
    return ActivationTileResponse("Here you are")


def raising(error: Exception) -> Any:
    def process(self: Any, request: Any) -> None:
        raise error

    return process


@pytest.mark.parametrize(
    ("process", "status", "cause"),
    [
        (approve, JobStatus.COMPLETED, None),
        (raising(SkipRequest("later")), JobStatus.SNOOZED, None),
        (raising(RetryRequest("not yet")), JobStatus.SNOOZED, None),
        (raising(TimeoutError("slow")), JobStatus.RETRY, Cause.PROCESSOR),
        (raising(InvalidStep("no")), JobStatus.PARKED, Cause.PROCESSOR),
    ],
)
def test_a_job_says_how_it_ended(
    open_for: Open, process: Any, status: JobStatus, cause: Cause | None
) -> None:
    opened = open_for(process)
    result = opened.handle(purchase(opened))
    assert (result.status, result.cause, result.denied) == (status, cause, None)
    assert (result.retry_seconds is not None) == (status is JobStatus.RETRY)
    assert result.product


def test_a_job_without_a_claim_says_why(open_for: Open) -> None:
    opened = open_for(approve)
    ref = purchase(opened)
    claim = opened.engine.ledger.claim(ref, owner="other", lease_seconds=60)
    assert isinstance(claim, Claim)
    result = opened.handle(ref)
    assert (result.status, result.denied) == (JobStatus.DENIED, ClaimDenied.BUSY)


def test_a_request_that_somebody_else_decided_is_superseded(open_for: Open) -> None:
    opened = open_for(approve)
    ref = purchase(opened)
    opened.sandbox.control("POST", f"requests/{ref.id}/decide", {"status": "failed"})
    assert opened.handle(ref).status is JobStatus.SUPERSEDED


def test_a_job_whose_lease_ended_says_so(open_for: Open) -> None:
    def process(self: Any, request: Any) -> Any:
        opened.clock.step(61)
        opened.engine.ledger.take_due(limit=100, requeue_seconds=60, max_attempts=9)
        rescuer = opened.engine.ledger.claim(ref, owner="other", lease_seconds=60)
        assert isinstance(rescuer, Claim)
        return ActivationTileResponse("too late")

    opened = open_for(process)
    ref = purchase(opened)
    assert opened.handle(ref).status is JobStatus.LEASE_LOST


def test_a_poll_says_what_its_problem_is(open_for: Open) -> None:
    opened = open_for(approve)
    with opened.fault("status", status=401, method="GET", path="requests"):
        assert opened.poll().problem is PollProblem.FAILED
    paused = opened.poll()
    assert paused.problem is PollProblem.BREAKER_OPEN
    report = opened.engine.ledger.polls()[opened.kind]
    assert (report.problem, report.detail) == (paused.problem, paused.detail)
    wrong = open_for(approve, filters=lambda self: {"status": "pending", "no.such": "field"})
    assert wrong.poll().problem is PollProblem.LIST_REJECTED


def test_an_overridden_dispatch_that_raises_afterwards_does_not_undo_the_decision(
    open_for: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """The processor would run a second time for a decision that it has made."""
    runs = []

    def process(self: Any, request: Any) -> Any:
        runs.append(request.id)
        raise FailRequest("Sold out")

    def dispatch(self: Any, request: Any) -> str:
        FulfillmentAutomation.dispatch(self, request)
        raise TimeoutError("the chat does not answer")

    opened = open_for(process, dispatch=dispatch)
    ref = purchase(opened)
    assert opened.handle(ref).text == "failed"
    assert opened.entry(ref).state is State.COMPLETED
    assert opened.accepted(ref) == ["fail"]
    assert runs == [ref.id]
    assert "automation.dispatch_failed" in caplog.text


def test_of_two_decisions_of_one_run_the_first_is_posted(open_for: Open) -> None:
    reasons = ["first", "second"]

    def process(self: Any, request: Any) -> Any:
        raise FailRequest(reasons.pop(0))

    def dispatch(self: Any, request: Any) -> str:
        FulfillmentAutomation.dispatch(self, request)
        return str(FulfillmentAutomation.dispatch(self, request))

    opened = open_for(process, dispatch=dispatch)
    ref = purchase(opened)
    opened.handle(ref)
    [outcome] = opened.seen(ref)["accepted"]
    assert outcome["body"]["reason"] == Fail("first").reason


def test_a_poll_of_too_many_rows_says_so_and_a_later_one_goes_on(open_for: Open) -> None:
    opened = open_for(approve)
    whole = opened.poll()
    assert whole.problem is PollProblem.NONE
    cut = open_for(approve)
    cut.engine = replace(cut.engine, max_list_rows=5)
    first = cut.poll()
    assert (first.problem, first.seen) == (PollProblem.INCOMPLETE, 5)
    assert "CONNECT_MAX_LIST_ROWS" in first.detail
    seen = cut.engine.ledger.polls()[cut.kind]
    assert (seen.problem, seen.seen) == (PollProblem.INCOMPLETE, 5)
    # What is decided leaves the list, and the next rows come.
    for ref in list(cut.messages):
        cut.handle(ref)
    assert cut.poll().new > 0


def test_a_poll_that_takes_long_keeps_its_lock_and_ends(open_for: Open) -> None:
    opened = open_for(approve)
    locks: list[bool] = []

    class Slow(MemoryLedger):
        """Remembers whether another worker could poll."""

        def register(self, *args: Any, **kwargs: Any) -> list[RequestKey]:
            locks.append(self.lock(f"poll:{opened.kind}", owner="another", seconds=1))
            return super().register(*args, **kwargs)

    rows = opened.engine.connect.get_all

    def late(*args: Any) -> Iterator[Any]:
        for row in rows(*args):
            # As a page whose answer takes longer than a lease.
            time.sleep(0.5)
            yield row

    connect = SimpleNamespace(get=opened.engine.connect.get, get_all=late)
    ledger = Slow(clock=time.time)
    opened.engine = replace(
        opened.engine, ledger=ledger, connect=connect, lease_seconds=0.4, publisher=opened
    )
    result = opened.poll()
    assert result.problem is PollProblem.INCOMPLETE
    assert "5 leases" in result.detail
    assert 0 < result.seen < 20
    assert locks == [False]

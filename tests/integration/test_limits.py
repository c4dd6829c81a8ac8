"""An automation's `max_concurrency`: who waits, who is called next, judged by the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from connect_worker.domain.kinds import ChangeHint
from connect_worker.domain.states import NO_BACKLOG, Backlog, Claim, RequestKey, State
from connect_worker.engine.lease import LeaseKeeper
from connect_worker.engine.runtime import Registry
from connect_worker.engine.sweeper import sweep
from connect_worker.exceptions import LedgerUnavailable, SkipRequest
from connect_worker.ledger.memory import MemoryLedger
from connect_worker.models import ActivationTileResponse
from tests.support.engine_harness import MAX_ATTEMPTS, EngineHarness

from .conftest import Open


def approve(self: Any, request: Any) -> Any:
    return ActivationTileResponse("x")


def opened(open_for: Open, process: Callable[[Any, Any], Any] = approve) -> EngineHarness:
    """A workplace whose automation lets one request in at a time."""
    harness = open_for(process)
    [entry] = harness.engine.registry.registrations
    registry = Registry([replace(entry, max_concurrency=1)])
    harness.engine = replace(harness.engine, registry=registry)
    return harness


def purchases(harness: EngineHarness, count: int) -> list[RequestKey]:
    """Poll, and forget the messages; the first of the purchases."""
    harness.poll()
    harness.messages.clear()
    sandbox, kind = harness.sandbox, harness.kind
    return [RequestKey(kind, sandbox.with_scenario("purchase", n)) for n in range(count)]


def get_inside(harness: EngineHarness, ref: RequestKey) -> Claim:
    """A claim of another worker that is inside its processor."""
    limits = harness.engine.registry.limits(ref.kind)
    claim = harness.engine.ledger.claim(ref, owner="other", lease_seconds=60, limits=limits)
    assert isinstance(claim, Claim)
    return claim


def test_who_finds_no_slot_is_called_when_there_is_one(open_for: Open) -> None:
    inside: list[str] = []

    def process(self: Any, request: Any) -> Any:
        inside.append(request.id)
        if request.id == first.id:
            assert harness.handle(second).text == "nothing to do: concurrency limit"
            assert not harness.messages
        return ActivationTileResponse("x")

    harness = opened(open_for, process)
    first, second = purchases(harness, 2)
    assert harness.handle(first).text == "approved"
    assert list(harness.messages) == [second], "called without a sweep"
    assert harness.handle(second).text == "approved"
    assert inside == [first.id, second.id]
    assert harness.entry(second).attempt == 1


class Noting:
    """A publisher that notes what is posted of a request when messages are sent."""

    def __init__(self, harness: EngineHarness, ref: RequestKey) -> None:
        self.workplace = harness
        self.ref = ref
        self.posted: list[list[str]] = []

    def publish(self, refs: Iterable[RequestKey]) -> None:
        if waiting := list(refs):
            self.posted.append(self.workplace.accepted(self.ref))
            self.workplace.publish(waiting)

    def publish_hints(self, notices: Iterable[ChangeHint]) -> None:
        assert not list(notices), "nobody has sent a notification"

    def backlogged(self) -> Backlog:
        return NO_BACKLOG


def test_the_next_is_called_before_the_decision_is_posted(open_for: Open) -> None:
    def process(self: Any, request: Any) -> Any:
        harness.handle(second)
        return ActivationTileResponse("x")

    harness = opened(open_for, process)
    first, second = purchases(harness, 2)
    publisher = Noting(harness, first)
    harness.engine = replace(harness.engine, publisher=publisher)
    assert harness.handle(first).text == "approved"
    assert list(harness.messages) == [second]
    assert publisher.posted == [[]]


def test_a_decision_that_waits_for_its_post_holds_no_slot(open_for: Open) -> None:
    harness = opened(open_for)
    first, second = purchases(harness, 2)
    with harness.fault("status", status=502, method="POST", path="approve"):
        harness.handle(first)
    assert harness.entry(first).state is State.DECIDED
    assert harness.handle(second).text == "approved"


@pytest.mark.parametrize("error", [OSError("away"), SkipRequest("later")])
def test_a_run_that_decides_nothing_hands_its_slot_on(open_for: Open, error: Exception) -> None:
    def process(self: Any, request: Any) -> Any:
        if request.id == first.id:
            harness.handle(second)
            raise error
        return ActivationTileResponse("x")

    harness = opened(open_for, process)
    first, second = purchases(harness, 2)
    harness.handle(first)
    assert list(harness.messages) == [second]
    assert harness.handle(second).text == "approved"


def test_a_request_that_is_parked_hands_its_slot_on(open_for: Open) -> None:
    def process(self: Any, request: Any) -> Any:
        if request.id == first.id:
            harness.handle(second)
            return "nonsense"
        return ActivationTileResponse("x")

    harness = opened(open_for, process)
    first, second = purchases(harness, 2)
    assert harness.handle(first).text.startswith("parked")
    assert list(harness.messages) == [second]


def test_a_slot_that_nobody_handed_on_is_found_by_the_next_sweep(open_for: Open) -> None:
    harness = opened(open_for)
    first, second, third = purchases(harness, 3)
    get_inside(harness, first)
    for late in (second, third):
        assert harness.handle(late).text == "nothing to do: concurrency limit"
    sweep(harness.engine)
    assert not harness.messages, "its worker lives, as far as anybody knows"
    harness.clock.step(61)
    sweep(harness.engine)
    assert set(harness.messages) >= {first, second}
    assert harness.handle(second).text == "approved"


class ForgetfulOfLines(MemoryLedger):
    """A ledger that can't be reached when a slot is handed on."""

    def take_from_slot_queue(self, limit: str = "", *, requeue_seconds: float) -> list[RequestKey]:
        raise LedgerUnavailable("Redis can't be reached")


def test_a_ledger_that_is_away_when_a_slot_is_free_undoes_nothing(open_for: Open) -> None:
    harness = opened(open_for)
    ledger = ForgetfulOfLines(clock=harness.clock)
    harness.engine = replace(harness.engine, ledger=ledger, leases=LeaseKeeper(ledger))
    first, _ = purchases(harness, 2)
    assert harness.handle(first).text == "approved"


def test_waiting_in_line_never_parks(open_for: Open) -> None:
    harness = opened(open_for)
    first, second = purchases(harness, 2)
    claim = get_inside(harness, first)
    for _ in range(3 * MAX_ATTEMPTS):
        assert harness.handle(second).text == "nothing to do: concurrency limit"
        harness.clock.step(20)
        harness.engine.ledger.renew_lease(claim)
        sweep(harness.engine)
    entry = harness.entry(second)
    assert (entry.state, entry.attempt) == (State.QUEUED, 0)

"""An automation's `max_concurrency`: who waits, who is called next, judged by the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from connect_worker.domain.kinds import ChangeHint
from connect_worker.domain.routing import Registry
from connect_worker.domain.states import NO_BACKLOG, Backlog, Claim, RequestKey, State
from connect_worker.engine.lease import LeaseKeeper
from connect_worker.engine.sweeper import sweep
from connect_worker.exceptions import LedgerUnavailable, SkipRequest
from connect_worker.ledger.memory import MemoryLedger
from connect_worker.models import ActivationTileResponse
from tests.support.engine_harness import MAX_ATTEMPTS, Workplace

from .conftest import Open


def approve(self: Any, request: Any) -> Any:
    return ActivationTileResponse("x")


def opened(open_for: Open, process: Callable[[Any, Any], Any] = approve) -> Workplace:
    """A workplace whose automation lets one request in at a time."""
    workplace = open_for(process)
    [entry] = workplace.engine.registry.registrations
    registry = Registry([replace(entry, max_concurrency=1)])
    workplace.engine = replace(workplace.engine, registry=registry)
    return workplace


def purchases(workplace: Workplace, count: int) -> list[RequestKey]:
    """Poll, and forget the messages; the first of the purchases."""
    workplace.poll()
    workplace.messages.clear()
    sandbox, kind = workplace.sandbox, workplace.kind
    return [RequestKey(kind, sandbox.with_scenario("purchase", n)) for n in range(count)]


def get_inside(workplace: Workplace, ref: RequestKey) -> Claim:
    """A claim of another worker that is inside its processor."""
    limits = workplace.engine.registry.limits(ref.kind)
    claim = workplace.engine.ledger.claim(ref, owner="other", lease_seconds=60, limits=limits)
    assert isinstance(claim, Claim)
    return claim


def test_who_finds_no_slot_is_called_when_there_is_one(open_for: Open) -> None:
    inside: list[str] = []

    def process(self: Any, request: Any) -> Any:
        inside.append(request.id)
        if request.id == first.id:
            assert workplace.handle(second).text == "nothing to do: concurrency limit"
            assert not workplace.messages
        return ActivationTileResponse("x")

    workplace = opened(open_for, process)
    first, second = purchases(workplace, 2)
    assert workplace.handle(first).text == "approved"
    assert list(workplace.messages) == [second], "called without a sweep"
    assert workplace.handle(second).text == "approved"
    assert inside == [first.id, second.id]
    assert workplace.entry(second).attempt == 1


class Noting:
    """A publisher that notes what is posted of a request when messages are sent."""

    def __init__(self, workplace: Workplace, ref: RequestKey) -> None:
        self.workplace = workplace
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
        workplace.handle(second)
        return ActivationTileResponse("x")

    workplace = opened(open_for, process)
    first, second = purchases(workplace, 2)
    publisher = Noting(workplace, first)
    workplace.engine = replace(workplace.engine, publisher=publisher)
    assert workplace.handle(first).text == "approved"
    assert list(workplace.messages) == [second]
    assert publisher.posted == [[]]


def test_a_decision_that_waits_for_its_post_holds_no_slot(open_for: Open) -> None:
    workplace = opened(open_for)
    first, second = purchases(workplace, 2)
    with workplace.fault("status", status=502, method="POST", path="approve"):
        workplace.handle(first)
    assert workplace.entry(first).state is State.DECIDED
    assert workplace.handle(second).text == "approved"


@pytest.mark.parametrize("error", [OSError("away"), SkipRequest("later")])
def test_a_run_that_decides_nothing_hands_its_slot_on(open_for: Open, error: Exception) -> None:
    def process(self: Any, request: Any) -> Any:
        if request.id == first.id:
            workplace.handle(second)
            raise error
        return ActivationTileResponse("x")

    workplace = opened(open_for, process)
    first, second = purchases(workplace, 2)
    workplace.handle(first)
    assert list(workplace.messages) == [second]
    assert workplace.handle(second).text == "approved"


def test_a_request_that_is_parked_hands_its_slot_on(open_for: Open) -> None:
    def process(self: Any, request: Any) -> Any:
        if request.id == first.id:
            workplace.handle(second)
            return "nonsense"
        return ActivationTileResponse("x")

    workplace = opened(open_for, process)
    first, second = purchases(workplace, 2)
    assert workplace.handle(first).text.startswith("parked")
    assert list(workplace.messages) == [second]


def test_a_slot_that_nobody_handed_on_is_found_by_the_next_sweep(open_for: Open) -> None:
    workplace = opened(open_for)
    first, second, third = purchases(workplace, 3)
    get_inside(workplace, first)
    for late in (second, third):
        assert workplace.handle(late).text == "nothing to do: concurrency limit"
    sweep(workplace.engine)
    assert not workplace.messages, "its worker lives, as far as anybody knows"
    workplace.clock.step(61)
    sweep(workplace.engine)
    assert set(workplace.messages) >= {first, second}
    assert workplace.handle(second).text == "approved"


class ForgetfulOfLines(MemoryLedger):
    """A ledger that can't be reached when a slot is handed on."""

    def take_from_slot_queue(self, limit: str = "", *, requeue_seconds: float) -> list[RequestKey]:
        raise LedgerUnavailable("Redis can't be reached")


def test_a_ledger_that_is_away_when_a_slot_is_free_undoes_nothing(open_for: Open) -> None:
    workplace = opened(open_for)
    ledger = ForgetfulOfLines(clock=workplace.clock)
    workplace.engine = replace(workplace.engine, ledger=ledger, leases=LeaseKeeper(ledger))
    first, _ = purchases(workplace, 2)
    assert workplace.handle(first).text == "approved"


def test_waiting_in_line_never_parks(open_for: Open) -> None:
    workplace = opened(open_for)
    first, second = purchases(workplace, 2)
    claim = get_inside(workplace, first)
    for _ in range(3 * MAX_ATTEMPTS):
        assert workplace.handle(second).text == "nothing to do: concurrency limit"
        workplace.clock.step(20)
        workplace.engine.ledger.renew_lease(claim)
        sweep(workplace.engine)
    entry = workplace.entry(second)
    assert (entry.state, entry.attempt) == (State.QUEUED, 0)

"""What happens when processors raise, workers die and Connect misbehaves; judged by the sandbox."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from connect_worker.domain.outcomes import Approve
from connect_worker.domain.retry import (
    FAILURE_THRESHOLD,
    MAX_BREAKER_SECONDS,
    RATE_LIMITED_REASON,
    SPREAD_SECONDS,
)
from connect_worker.domain.states import (
    Claim,
    PollProblem,
    RequestKey,
    RequestKind,
    State,
)
from connect_worker.engine.job import Decision, JobStatus
from connect_worker.engine.job_runner import run_job
from connect_worker.engine.ports import Connect
from connect_worker.engine.rate_limiter import FRESH_SECONDS
from connect_worker.engine.runtime import Registry
from connect_worker.engine.sweeper import sweep
from connect_worker.exceptions import FailRequest, InquireRequest
from connect_worker.models import ActivationTemplateResponse, ActivationTileResponse
from connect_worker.operations.requests import details_document
from tests.support.engine_harness import MAX_ATTEMPTS, EngineHarness
from tests.support.sandbox_server import Client

from .conftest import Open

LONG = 3600.0


class Counted:
    """A processor that approves, and keeps the keys of its runs."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def __call__(self, automation: Any, request: Any) -> Any:
        self.keys.append(automation.idempotency_key)
        return ActivationTileResponse("x")


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def opened(open_for: Open, counted: Counted) -> EngineHarness:
    return open_for(lambda self, request: counted(self, request))


def purchase(opened: EngineHarness) -> RequestKey:
    return opened.only(opened.sandbox.with_scenario("purchase"))


# ---- rows and documents


def test_what_a_list_had_before_its_error_is_processed(opened: EngineHarness) -> None:
    """Also where it is not a whole batch."""
    name = opened.sandbox.with_scenario("purchase")
    [processor] = opened.engine.registry.of_kind(opened.kind)
    rows = processor.list_pending

    def breaks_off(*args: Any, **kwargs: Any) -> Any:
        yield from rows(*args, **kwargs)
        raise ValueError("a row that the filter did not expect")

    processor.list_pending = breaks_off  # type: ignore[method-assign]  # as user code may fail
    assert opened.poll().problem is PollProblem.LIST_REJECTED
    assert RequestKey(opened.kind, name) in opened.messages


UNSENDABLE = ["a lone \udc00", [object()], [float("nan")], [{"id": "email", "value": "\ud800"}]]


@pytest.mark.parametrize("unsendable", UNSENDABLE)
def test_a_decision_that_cannot_be_sent_is_parked_at_once(open_for: Open, unsendable: Any) -> None:
    def process(self: Any, request: Any) -> Any:
        if isinstance(unsendable, str):
            raise FailRequest(unsendable)
        params: Any = [
            item if isinstance(item, dict) else {"id": "a", "value": item} for item in unsendable
        ]
        raise InquireRequest("Which one?", params=params)

    opened = open_for(process)
    ref = purchase(opened)
    result = opened.handle(ref)
    assert result.status is JobStatus.PARKED
    assert opened.entry(ref).decision is None
    assert result.text.startswith("parked: InvalidDecision: the decision ")
    assert opened.accepted(ref) == []


class OddConversations:
    """Connect, but for its answer to which conversation a request has."""

    def __init__(self, connect: Connect, rows: Any) -> None:
        self._connect, self._rows = connect, rows
        self.get_all, self.send = connect.get_all, connect.send

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        return self._rows if path == "conversations" else self._connect.get(path, params)


@pytest.mark.parametrize(
    "rows",
    [
        *([{"id": "CO-\udc00"}], [{"id": {"a": 1}}], [{"id": "../requests/PR-1"}], [{"id": ""}]),
        *([None], [[]], {"id": "CO-1"}, None, 5),
    ],
)
def test_a_conversation_without_a_usable_id_costs_the_message_and_not_the_decision(
    opened: EngineHarness, rows: Any
) -> None:
    ref = purchase(opened)
    connect = OddConversations(opened.engine.connect, rows)
    result = run_job(replace(opened.engine, connect=connect), ref)
    assert (result.status, opened.accepted(ref)) == (JobStatus.COMPLETED, ["approve"])
    assert opened.said(ref) == []


# ---- the processor


def test_an_exception_is_retried_with_the_same_key_and_then_parked(open_for: Open) -> None:
    keys = []

    def process(self: Any, request: Any) -> Any:
        keys.append(self.idempotency_key)
        raise OSError("the vendor is away")

    opened = open_for(process)
    ref = purchase(opened)
    first = opened.handle(ref)
    assert first.text == "OSError: the vendor is away"
    assert first.retry_seconds is not None
    assert opened.entry(ref).state is State.RETRY
    for _ in range(MAX_ATTEMPTS - 1):
        opened.later(ref, LONG)

    entry = opened.entry(ref)
    assert entry.state is State.PARKED
    assert entry.error == "OSError: the vendor is away"
    assert len(keys) == MAX_ATTEMPTS
    assert len(set(keys)) == 1
    assert opened.accepted(ref) == []


def test_a_failing_request_does_not_stop_the_others(open_for: Open) -> None:
    def process(self: Any, request: Any) -> Any:
        if request.id == bad.id:
            raise ValueError("this one")
        return ActivationTileResponse("x")

    opened = open_for(process)
    bad = purchase(opened)
    good = RequestKey(bad.kind, opened.sandbox.with_scenario("purchase", 1))
    opened.handle(bad)
    assert opened.handle(good).text == "approved"


@pytest.mark.parametrize(
    ("process", "error"),
    [
        (lambda self, request: "yes", "InvalidDecision"),
        (lambda self, request: (_ for _ in ()).throw(NotImplementedError("x")), "NotImplemented"),
    ],
)
def test_what_no_retry_can_mend_is_parked_at_once(open_for: Open, process: Any, error: str) -> None:
    opened = open_for(process)
    ref = purchase(opened)
    opened.handle(ref)
    assert opened.entry(ref).state is State.PARKED
    assert opened.entry(ref).error.startswith(error)


def test_a_parked_request_that_a_person_decides_in_connect_leaves_the_list(open_for: Open) -> None:
    opened = open_for(lambda self, request: "nonsense")
    ref = purchase(opened)
    opened.handle(ref)
    opened.sandbox.control("POST", f"requests/{ref.id}/decide", {"status": "approved"})
    opened.poll()
    assert opened.engine.ledger.parked(RequestKind.FULFILLMENT) == []
    assert opened.entry(ref).state is State.SUPERSEDED


def test_a_request_decided_by_hand_meanwhile_is_not_overwritten(
    open_for: Open, sandbox: Client
) -> None:
    def process(self: Any, request: Any) -> Any:
        sandbox.control("POST", f"requests/{request.id}/decide", {"status": "failed"})
        return ActivationTileResponse("x")

    opened = open_for(process)
    ref = purchase(opened)
    assert opened.handle(ref).text == "superseded: Connect shows failed"
    assert opened.entry(ref).state is State.SUPERSEDED
    assert opened.seen(ref)["status"] == "failed"


def test_a_call_of_the_processors_own_that_is_refused_since_a_person_decided_parks_nothing(
    open_for: Open, sandbox: Client
) -> None:
    def process(self: Any, request: Any) -> Any:
        sandbox.control("POST", f"requests/{request.id}/decide", {"status": "failed"})
        self.update_parameters(request.id, request.asset.params)
        return ActivationTileResponse("x")

    opened = open_for(process)
    ref = purchase(opened)
    assert opened.handle(ref).text == "superseded: Connect shows failed"
    assert opened.entry(ref).state is State.SUPERSEDED


def test_a_request_that_is_not_pending_any_more_is_not_processed(
    opened: EngineHarness, counted: Counted
) -> None:
    ref = purchase(opened)
    opened.sandbox.control("POST", f"requests/{ref.id}/decide", {"status": "inquiring"})
    assert opened.handle(ref).text == "nothing to do: Connect shows inquiring"
    assert counted.keys == []


def test_changing_parameters_does_not_change_the_key(open_for: Open) -> None:
    keys = []

    def process(self: Any, request: Any) -> Any:
        keys.append(self.idempotency_key)
        param = request.asset.get_param_by_id("purchase_id")
        param.value = "T-1"
        self.update_parameters(request.id, [param])
        if len(keys) == 1:
            raise OSError("after the change")
        return ActivationTileResponse("x")

    opened = open_for(process)
    ref = purchase(opened)
    opened.handle(ref)
    opened.poll()
    assert opened.later(ref, LONG).text == "approved"
    assert keys[0] == keys[1]


# ---- the reply


@pytest.mark.parametrize("action", ["reset_after", "hang"])
def test_an_approval_whose_reply_is_lost_is_settled_by_looking(
    opened: EngineHarness, counted: Counted, action: str
) -> None:
    ref = purchase(opened)
    with opened.fault(action, method="POST", path="approve"):
        assert opened.handle(ref).text == "approved"
    assert opened.accepted(ref) == ["approve"]
    assert len(opened.said(ref)) == 1
    assert len(counted.keys) == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "reset_before"},
        {"action": "status", "status": 502},
        {"action": "html"},
        {"action": "broken_json"},
    ],
)
def test_an_approval_that_did_not_arrive_is_posted_later_without_another_run(
    opened: EngineHarness, counted: Counted, fault: dict[str, Any]
) -> None:
    ref = purchase(opened)
    with opened.fault(**fault, method="POST", path="approve"):
        handled = opened.handle(ref)
    assert handled.retry_seconds is not None
    assert opened.entry(ref).state is State.DECIDED
    assert opened.later(ref, LONG).text == "approved"
    assert opened.accepted(ref) == ["approve"]
    assert len(counted.keys) == 1, "the processor ran once; only the post was repeated"


def test_a_message_whose_reply_is_lost_is_said_once(opened: EngineHarness) -> None:
    ref = purchase(opened)
    with opened.fault("reset_after", method="POST", path="messages"):
        opened.handle(ref)
    assert opened.entry(ref).state is State.DECIDED
    assert opened.later(ref, LONG).text == "approved"
    assert len(opened.said(ref)) == 1
    assert opened.accepted(ref) == ["approve"]


@pytest.mark.parametrize(
    ("fault", "said"), [("reset_after", 1), ("reset_before", 0)], ids=["taken", "lost"]
)
def test_a_message_is_not_said_again_when_its_conversation_is_closed_meanwhile(
    opened: EngineHarness, caplog: pytest.LogCaptureFixture, fault: str, said: int
) -> None:
    ref = purchase(opened)
    with opened.fault(fault, method="POST", path="messages"):
        opened.handle(ref)
    rows = opened.engine.connect.get("conversations", {"instance_id": ref.id})
    closed = OddConversations(opened.engine.connect, [{**row, "status": "closed"} for row in rows])
    opened.engine = replace(opened.engine, connect=closed)
    assert opened.later(ref, LONG).text == "approved"
    assert len(opened.said(ref)) == said
    warned = any("conversation.none_open" in text for text in caplog.messages)
    assert warned is (said == 0)


def test_a_message_that_quotes_a_password_is_said_once_and_stored_without_it(
    open_for: Open,
) -> None:
    password = "canary-0123456789"

    def ask(_self: Any, request: Any) -> Any:
        param = request.asset.get_param_by_id("password")
        param.value_error = f"{param.value} is too weak"
        raise InquireRequest(f"We can't take {param.value}", params=[param])

    opened = open_for(ask)
    params = [{"id": "password", "type": "password", "value": password, "value_error": ""}]
    body = {"asset": {"params": params}}
    [request_id] = opened.sandbox.control("POST", "requests", {"body": body})["ids"]
    ref = opened.only(request_id)
    with opened.fault("reset_after", method="POST", path="messages"):
        opened.handle(ref)
    record = opened.entry(ref)
    assert record.state is State.DECIDED
    assert password not in json.dumps([record.decision, details_document(record)])
    assert "*** is too weak" in json.dumps(details_document(record))
    assert opened.later(ref, LONG).text == "inquired"
    assert opened.said(ref) == ["We can't take ***"]
    # The run that decided has posted what the processor wrote.
    [params] = opened.seen(ref)["params"]
    assert params["password"]["value_error"] == f"{password} is too weak"


def test_a_message_that_is_refused_does_not_undo_the_approval(opened: EngineHarness) -> None:
    ref = purchase(opened)
    with opened.fault("status", status=400, method="POST", path="messages"):
        assert opened.handle(ref).status is JobStatus.COMPLETED
    assert opened.entry(ref).state is State.COMPLETED


def test_a_refused_decision_is_parked_and_kept_for_a_person(open_for: Open) -> None:
    opened = open_for(lambda self, request: ActivationTemplateResponse("TL-000-000-999"))
    ref = purchase(opened)
    opened.handle(ref)
    entry = opened.entry(ref)
    assert entry.state is State.PARKED
    assert "400" in entry.error
    assert entry.decision["decision"]["template_id"] == "TL-000-000-999"
    assert opened.engine.ledger.repost(ref)
    assert opened.later(ref, 1).text.startswith("parked: PostRefused")


def test_one_malformed_request_is_parked_with_the_reason(open_for: Open) -> None:
    opened = open_for(lambda self, request: ActivationTileResponse("x"))
    ref = purchase(opened)
    with opened.fault("broken_json", method="GET", path=ref.id, times=None):
        opened.handle(ref)
        for _ in range(MAX_ATTEMPTS - 1):
            opened.later(ref, LONG)
    assert opened.entry(ref).state is State.PARKED
    assert "no usable JSON" in opened.entry(ref).error


# ---- the worker


def abandoned(opened: EngineHarness, ref: RequestKey) -> Claim:
    """A claim whose worker died."""
    claim = opened.engine.ledger.claim(ref, owner="dead", lease_seconds=60)
    assert isinstance(claim, Claim)
    return claim


def test_a_worker_that_dies_in_the_processor_is_replaced(
    opened: EngineHarness, counted: Counted
) -> None:
    ref = purchase(opened)
    abandoned(opened, ref)
    assert opened.handle(ref).text == "nothing to do: busy"
    assert opened.later(ref, 61).text == "approved"
    assert opened.entry(ref).attempt == 2


def test_a_worker_that_dies_with_a_decision_has_it_posted_by_another(
    opened: EngineHarness, counted: Counted
) -> None:
    ref = purchase(opened)
    claim = abandoned(opened, ref)
    decision = Decision(Approve(tile="from the dead"), pending_status="pending")
    opened.engine.ledger.decide(claim, decision.dump())
    assert opened.later(ref, 61).text == "approved"
    assert counted.keys == [], "the decision is made: the processor does not run"
    [outcome] = opened.seen(ref)["accepted"]
    assert outcome["body"] == {"activation_tile": "from the dead"}


def test_a_worker_that_dies_after_the_post_leaves_one_outcome(opened: EngineHarness) -> None:
    ref = purchase(opened)
    claim = abandoned(opened, ref)
    decision = Decision(Approve(tile="x"), pending_status="pending")
    opened.engine.ledger.decide(claim, decision.dump())
    opened.engine.connect.send(
        "POST", f"requests/{ref.id}/approve", {"activation_tile": "x"}, key="k"
    )
    assert opened.later(ref, 61).text == "approved"
    assert opened.accepted(ref) == ["approve"]
    assert len(opened.said(ref)) == 1


def test_a_worker_that_dies_at_every_attempt_parks_the_request(opened: EngineHarness) -> None:
    ref = purchase(opened)
    for _ in range(MAX_ATTEMPTS - 1):
        abandoned(opened, ref)
        opened.clock.step(61)
        opened.messages.clear()
        sweep(opened.engine)
        # After the second death it waits.
        opened.clock.step(61)
    abandoned(opened, ref)
    opened.clock.step(61)
    sweep(opened.engine)
    assert opened.entry(ref).state is State.PARKED


def test_a_stale_worker_posts_nothing(open_for: Open) -> None:
    def process(self: Any, request: Any) -> Any:
        # Frozen past its lease; another worker takes over and finishes.
        opened.clock.step(61)
        opened.engine.ledger.take_due(limit=100, requeue_seconds=60, max_attempts=9)
        rescuer = opened.engine.ledger.claim(ref, owner="other", lease_seconds=60)
        assert isinstance(rescuer, Claim)
        opened.engine.ledger.complete(rescuer, "approved", keep_seconds=LONG)
        return ActivationTileResponse("too late")

    opened = open_for(process)
    ref = purchase(opened)
    assert opened.handle(ref).text.startswith("stopped")
    assert opened.accepted(ref) == []


# ---- the account


def test_a_429_pauses_everybody_and_costs_no_attempt(
    opened: EngineHarness, counted: Counted
) -> None:
    ref = purchase(opened)
    other = RequestKey(ref.kind, opened.sandbox.with_scenario("purchase", 1))
    with opened.fault("status", status=429, retry_after=30, method="GET", path=ref.id):
        seconds = opened.handle(ref).retry_seconds
    assert seconds is not None
    assert 30 <= seconds <= 30 + SPREAD_SECONDS
    before = opened.sandbox.control("GET", "report?summary=1")["calls"]["total"]
    assert opened.handle(other).text == "nothing to do: breaker open"
    assert opened.poll().detail.startswith("breaker open")
    assert opened.sandbox.control("GET", "report?summary=1")["calls"]["total"] == before
    assert opened.entry(ref).attempt == 0
    assert opened.later(ref, 40).text == "approved"
    assert opened.handle(other).text == "approved"


def test_a_429_inside_the_processor_is_no_failure_of_it(open_for: Open) -> None:
    def process(self: Any, request: Any) -> Any:
        self.update_parameters(request.id, request.asset.params)
        return ActivationTileResponse("x")

    opened = open_for(process)
    ref = purchase(opened)
    with opened.fault("status", status=429, retry_after=20, method="PUT"):
        opened.handle(ref)
    assert opened.entry(ref).attempt == 0
    assert opened.later(ref, 30).text == "approved"


def paused_by_another(opened: EngineHarness, seconds: float) -> None:
    """Another worker met a 429, long enough ago for this process to ask the ledger again."""
    opened.engine.ledger.trip_breaker(seconds=seconds, reason=RATE_LIMITED_REASON, failed=False)
    opened.clock.step(FRESH_SECONDS)


def calls(opened: EngineHarness) -> Any:
    return opened.sandbox.control("GET", "report?summary=1")["calls"]["total"]


def test_a_job_under_way_meets_the_pause_of_another_worker_and_no_attempt_is_used(
    open_for: Open,
) -> None:
    keys = []

    def process(self: Any, request: Any) -> Any:
        keys.append((self.idempotency_key, self.attempt))
        if len(keys) == 1:
            paused_by_another(busy, 30)
        self.update_parameters(request.id, request.asset.params)
        return ActivationTileResponse("x")

    # User code calls through the same client as the engine, as in a worker.
    busy = open_for(process, client=property(lambda self: busy.engine.connect))
    ref = purchase(busy)
    before = calls(busy)
    handled = busy.handle(ref)
    assert handled.text.startswith("AccountPaused: ")
    assert handled.retry_seconds is not None
    assert 29 <= handled.retry_seconds <= 30 + SPREAD_SECONDS
    assert calls(busy) == before + 1, "the request was read, and nothing more was sent"
    assert (busy.entry(ref).state, busy.entry(ref).attempt) == (State.RETRY, 0)
    gate = busy.engine.ledger.breaker()
    assert gate.open_until == pytest.approx(busy.clock() + 30, abs=1), "no longer than before"
    assert busy.later(ref, 30 + SPREAD_SECONDS).text == "approved"
    assert len(set(keys)) == 1, "the same key, and the same attempt"


def test_a_decision_that_meets_a_pause_is_kept_and_posted_behind_it(open_for: Open) -> None:
    runs = []

    def process(self: Any, request: Any) -> Any:
        runs.append(self.idempotency_key)
        paused_by_another(busy, 30)
        return ActivationTileResponse("x")

    busy = open_for(process)
    ref = purchase(busy)
    busy.handle(ref)
    assert (busy.entry(ref).state, busy.entry(ref).attempt) == (State.DECIDED, 0)
    assert busy.accepted(ref) == []
    assert busy.later(ref, 30 + SPREAD_SECONDS).text == "approved"
    assert len(runs) == 1


def test_a_poll_under_way_stops_at_the_pause_of_another_worker(
    opened: EngineHarness, open_for: Open
) -> None:
    def filters(self: Any) -> Any:
        paused_by_another(asking, 30)
        return {"status": "pending"}

    asking = open_for(lambda self, request: None, filters=filters)
    before = calls(asking)
    assert asking.poll().detail == f"breaker open: {RATE_LIMITED_REASON}"
    assert calls(asking) == before
    asking.clock.step(60)
    assert asking.engine.ledger.breaker().failures == 0


def test_a_refused_key_pauses_the_account_until_a_probe_succeeds(
    opened: EngineHarness, counted: Counted
) -> None:
    ref = purchase(opened)
    other = RequestKey(ref.kind, opened.sandbox.with_scenario("purchase", 1))
    with opened.fault("status", status=401, times=None):
        opened.handle(ref)
        gate = opened.engine.ledger.breaker()
        assert "401" in gate.reason
        assert opened.handle(other).text == "nothing to do: breaker open"
        opened.later(ref, MAX_BREAKER_SECONDS)
        assert opened.handle(other).text == "nothing to do: breaker open"
    assert opened.entry(ref).attempt == 0
    assert opened.later(ref, LONG).text == "approved"
    assert opened.engine.ledger.breaker().failures == 0
    assert opened.handle(other).text == "approved"


def test_an_api_that_fails_for_all_pauses_the_account_and_reruns_no_processor(
    opened: EngineHarness, counted: Counted
) -> None:
    opened.poll()
    refs = [
        RequestKey(RequestKind.FULFILLMENT, opened.sandbox.with_scenario("purchase", n))
        for n in range(8)
    ]
    with opened.fault("status", status=500, times=None, method="POST", path="approve"):
        handled = [opened.handle(ref).text for ref in refs]
    assert handled.count("nothing to do: breaker open") == len(refs) - FAILURE_THRESHOLD
    for _ in range(20):
        opened.clock.step(MAX_BREAKER_SECONDS)
        opened.messages.clear()
        sweep(opened.engine)
        for ref in [ref for ref in opened.messages if ref in refs]:
            opened.handle(ref)
    assert [opened.accepted(ref) for ref in refs] == [["approve"]] * len(refs)
    assert len(counted.keys) == len(set(counted.keys)) == len(refs)


def test_a_poll_that_succeeds_does_not_forget_the_failures_of_posts_that_wait(
    opened: EngineHarness,
) -> None:
    opened.poll()
    refs = [
        RequestKey(RequestKind.FULFILLMENT, opened.sandbox.with_scenario("purchase", n))
        for n in range(8)
    ]
    with opened.fault("status", status=500, times=None, method="POST", path="approve"):
        for ref in refs:
            opened.handle(ref)
        opened.clock.step(MAX_BREAKER_SECONDS)
        opened.poll()
        assert opened.engine.ledger.breaker().failures == FAILURE_THRESHOLD
        opened.later(refs[0], MAX_BREAKER_SECONDS)
        assert opened.engine.ledger.breaker().failures == FAILURE_THRESHOLD + 1
    for _ in range(20):
        opened.clock.step(MAX_BREAKER_SECONDS)
        opened.messages.clear()
        sweep(opened.engine)
        for ref in [ref for ref in opened.messages if ref in refs]:
            opened.handle(ref)
    assert opened.engine.ledger.breaker().failures == 0


def test_a_poll_that_succeeds_forgets_failures_where_no_post_waits(opened: EngineHarness) -> None:
    with opened.fault("status", status=500, times=None):
        for _ in range(FAILURE_THRESHOLD):
            opened.poll()
    assert opened.engine.ledger.breaker().failures == FAILURE_THRESHOLD
    opened.clock.step(MAX_BREAKER_SECONDS)
    assert not opened.poll().problem
    assert opened.engine.ledger.breaker().failures == 0


def test_a_single_failing_request_does_not_pause_the_account(opened: EngineHarness) -> None:
    ref = purchase(opened)
    other = RequestKey(ref.kind, opened.sandbox.with_scenario("purchase", 1))
    with opened.fault("status", status=500, times=None, method="POST", path=f"{ref.id}/approve"):
        opened.handle(ref)
        assert opened.handle(other).text == "approved"
    assert opened.engine.ledger.breaker().failures == 0


# ---- the poll


def test_a_poll_reads_all_pages_and_enqueues_each_request_once(opened: EngineHarness) -> None:
    polled = opened.poll()
    waiting = opened.sandbox.control("GET", "report?summary=1")["totals"]["fulfillment"]["count"]
    assert polled.seen == polled.new == waiting == len(set(opened.messages))
    assert opened.poll().new == 0
    assert len(opened.messages) == waiting


def test_a_poll_that_cannot_reach_connect_says_so(opened: EngineHarness) -> None:
    with opened.fault("status", status=401, times=None):
        assert "401" in opened.poll().detail
    opened.clock.step(LONG)
    assert opened.poll().problem == ""


# ---- the period


def test_a_late_report_is_not_replaced_by_the_next_periods(open_for: Open) -> None:
    started: list[str] = []
    reported: list[str] = []

    def process(self: Any, request: Any) -> Any:
        started.append(self.reporting_period)
        if len(started) == 1:
            raise OSError("the meters are away")
        reported.append(self.reporting_period)
        return "nothing was used"

    opened = open_for(process, RequestKind.USAGE)
    opened.poll()
    late = opened.messages[0]
    opened.messages.clear()
    opened.handle(late)
    opened.clock.step(86_400)
    opened.poll()
    of_listing = [ref for ref in opened.messages if ref.request_id == late.request_id]
    assert len(of_listing) == 1
    assert of_listing[0] != late
    opened.handle(of_listing[0])
    opened.later(late, 1)

    assert [opened.entry(ref).state for ref in (late, of_listing[0])] == [State.COMPLETED] * 2
    assert sorted(reported) == sorted(ref.id.partition("@")[2] for ref in (late, *of_listing))


def test_a_decision_that_cannot_be_read_is_parked(opened: EngineHarness) -> None:
    ref = purchase(opened)
    claim = abandoned(opened, ref)
    opened.engine.ledger.decide(claim, {"decision": {"outcome": "of a later version"}})
    assert opened.later(ref, 61).text.startswith("parked: InvalidDecision")
    assert opened.accepted(ref) == []


def test_filters_that_connect_refuses_do_not_keep_another_automation_from_its_requests(
    opened: EngineHarness, open_for: Open
) -> None:
    wrong = open_for(
        lambda self, request: None, filters=lambda self: {"status": "pending", "no.such": "field"}
    )
    (bad,), (good,) = wrong.engine.registry.registrations, opened.engine.registry.registrations
    both = [replace(bad, products=frozenset({"PRD-000-000-000"})), good]
    opened.engine = replace(opened.engine, registry=Registry(both))
    polled = opened.poll()
    assert "400" in polled.detail
    assert polled.new == len(opened.messages) > 0

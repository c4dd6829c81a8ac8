"""Durable steps, by the engine: what a rerun finds, and what the journal refuses."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from connect_worker.domain.states import JSON, Claim, RequestKey, RequestKind, State
from connect_worker.engine.lease import LeaseKeeper
from connect_worker.exceptions import FailRequest, InquireRequest, InvalidStep, LedgerUnavailable
from connect_worker.ledger.memory import MemoryLedger
from connect_worker.models import ActivationTileResponse
from connect_worker.operations.requests import timeline
from tests.support.engine_harness import MAX_ATTEMPTS, EngineHarness
from tests.support.ledger_factories import Clock

from .conftest import Open

NAMES = ["tenant", "domain", "mailbox"]
#: Longer than any pause after an error here.
LATER_SECONDS = 1000.0


class Vendor:
    """A system that counts its calls, and fails when a test says so."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.fails_at = ""

    def create(self, name: str, *, key: str) -> dict[str, str]:
        if name == self.fails_at:
            self.fails_at = ""
            raise OSError("away")
        self.calls.append((name, key))
        return {"id": f"{name}-{len(self.calls)}"}

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


def making(vendor: Vendor, names: list[str]) -> Callable[[Any, Any], Any]:
    """A processor with these steps; the list may be changed between two runs."""

    def process(self: Any, request: Any) -> Any:
        def create(name: str) -> str:
            return str(vendor.create(name, key=self.step_key)["id"])

        return ActivationTileResponse(", ".join(self.step(name, create, name) for name in names))

    return process


def purchase(harness: EngineHarness) -> RequestKey:
    return harness.only(harness.sandbox.with_scenario("purchase"))


def test_a_rerun_goes_on_at_the_first_step_without_a_result(open_for: Open, vendor: Vendor) -> None:
    harness = open_for(making(vendor, NAMES))
    ref = purchase(harness)
    vendor.fails_at = "mailbox"
    assert harness.handle(ref).retry_seconds is not None
    assert vendor.names == ["tenant", "domain"]
    assert harness.later(ref, LATER_SECONDS).text == "approved"
    assert vendor.names == NAMES
    [outcome] = harness.seen(ref)["accepted"]
    assert "tenant-1, domain-2, mailbox-3" in str(outcome)


def test_each_step_has_a_key_of_its_own_the_same_in_each_run(
    open_for: Open, vendor: Vendor
) -> None:
    keys: list[str] = []

    def process(self: Any, request: Any) -> Any:
        self.step("tenant", lambda: vendor.create("tenant", key=self.step_key))
        self.step("mailbox", self.create_mailbox, "large", owner="ada")
        return ActivationTileResponse("x")

    def create_mailbox(self: Any, size: str, *, owner: str) -> str:
        assert (size, owner) == ("large", "ada")
        keys.append(self.step_key)
        if len(keys) == 1:
            raise OSError("away")
        return str(self.idempotency_key)

    harness = open_for(process, create_mailbox=create_mailbox)
    ref = purchase(harness)
    harness.handle(ref)
    harness.later(ref, LATER_SECONDS)
    [(_, tenant_key)] = vendor.calls
    assert keys[0] == keys[1]
    entry = harness.entry(ref)
    assert len({tenant_key, keys[0], entry.steps["step:2:mailbox"]}) == 3


def test_the_next_cycle_begins_without_results(open_for: Open, vendor: Vendor) -> None:
    asked: list[str] = []

    def process(self: Any, request: Any) -> Any:
        self.step("tenant", lambda: vendor.create("tenant", key=self.step_key))
        if not asked:
            asked.append(request.id)
            raise InquireRequest("Which one?")
        return ActivationTileResponse("x")

    harness = open_for(process)
    ref = purchase(harness)
    assert harness.handle(ref).text == "inquired"
    answer = {"params": {"email": "someone@example.com"}}
    harness.sandbox.control("POST", f"requests/{ref.id}/answer", answer)
    harness.only(ref.id)
    assert harness.handle(ref).text == "approved"
    assert vendor.names == ["tenant", "tenant"]
    assert len(set(vendor.calls)) == 2


@pytest.mark.parametrize(
    ("result", "message"),
    [(object(), "no JSON"), ({"a": {1}}, "'a' of its result is a set"), (float("inf"), "inf")],
)
def test_a_result_that_is_no_json_parks_and_a_repaired_processor_goes_on(
    open_for: Open, vendor: Vendor, result: object, message: str
) -> None:
    results: list[object] = [result, "T-1"]

    def process(self: Any, request: Any) -> Any:
        self.step("domain", lambda: vendor.create("domain", key=self.step_key))
        tenant = self.step("tenant", lambda: results.pop(0))
        return ActivationTileResponse(tenant)

    harness = open_for(process)
    ref = purchase(harness)
    assert message in harness.handle(ref).text
    entry = harness.entry(ref)
    assert (entry.state, set(entry.steps)) == (State.PARKED, {"step:1:domain"})
    assert harness.engine.ledger.rerun(ref)
    assert harness.handle(ref).text == "approved"
    assert vendor.names == ["domain"]


def test_two_steps_with_one_name_park_with_a_sentence(open_for: Open, vendor: Vendor) -> None:
    harness = open_for(making(vendor, ["tenant", "tenant"]))
    ref = purchase(harness)
    assert "two steps are named 'tenant'" in harness.handle(ref).text
    assert harness.entry(ref).state is State.PARKED
    assert vendor.names == ["tenant"]


@pytest.mark.parametrize(
    "changed", [["domain", "tenant", "mailbox"], ["new", *NAMES], ["tenant", "new", "mailbox"]]
)
def test_a_changed_order_parks_and_nothing_is_run_until_a_person_says_how(
    open_for: Open, vendor: Vendor, changed: list[str]
) -> None:
    names = list(NAMES)
    harness = open_for(making(vendor, names))
    ref = purchase(harness)
    vendor.fails_at = "mailbox"
    harness.handle(ref)
    names[:] = changed
    text = harness.later(ref, LATER_SECONDS).text
    assert "Done are 'tenant', 'domain'." in text
    assert f"connect-worker rerun --forget-steps {ref.id}" in harness.entry(ref).error
    assert (harness.entry(ref).state, vendor.names) == (State.PARKED, ["tenant", "domain"])

    # Back to the old order: nothing is run twice.
    names[:] = NAMES
    harness.engine.ledger.rerun(ref)
    assert harness.handle(ref).text == "approved"
    assert vendor.names == NAMES


def test_forgotten_steps_run_again_under_the_same_keys(open_for: Open, vendor: Vendor) -> None:
    names = list(NAMES)
    harness = open_for(making(vendor, names))
    ref = purchase(harness)
    vendor.fails_at = "mailbox"
    harness.handle(ref)
    names.reverse()
    assert "parked" in harness.later(ref, LATER_SECONDS).text
    harness.engine.ledger.rerun(ref, forget_steps=True)
    assert harness.handle(ref).text == "approved"
    assert vendor.names == ["tenant", "domain", "mailbox", "domain", "tenant"]
    assert len(set(vendor.calls)) == 3


def test_steps_may_be_added_behind_those_that_are_done(open_for: Open, vendor: Vendor) -> None:
    names = NAMES[:2]
    harness = open_for(making(vendor, names))
    ref = purchase(harness)
    vendor.fails_at = "domain"
    harness.handle(ref)
    names[:] = ["tenant", "new", "domain"]
    assert harness.later(ref, LATER_SECONDS).text == "approved"
    assert vendor.names == names


def test_an_error_of_the_journals_can_not_be_caught_away(open_for: Open, vendor: Vendor) -> None:
    def process(self: Any, request: Any) -> Any:
        for name in ("tenant", "tenant", "mailbox"):
            try:
                self.step(name, lambda n=name: vendor.create(n, key=self.step_key))
            except InvalidStep:
                continue
        raise FailRequest("no")

    harness = open_for(process)
    ref = purchase(harness)
    assert harness.handle(ref).text.startswith("parked: InvalidStep")
    assert (vendor.names, harness.accepted(ref)) == (["tenant"], [])


def test_a_step_that_failed_may_be_tried_again_and_no_other_one_begin(
    open_for: Open, vendor: Vendor
) -> None:
    def process(self: Any, request: Any) -> Any:
        def create(name: str) -> Any:
            return self.step(name, lambda: vendor.create(name, key=self.step_key))

        for _ in range(2):
            vendor.fails_at = "tenant" if not vendor.calls and self.attempt == 1 else ""
            try:
                create("tenant" if self.attempt == 1 else "mailbox")
            except OSError:
                create(then)
        return ActivationTileResponse("x")

    then = "tenant"
    harness = open_for(process)
    ref = purchase(harness)
    # Tried again at once it is done; the loop's second round asks for it a second time.
    assert "two steps are named 'tenant'" in harness.handle(ref).text
    assert vendor.names == ["tenant"]

    vendor.calls.clear()
    then = "mailbox"
    other = harness.only(harness.sandbox.with_scenario("purchase", 1))
    assert "'mailbox' begins after 'tenant' has failed" in harness.handle(other).text
    assert vendor.names == []


def test_a_step_inside_of_another_is_refused(open_for: Open) -> None:
    def process(self: Any, request: Any) -> Any:
        return self.step("outer", lambda: self.step("inner", lambda: 1))

    harness = open_for(process)
    ref = purchase(harness)
    assert "'inner' begins while 'outer' is running" in harness.handle(ref).text


def test_a_step_beside_another_is_refused(open_for: Open) -> None:
    caught: list[BaseException] = []

    def process(self: Any, request: Any) -> Any:
        def beside() -> None:
            try:
                self.step("second", lambda: 2)
            except InvalidStep as error:
                caught.append(error)

        def first() -> int:
            thread = threading.Thread(target=beside)
            thread.start()
            thread.join()
            return 1

        self.step("first", first)
        return ActivationTileResponse("x")

    harness = open_for(process)
    ref = purchase(harness)
    assert harness.handle(ref).text.startswith("parked: InvalidStep")
    assert len(caught) == 1


def test_a_key_that_is_asked_for_too_early_is_refused_with_the_remedy(
    open_for: Open, vendor: Vendor
) -> None:
    def process(self: Any, request: Any) -> Any:
        return self.step("tenant", vendor.create, "tenant", key=self.step_key)

    harness = open_for(process)
    ref = purchase(harness)
    assert "hand over a function" in harness.handle(ref).text
    assert vendor.calls == []


def test_a_result_with_the_customers_password_is_not_stored(open_for: Open) -> None:
    def process(self: Any, request: Any) -> Any:
        param = {"id": "secret", "type": "password", "value": "correct horse"}
        self._job.document["asset"]["params"].append(param)
        self.step("tenant", lambda: {"id": "T-1", "login": "ada:correct horse"})
        return ActivationTileResponse("x")

    harness = open_for(process)
    ref = purchase(harness)
    assert "value of a password parameter" in harness.handle(ref).text
    assert harness.entry(ref).steps == {}


class Replaced(MemoryLedger):
    """A ledger in which another worker takes the request over while a step runs."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock)
        clock.calls.append(self.now)
        self.stepped_clock = clock

    def record_step(self, claim: Claim, step: str, result: JSON) -> None:
        self.stepped_clock.step(claim.lease_seconds + 1)
        self.take_due(limit=1000, requeue_seconds=60, max_attempts=8)
        assert isinstance(self.claim(claim.ref, owner="other", lease_seconds=60), Claim)
        super().record_step(claim, step, result)


def test_a_step_of_a_worker_that_lost_its_lease_is_not_journaled(
    open_for: Open, vendor: Vendor
) -> None:
    harness = open_for(making(vendor, NAMES))
    ledger = Replaced(harness.clock)
    harness.engine = replace(harness.engine, ledger=ledger, leases=LeaseKeeper(ledger))
    ref = purchase(harness)

    assert harness.handle(ref).text.startswith("stopped: ")
    entry = harness.entry(ref)
    assert (entry.steps, entry.owner, entry.state) == ({}, "other", State.RUNNING)


class Away(MemoryLedger):
    """A ledger that can't be reached when a step is to be journaled."""

    def record_step(self, claim: Claim, step: str, result: JSON) -> None:
        raise LedgerUnavailable("Redis can't be reached")


def test_a_step_that_could_not_be_journaled_runs_again_under_its_key(
    open_for: Open, vendor: Vendor
) -> None:
    harness = open_for(making(vendor, NAMES))
    away = Away(clock=harness.clock)
    whole = harness.engine
    harness.engine = replace(whole, ledger=away, leases=LeaseKeeper(away))
    ref = purchase(harness)
    with pytest.raises(LedgerUnavailable):
        harness.handle(ref)
    assert away.get_record(ref).steps == {}  # type: ignore[union-attr]
    harness.engine = whole
    purchase(harness)
    assert harness.handle(ref).text == "approved"
    assert vendor.names == ["tenant", *NAMES]
    assert len(set(vendor.calls)) == 3


@pytest.mark.parametrize("kind", RequestKind)
def test_every_kind_of_automation_has_steps(open_for: Open, kind: RequestKind) -> None:
    runs: list[str] = []
    done: list[object] = []

    def process(self: Any, request: Any) -> Any:
        runs.append(request.id)
        done.append(self.step("first", lambda: len(runs)))
        raise OSError("away")

    harness = open_for(process, kind)
    harness.poll()
    ref = harness.messages.popleft()
    harness.handle(ref)
    harness.later(ref, LATER_SECONDS)
    assert done == [1, 1]
    assert len(runs) == 2 < MAX_ATTEMPTS


def test_the_timeline_has_the_steps_between_the_states(open_for: Open, vendor: Vendor) -> None:
    harness = open_for(making(vendor, NAMES))
    ref = purchase(harness)
    harness.handle(ref)
    shown = [line.step or line.state.value for line in timeline(harness.entry(ref))]
    assert shown[:6] == ["queued", "running", *NAMES, "posting"]
    assert shown[-1] == "completed"

"""A processor in one process: the engine's own outcomes, and all that would be posted."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from connect_worker.config import Config
from connect_worker.exceptions import InvalidStep, RegistrationError, RetryRequest
from connect_worker.models import Fulfillment, UsageFile, UsageRecord
from connect_worker.resources import FulfillmentAutomation, UsageAutomation
from connect_worker.testing import (
    Approve,
    DryRun,
    Fail,
    Inquire,
    NoDecision,
    Skip,
    State,
    purchase,
    run,
    tier_setup,
    usage_listing,
)
from tests.support.processors.vendor import Orders, Readers, Stepwise


def order(plan: str, **fields: Any) -> DryRun:
    return run(Orders, purchase(id="PR-1-2-3", params={"plan": plan, **fields}))


def posted(done: DryRun) -> list[tuple[str, str, Any]]:
    return [(call.method, call.path, call.body) for call in done.calls]


def test_an_approval_and_its_message() -> None:
    done = order("basic")
    assert done.outcome == Approve(template_id="TL-111-222-333")
    assert (done.result, done.state, done.error) == ("approved", State.COMPLETED, None)
    [approval, message] = done.calls
    assert (approval.method, approval.path) == ("POST", "requests/PR-1-2-3/approve")
    assert approval.body == {"template_id": "TL-111-222-333"}
    assert message.path.startswith("conversations/CO-")
    assert done.messages == ["Activated using template TL-111-222-333."]
    assert approval.key
    assert approval.key == message.key


def test_an_inquiry_stores_its_params_first() -> None:
    done = order("ask", email="old@mail.example")
    param = {"id": "email", "value": "old@mail.example", "value_error": "Which one?"}
    assert done.outcome == Inquire("An email, please", [param])
    assert posted(done)[:2] == [
        ("PUT", "requests/PR-1-2-3", {"asset": {"params": [param]}}),
        ("POST", "requests/PR-1-2-3/inquire", {}),
    ]
    assert done.messages == ["An email, please"]
    assert done.steps == {}


def test_the_processors_steps_are_reported() -> None:
    done = run(Stepwise, purchase(params={"plan": "small"}))
    assert list(done.steps) == ["tenant", "mailbox"]
    tenant = done.steps["tenant"]
    assert done.steps["mailbox"] == {"address": f"box@{tenant}"}
    assert done.outcome == Approve(tile=f"{tenant} with box@{tenant}")


def test_a_run_goes_on_behind_given_steps() -> None:
    done = run(Stepwise, purchase(params={"plan": "small"}), steps={"tenant": "T-1"})
    assert done.steps == {"tenant": "T-1", "mailbox": {"address": "box@T-1"}}
    assert done.outcome == Approve(tile="T-1 with box@T-1")


def test_steps_in_another_order_are_reported_as_a_worker_does() -> None:
    done = run(Stepwise, purchase(params={"plan": "small"}), steps={"mailbox": {"address": "b"}})
    assert done.state.value == "parked"
    with pytest.raises(InvalidStep, match="step 1 of this cycle was 'mailbox', and now"):
        done.outcome  # noqa: B018 - asking for it raises
    with pytest.raises(InvalidStep, match="'tenant' can't be journaled"):
        run(Stepwise, purchase(), steps={"tenant": object()})


def test_not_yet_waits() -> None:
    done = run(Stepwise, purchase(params={"plan": "slow"}))
    assert (done.state.value, list(done.steps)) == ("snoozed", ["tenant"])
    assert done.result == "not yet, again in 60 s: the mailbox is not ready"
    assert isinstance(done.error, RetryRequest)
    assert posted(done) == []


def test_a_refusal() -> None:
    done = order("refuse")
    assert done.outcome == Fail("No more of these")
    [call, _] = posted(done)
    assert call == ("POST", "requests/PR-1-2-3/fail", {"reason": "No more of these"})
    assert done.messages == ["No more of these"]


def test_a_skip_waits_and_says_so() -> None:
    done = order("wait")
    assert (done.outcome, done.state) == (Skip("Not yet"), State.SNOOZED)
    assert done.messages == ["Not yet"]


def test_nothing_decided_posts_nothing() -> None:
    done = order("leave")
    assert (done.outcome, done.state, done.calls) == (NoDecision(), State.SNOOZED, ())


def test_an_error_is_reported_and_raised_when_the_outcome_is_read() -> None:
    done = order("break")
    assert (done.state, done.calls) == (State.RETRY, ())
    assert done.result == "RuntimeError: the vendor's system is down"
    assert "vendor's system is down" in repr(done)
    with pytest.raises(RuntimeError, match="vendor's system is down") as raised:
        _ = done.outcome
    assert raised.value is done.error


def test_a_request_that_is_not_waiting_is_none_of_its_business() -> None:
    done = run(Orders, purchase(status="approved"))
    assert (done.outcome, done.calls) == (None, ())
    assert done.result == "nothing to do: Connect shows approved"


def test_a_request_of_another_product_is_left_alone() -> None:
    class OfOne(Orders):
        products = ("PRD-1",)

    assert run(OfOne, purchase(product="PRD-1")).result == "approved"
    assert run(OfOne, purchase(product="PRD-2")).result == (
        "left alone: no processor for product PRD-2"
    )


def test_reads_show_what_was_written_and_what_the_test_says() -> None:
    setup = tier_setup(status="approved", params={"discount_group": "Z"})
    answers = {"assets": [purchase().asset.json], "tier/config-requests": [setup.json]}
    done = run(Readers, purchase(), answers=answers)
    assert done.outcome == Approve(tile="Z, 1 assets, written")
    assert [call.by for call in done.calls] == ["processor", "decision", "decision"]
    assert run(Readers, purchase()).outcome == Approve(tile="no group, 0 assets, written")


def test_the_request_itself_stays_as_it_was() -> None:
    request = purchase()
    before = request.json
    run(Readers, request)
    assert request.json == before


def test_a_plain_document_will_do() -> None:
    assert run(Orders, purchase().json).result == "approved"


def test_an_instance_runs_for_its_own_account() -> None:
    seen: list[str] = []

    class Mine(Orders):
        def process_request(self, request: Fulfillment) -> Any:
            seen.append(self.config.api_url)
            return super().process_request(request)

    config = Config.local("https://mine.example/public/v1", "SU-1:mine")
    assert run(Mine(config), purchase()).result == "approved"
    assert seen == ["https://mine.example/public/v1/"]


def test_a_class_that_cannot_be_made_is_refused() -> None:
    class Odd(Orders):
        def __init__(self, meter: str) -> None:
            super().__init__()

    with pytest.raises(RegistrationError, match="can't be made"):
        run(Odd, purchase())


def test_the_key_is_the_cycles() -> None:
    class Keys(FulfillmentAutomation):
        def process_request(self, request: Fulfillment) -> Any:
            keys.append(self.idempotency_key)

    keys: list[str] = []
    for request in (purchase(id="PR-1"), purchase(id="PR-1"), purchase(id="PR-2")):
        run(Keys, request)
    assert keys[0] == keys[1] != keys[2]
    assert all(len(key) == 32 for key in keys)


def test_runs_in_threads_do_not_mix() -> None:
    results: dict[int, Any] = {}

    def one(number: int) -> None:
        results[number] = run(Orders, purchase(id=f"PR-{number}")).calls[0].path

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: f"requests/PR-{number}/approve" for number in range(8)}


class Meter(UsageAutomation):
    period = "month"

    def process_request(self, request: Any) -> str:
        file = UsageFile(name="Usage", product=request.product, contract=request.contract)
        record = UsageRecord(
            record_id="1",
            item_search_criteria="item.mpn",
            item_search_value="SKUA",
            quantity=7,
            start_time_utc="2026-01-01 00:00:00",
            end_time_utc="2026-02-01 00:00:00",
            asset_search_criteria="asset.id",
            asset_search_value="AS-1",
        )
        done = self.submit_usage(file, [record])
        return f"{self.reporting_period}: {done.id} {done.status}"


def test_usage_that_is_submitted_can_be_read_row_by_row() -> None:
    done = run(Meter, usage_listing(), at=datetime(2026, 2, 3, tzinfo=UTC))
    assert done.result == "reported"
    [created, uploaded] = done.calls
    assert (created.path, created.body["name"]) == ("usage/files", "Usage")
    assert uploaded.path.endswith("/upload")
    [row] = uploaded.records
    assert (row["item_search_value"], row["quantity"]) == ("SKUA", 7)
    assert created.records == []
    assert str(done.outcome).startswith("Report(note='2026-02: UF-")
    assert " ready" in str(done.outcome)


def test_importing_the_kit_imports_only_values() -> None:
    program = "import sys, connect_worker.testing; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    modules = {name for name in done.stdout.split() if name.startswith("connect_worker.")}
    assert modules <= {
        "connect_worker.testing",
        "connect_worker._deprecated",
        "connect_worker.domain",
        "connect_worker.domain.outcomes",
        "connect_worker.domain.states",
    }

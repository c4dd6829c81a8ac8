"""The examples, tested as a vendor tests processors: with the kit."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import requests

from connect_worker.exceptions import SkipRequest
from connect_worker.testing import (
    Approve,
    Fail,
    FileAction,
    Inquire,
    Report,
    Skip,
    State,
    cancel,
    change,
    purchase,
    resume,
    run,
    suspend,
    tier_setup,
    tier_update,
    usage_file,
    usage_listing,
)
from connect_worker.testing.sandbox import Sandbox
from examples.purchases import MOST_SEATS, Purchases
from examples.resellers import Resellers
from examples.usage_reports import MonthlyUsage
from examples.usage_reviews import UsageReview


@pytest.fixture
def vendor(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    monkeypatch.setenv("VENDOR_URL", sandbox.vendor_url)
    return sandbox


def test_a_purchase_stores_its_tenant_and_is_approved(vendor: Sandbox) -> None:
    name = vendor.add(purchase())
    done = run(Purchases, purchase(id=name))
    store, approve, message = done.calls
    [param] = store.body["asset"]["params"]
    assert (store.by, param["id"]) == ("processor", "purchase_id")
    assert approve.body == {"activation_tile": f"# Welcome!\n\nYour tenant is {param['value']}."}
    assert message.by == "decision"
    assert vendor.entry(name)["vendor"]["keys"] == [store.key]
    # The same cycle again: the same tenant.
    assert run(Purchases, purchase(id=name)).calls == done.calls


def test_a_purchase_while_the_vendor_is_away_is_tried_again(vendor: Sandbox) -> None:
    with vendor.fault("status", status=503, path="/vendor/", times=None):
        done = run(Purchases, purchase())
    assert (done.state, done.calls) == (State.RETRY, ())
    assert isinstance(done.error, requests.HTTPError)


def test_an_email_is_asked_for() -> None:
    done = run(Purchases, purchase(params={"email": ""}))
    assert isinstance(done.outcome, Inquire)
    assert [param["id"] for param in done.outcome.params] == ["email"]
    assert done.messages == ["We need an email address"]


@pytest.mark.parametrize("quantity", [MOST_SEATS + 1, f"{MOST_SEATS + 1}"])
def test_an_absurd_quantity_is_refused(quantity: int | str) -> None:
    done = run(Purchases, purchase(items={"TEAM-USERS": quantity}))
    assert done.outcome == Fail(f"{MOST_SEATS + 1} of TEAM-USERS is more than we can provide")


@pytest.mark.parametrize("build", [change, cancel, suspend, resume])
def test_other_types_are_done_at_once(build: type) -> None:
    request = build()
    assert run(Purchases, request).outcome == Approve(tile=f"Your {request.type} is done.")


def test_a_migration_is_left_to_others() -> None:
    done = run(Purchases, purchase(params={"migration_info": "{}"}))
    assert done.outcome == Skip("Migrated by another service")
    assert SkipRequest.__name__ not in done.result


@pytest.mark.parametrize("build", [tier_setup, tier_update])
def test_resellers_are_welcome(build: type) -> None:
    done = run(Resellers, build())
    assert done.result == "approved"
    assert " may order Fallball Awesome." in done.calls[0].body["template"]["representation"]


def test_a_setup_of_nobody_is_refused() -> None:
    request = tier_setup(override={"configuration": {"account": {"id": ""}}})
    assert run(Resellers, request).outcome == Fail("The setup names no account")


@pytest.mark.parametrize(("invalid", "action"), [(0, "submit"), (3, "delete")])
def test_files_are_submitted_or_deleted(invalid: int, action: str) -> None:
    done = run(UsageReview, usage_file(invalid=invalid))
    assert isinstance(done.outcome, FileAction)
    assert done.outcome.action == action


def test_last_months_usage_is_reported_per_asset_and_item() -> None:
    answers = {"assets": [purchase(items={"SKUA": 5, "TEAM-USERS": 2}).asset.json]}
    done = run(MonthlyUsage, usage_listing(), answers=answers, at=datetime(2026, 3, 4, tzinfo=UTC))
    assert isinstance(done.outcome, Report)
    created, uploaded = done.calls
    assert created.body["name"] == "Usage of February 2026"
    rows = [(row["item_search_value"], row["quantity"]) for row in uploaded.records]
    assert rows == [("SKUA", 5), ("TEAM-USERS", 2)]


def test_nothing_used_is_nothing_sent() -> None:
    done = run(MonthlyUsage, usage_listing())
    assert done.outcome == Report("nothing was used", is_submitted=False)
    assert done.calls == ()

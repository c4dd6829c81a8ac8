"""What the examples decide, by running each over the sandbox in a single process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from connect_worker.config import Config, use_config
from connect_worker.domain.kinds import KINDS
from connect_worker.models import Param, UsageRecords
from connect_worker.resources.processor import load_registry
from examples.purchases import MOST_SEATS, Purchases
from examples.resellers import Resellers
from examples.usage_reports import MOST_ASSETS, MonthlyUsage
from examples.usage_reviews import UsageReview
from examples.vendor import create_tenant
from tests.support.sandbox_server import API_KEY, Client

Report = dict[str, dict[str, Any]]


@pytest.fixture
def sandbox(shared_sandbox: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A sandbox as it was seeded, and the vendor's system in it."""
    monkeypatch.setenv("VENDOR_URL", f"{shared_sandbox.root}/vendor/")
    return shared_sandbox


@pytest.fixture
def config(sandbox: Client) -> Iterator[Config]:
    with use_config(Config.local(f"{sandbox.root}/public/v1", API_KEY)) as config:
        yield config


def report(sandbox: Client, *scenarios: str) -> Report:
    """The entries of the requests of these scenarios."""
    requests: Report = sandbox.control("GET", "report")["requests"]
    found = {key: entry for key, entry in requests.items() if entry["scenario"] in scenarios}
    assert found
    return found


# ---- purchases


def test_a_purchase_is_approved_with_one_tenant_whose_id_is_stored(
    sandbox: Client, config: Config
) -> None:
    Purchases().process()
    for entry in report(sandbox, "purchase").values():
        [outcome] = entry["accepted"]
        assert outcome["action"] == "approve"
        assert entry["vendor"]["effects"] == 1
        [key] = entry["vendor"]["keys"]
        assert key == outcome["idempotency_key"]
        [stored] = entry["params"]
        tenant = stored["purchase_id"]["value"]
        assert outcome["body"] == {"activation_tile": f"# Welcome!\n\nYour tenant is {tenant}."}
    assert sandbox.control("GET", "report")["vendor"]["calls_without_key"] == 0


def test_a_purchase_without_an_email_asks_for_one_and_makes_no_tenant(
    sandbox: Client, config: Config
) -> None:
    Purchases().process()
    for entry in report(sandbox, "missing-email").values():
        assert entry["status"] == "inquiring"
        assert [outcome["action"] for outcome in entry["accepted"]] == ["inquire"]
        assert "email address" in entry["params"][0]["email"]["value_error"]
        assert [message["text"] for message in entry["messages"]] == ["We need an email address"]
        assert entry["vendor"]["calls"] == 0


def test_an_answered_inquiry_is_approved(sandbox: Client, config: Config) -> None:
    Purchases().process()
    name = sandbox.with_scenario("missing-email")
    answer = {"params": {"email": "ada@example.org"}}
    sandbox.control("POST", f"requests/{name}/answer", answer)
    Purchases().process()
    entry = sandbox.entry(name)
    assert [outcome["action"] for outcome in entry["accepted"]] == ["inquire", "approve"]
    assert entry["vendor"]["effects"] == 1


def test_an_absurd_quantity_is_refused_with_the_reason(sandbox: Client, config: Config) -> None:
    Purchases().process()
    for entry in report(sandbox, "absurd-quantity").values():
        assert entry["status"] == "failed"
        [outcome] = entry["accepted"]
        assert "is more than we can provide" in outcome["body"]["reason"]
        assert int(float(outcome["body"]["reason"].split()[0])) > MOST_SEATS
        assert entry["vendor"]["calls"] == 0


def test_other_requests_are_approved_without_a_tenant(sandbox: Client, config: Config) -> None:
    Purchases().process()
    for entry in report(sandbox, "change", "cancel", "suspend", "resume").values():
        [outcome] = entry["accepted"]
        assert outcome["body"] == {"activation_tile": f"Your {entry['type']} is done."}
        assert entry["vendor"]["effects"] == 0


def test_a_migration_is_left_to_the_other_service(sandbox: Client, config: Config) -> None:
    name = sandbox.with_scenario("purchase")
    purchases = Purchases()
    request = next(item for item in purchases.list() if item.id == name)
    request.asset.params = [*request.asset.params, Param(id="migration_info", value="{}")]
    with pytest.raises(Exception, match="Migrated by another service"):
        purchases.process_request(request)


def test_while_the_vendors_system_is_away_purchases_stay_pending(
    sandbox: Client, config: Config
) -> None:
    rule = {"action": "status", "status": 503, "path": "/vendor/", "times": None}
    sandbox.control("POST", "faults", rule)
    Purchases().process()
    assert {entry["status"] for entry in report(sandbox, "purchase").values()} == {"pending"}
    sandbox.control("DELETE", "faults")
    Purchases().process()
    assert {entry["status"] for entry in report(sandbox, "purchase").values()} == {"approved"}


def test_one_key_makes_one_tenant(sandbox: Client) -> None:
    same = [create_tenant(request_id="PR-1", email="a@b.c", key="k1") for _ in range(2)]
    assert len(set(same)) == 1
    assert create_tenant(request_id="PR-1", email="a@b.c", key="k2") not in same


def test_without_the_vendors_address_it_is_shown_what_to_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("VENDOR_URL", raising=False)
    with pytest.raises(RuntimeError, match="VENDOR_URL is not set"):
        create_tenant(request_id="PR-1", email="", key="k")


# ---- the other kinds


def test_resellers_are_welcome(sandbox: Client, config: Config) -> None:
    Resellers().process()
    for entry in report(sandbox, "setup", "update").values():
        [outcome] = entry["accepted"]
        text = outcome["body"]["template"]["representation"]
        assert text.startswith("Reseller TA-")
        assert " may order " in text


def test_a_setup_without_an_account_is_refused(sandbox: Client, config: Config) -> None:
    resellers = Resellers()
    request = resellers.list()[0]
    request.configuration.account.id = ""
    with pytest.raises(Exception, match="names no account"):
        resellers.process_request(request)


def test_each_listing_gets_one_file_of_valid_records_a_month(
    sandbox: Client, config: Config
) -> None:
    for _ in range(2):
        MonthlyUsage().process()
    for entry in report(sandbox, "listed").values():
        [file] = entry["usage_files"]
        assert (file["status"], file["records_invalid"], file["uploads"]) == ("ready", 0, 1)
        assert file["records_valid"] > 0
        assert file["name"].startswith("Usage of ")


def test_a_listing_without_assets_is_reported_without_a_file(
    sandbox: Client, config: Config
) -> None:
    usage = MonthlyUsage()
    listing = usage.list()[0]
    listing.product.id = "PRD-000-000-000"
    assert usage.process_request(listing) == "nothing was used"
    assert MOST_ASSETS > 0


def test_files_that_are_ready_go_to_the_provider(sandbox: Client, config: Config) -> None:
    sandbox.control("POST", "requests", {"kind": "usage-file", "scenario": "invalid"})
    UsageReview().process()
    for entry in report(sandbox, "ready").values():
        assert entry["status"] == "pending"
        [outcome] = entry["accepted"]
        assert outcome["action"] == "submit"
    assert {entry["status"] for entry in report(sandbox, "invalid").values()} == {"invalid"}


@pytest.mark.parametrize(
    ("status", "invalid", "says"),
    [
        ("READY", 0, "Ready for the provider"),
        ("ready", None, "Ready for the provider"),
        ("ready", 3, "3 records are invalid"),
        ("invalid", 3, "Nothing to do for a file that is invalid"),
    ],
)
def test_a_file_is_judged_by_its_status_and_its_records(
    config: Config, status: str, invalid: int | None, says: str
) -> None:
    review = UsageReview()
    file = review.list()[0]
    file.status = status
    file.records = None if invalid is None else UsageRecords(invalid=invalid)  # type: ignore[assignment]  # Connect leaves it out
    with pytest.raises(Exception, match=says):
        review.process_request(file)


def test_the_worker_finds_one_example_per_kind(config: Config) -> None:
    modules = ("purchases", "resellers", "usage_reports", "usage_reviews")
    registry = load_registry([f"examples.{name}" for name in modules], config)
    assert {kind: len(names) for kind, names in registry.coverage.items()} == dict.fromkeys(
        KINDS, 1
    )

"""What an automation asks for in a poll."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import pytest

from connect_worker.config import Config
from connect_worker.domain.kinds import KINDS
from connect_worker.models import Fulfillment, TierConfigRequest, UsageFile, UsageListing
from connect_worker.resources import (
    FulfillmentAutomation,
    TierConfigAutomation,
    UsageAutomation,
    UsageFileAutomation,
)
from connect_worker.resources.automation import Automation
from connect_worker.rql import Query, statuses_of, to_query

AUTOMATIONS: list[type[Automation[Any]]] = [
    FulfillmentAutomation,
    TierConfigAutomation,
    UsageAutomation,
    UsageFileAutomation,
]
ALL = Config.local("http://127.0.0.1:1/public/v1", "SU-1:test")
TWO = Config.local("http://127.0.0.1:1/public/v1", "SU-1:test", ["PRD-1", "PRD-2"])


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        (FulfillmentAutomation, "eq(status,pending)&ordering(created)"),
        (TierConfigAutomation, "eq(status,pending)&ordering(created)"),
        (UsageAutomation, "eq(status,listed)&ordering(created)"),
        (UsageFileAutomation, "eq(status,ready)&ordering(created.at)"),
    ],
)
def test_each_kind_asks_for_what_waits_oldest_first(
    kind: type[Automation[Any]], query: str
) -> None:
    assert kind(ALL).query() == query


@pytest.mark.parametrize("kind", AUTOMATIONS)
def test_the_accounts_products_are_asked_for(kind: type[Automation[Any]]) -> None:
    field = KINDS[kind.kind].product_field
    assert kind(TWO).filters()[field] == ["PRD-1", "PRD-2"]
    assert f"in({field},(PRD-1,PRD-2))" in kind(TWO).query()


@pytest.mark.parametrize("kind", AUTOMATIONS)
@pytest.mark.parametrize("products", [["PRD-9"], ("PRD-9",), "PRD-9"])
def test_the_automations_own_products_come_first(
    kind: type[Automation[Any]], products: Any
) -> None:
    named = type("Named", (kind,), {"products": products})
    assert named(TWO).filters()[KINDS[kind.kind].product_field] == ["PRD-9"]


@pytest.mark.parametrize("kind", AUTOMATIONS)
def test_a_status_and_more_may_be_given(kind: type[Automation[Any]]) -> None:
    filters = kind(ALL).filters(status="approved", id__in="PR-1,PR-2")
    assert filters == {"status": "approved", "id__in": "PR-1,PR-2"}
    assert kind(ALL).filters("approved") == {"status": "approved"}
    assert kind(ALL).filters(["a", "b"])["status"] == ["a", "b"]
    assert kind(ALL).filters(None) == {"status": KINDS[kind.kind].pending_status}


@pytest.mark.parametrize(
    "name",
    ["asset.product.id", "asset__product__id", "asset.product.id__in", "asset__product__id__in"],
)
def test_a_product_that_is_given_replaces_the_accounts(name: str) -> None:
    filters = FulfillmentAutomation(TWO).filters(**{name: "PRD-9"})
    assert filters == {"status": "pending", name: "PRD-9"}


@pytest.mark.parametrize(
    ("filters", "query"),
    [
        ("eq(status,inquiring)", "eq(status,inquiring)&ordering(created)"),
        ({"status": "inquiring"}, "eq(status,inquiring)&ordering(created)"),
        ("status=inquiring&ordering(-updated)", "status=inquiring&ordering(-updated)"),
        ("order_by=-updated", "order_by=-updated"),
        ("ordering=-updated", "ordering=-updated"),
        ({"order_by": "-updated"}, "ordering(-updated)"),
        ("", "ordering(created)"),
        (None, "ordering(created)"),
        ("eq(note,ordering)", "eq(note,ordering)&ordering(created)"),
    ],
)
def test_overridden_filters_may_be_a_mapping_or_rql(filters: Any, query: str) -> None:
    mine = type("Mine", (FulfillmentAutomation,), {"filters": lambda self: filters})
    assert mine(ALL).query() == query


def test_a_subclass_may_add_to_the_default_filters() -> None:
    class Mine(FulfillmentAutomation):
        products: ClassVar[list[str]] = ["PRD-1"]

        def filters(self, status: Any = "pending", **kwargs: Any) -> dict[str, Any]:
            return super().filters(status, **{"asset.connection.type": "production", **kwargs})

    assert Mine(ALL).query() == (
        "eq(status,pending)&in(asset.product.id,(PRD-1))&"
        "eq(asset.connection.type,production)&ordering(created)"
    )


def test_a_subclass_may_add_to_the_default_filters_as_to_a_query() -> None:
    class Mine(FulfillmentAutomation):
        def filters(self, status: Any = "pending", **kwargs: Any) -> Any:
            query: Any = super().filters(status, **kwargs)
            query["type"] = "purchase"
            query.in_("asset.product.id", ["PRD-9"]).not_equal("asset.id", "AS-1").limit(500)
            return query.not_equal("asset.id", "AS-2").order_by("-created")

    expected = (
        "eq(status,pending)&eq(type,purchase)&in(asset.product.id,(PRD-9))&ne(asset.id,AS-1)&"
        "ne(asset.id,AS-2)&limit=500&ordering(-created)"
    )
    assert Mine(TWO).query() == expected
    filters = Mine(TWO).filters()
    assert str(Query(filters).equal("id", "PR-1")) == (
        "?in(asset.product.id,(PRD-9))&eq(status,pending)&eq(type,purchase)&ne(asset.id,AS-1)&"
        "ne(asset.id,AS-2)&eq(id,PR-1)&limit=500&ordering(-created)"
    )
    assert to_query(copy.copy(filters)) == to_query(filters)
    assert filters.asks_for("status")
    assert filters.asks_for("asset.id")
    assert not filters.asks_for("note")
    assert statuses_of(filters) == {"pending"}


@pytest.mark.parametrize(
    ("kind", "model_class", "request_class"),
    [
        (FulfillmentAutomation, Fulfillment, Fulfillment),
        (TierConfigAutomation, TierConfigRequest, TierConfigRequest),
        (UsageAutomation, UsageFile, UsageListing),
        (UsageFileAutomation, UsageFile, UsageFile),
    ],
)
def test_each_kind_has_the_seeds_model(
    kind: type[Automation[Any]], model_class: type, request_class: type
) -> None:
    assert kind.model_class is model_class
    assert isinstance(kind(ALL).load({"id": "X-1"}), request_class)


@pytest.mark.parametrize("kind", AUTOMATIONS)
def test_an_automation_without_a_method_says_so(kind: type[Automation[Any]]) -> None:
    with pytest.raises(NotImplementedError, match="Mine has no process_request"):
        type("Mine", (kind,), {})(ALL).process_request(None)


def test_outside_a_job_there_is_no_key_and_no_attempt() -> None:
    automation = FulfillmentAutomation(ALL)
    assert (automation.idempotency_key, automation.attempt) == ("", 0)

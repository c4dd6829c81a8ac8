"""Requests that are valid as they are, and of which every field can be said."""

from __future__ import annotations

from typing import Any

import pytest

from connect_worker import testing
from connect_worker.models import BaseModel
from connect_worker.testing.builders import Items
from tests.support.openapi_contract import check_exchange

FULFILLMENT = ["purchase", "change", "cancel", "suspend", "resume"]
TIER = ["tier_setup", "tier_update"]
PATHS = {
    **dict.fromkeys(FULFILLMENT, "requests"),
    **dict.fromkeys(TIER, "tier/config-requests"),
    "usage_file": "usage/files",
}
BUILDERS = [*PATHS, "usage_listing"]


def build(name: str, **fields: Any) -> Any:
    return getattr(testing, name)(**fields)


@pytest.mark.parametrize("name", PATHS)
def test_what_is_built_is_as_connects_description_has_it(name: str) -> None:
    request = build(name)
    path = f"{PATHS[name]}/{request.id}"
    assert check_exchange("GET", path, "", None, 200, request.json) == []


def test_a_built_listing_is_as_connect_lists_it() -> None:
    listing = testing.usage_listing().json
    assert check_exchange("GET", "listings", "", None, 200, [listing]) == []


@pytest.mark.parametrize("name", BUILDERS)
def test_it_is_the_same_one_each_time(name: str) -> None:
    assert build(name).json == build(name).json
    first: BaseModel = build(name)
    first.json["id"] = "changed"
    assert build(name).id != "changed"


@pytest.mark.parametrize("name", BUILDERS)
def test_its_id_status_and_product_can_be_said(name: str) -> None:
    request = build(name, id="XX-1", status="odd", product="PRD-999-999-999")
    product = request.asset.product if name in FULFILLMENT else request.product
    assert (request.id, request.status, product.id) == ("XX-1", "odd", "PRD-999-999-999")
    assert "749-714-342" not in str(request.json)


@pytest.mark.parametrize("name", BUILDERS)
def test_any_field_can_be_overridden_at_any_depth(name: str) -> None:
    new = {"note": None, "product": {"name": "N"}, "more": {"deep": [{"x": 1}]}}
    document = build(name, override=new).json
    assert document["note"] is None
    assert document["product"]["name"] == "N"
    assert document["more"] == {"deep": [{"x": 1}]}
    # What is not named stays.
    assert document["id"] == build(name).id


def test_lists_are_replaced() -> None:
    assert testing.purchase(override={"asset": {"params": []}}).asset.params == []


@pytest.mark.parametrize("name", [*FULFILLMENT, *TIER])
def test_params_are_set_by_their_id_and_new_ones_added(name: str) -> None:
    params = {"email": "x@y.z", "reseller_email": None, "new": {"value": "1", "type": "password"}}
    request = build(name, params=params)
    owner = request.asset if name in FULFILLMENT else request
    assert owner.get_param_by_id("email").value == "x@y.z"
    assert owner.get_param_by_id("reseller_email").value is None
    new = owner.get_param_by_id("new")
    assert (new.value, new.type, new.title) == ("1", "password", "new")
    untouched = "plan" if name in FULFILLMENT else "discount_group"
    assert owner.get_param_by_id(untouched).value


def test_a_tier_configuration_shows_the_requests_params() -> None:
    request = testing.tier_setup(params={"discount_group": "Z"})
    found = request.configuration.get_param_by_id("discount_group")
    assert found is not None
    assert found.value == "Z"


def test_a_request_has_the_items_that_are_said_and_no_others() -> None:
    items: Items = {
        "EXTRA-STORAGE": 3,
        "MINE": {"quantity": "2", "old_quantity": "1", "period": "Yearly"},
    }
    found = testing.change(items=items).asset.items
    assert [(item.mpn, item.quantity) for item in found] == [("EXTRA-STORAGE", 3), ("MINE", 2)]
    assert (found[0].display_name, found[1].display_name) == ("Additional storage", "MINE")
    assert (found[1].old_quantity, found[1].period) == (1, "Yearly")
    assert len({item.id for item in found}) == 2


def test_the_types_say_what_was_asked() -> None:
    assert [build(name).type for name in FULFILLMENT] == FULFILLMENT
    assert [build(name).type for name in TIER] == ["setup", "update"]

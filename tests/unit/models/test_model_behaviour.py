"""What models answer about themselves."""

from datetime import datetime
from typing import Any

import pytest

from connect_worker.models import (
    Asset,
    Configuration,
    Fulfillment,
    Item,
    Param,
    TierConfig,
    TierConfigRequest,
)

PARAMS = [Param(id="email", value="a@example.org"), Param(id="seats", value="3")]


def request_with(*quantities: tuple[Any, Any]) -> Fulfillment:
    items = [
        {"id": f"{before}>{now}", "old_quantity": before, "quantity": now}
        for before, now in quantities
    ]
    return Fulfillment.deserialize_json({"asset": {"items": items}})


@pytest.mark.parametrize("owner", [Asset, Configuration, Item, TierConfig, TierConfigRequest])
def test_a_param_is_found_by_its_id(owner: type[Asset]) -> None:
    model = owner(params=PARAMS)

    assert model.get_param_by_id("seats") is PARAMS[1]
    assert model.get_param_by_id("color") is None
    assert owner().get_param_by_id("seats") is None


def test_an_item_is_found_by_each_of_its_ids() -> None:
    first = Item(id="I1", mpn="M1", global_id="G1")
    second = Item(id="I2", mpn="M2", global_id="G2")
    asset = Asset(items=[first, second])

    assert asset.get_item_by_id("I2") is second
    assert asset.get_item_by_mpn("M2") is second
    assert asset.get_item_by_global_id("G2") is second
    assert asset.get_item_by_id("M2") is None
    assert asset.get_item_by_mpn("G2") is None
    assert asset.get_item_by_global_id("I2") is None


def test_a_param_found_and_changed_is_changed_in_its_asset() -> None:
    asset = Asset.deserialize_json({"params": [{"id": "email", "value": ""}]})
    param = asset.get_param_by_id("email")
    assert param
    param.value = "a@example.org"

    assert asset.json == {"params": [{"id": "email", "value": "a@example.org"}]}


def test_items_are_new_changed_or_removed_by_their_quantities() -> None:
    request = request_with(
        ("0", "100"), ("200", "201"), ("200", "199"), (5, 5), ("200", "0"), (0, 0)
    )

    assert [item.id for item in request.new_items] == ["0>100"]
    assert [item.id for item in request.changed_items] == ["200>201", "200>199", "5>5"]
    assert [item.id for item in request.removed_items] == ["200>0"]


def test_unlimited_is_a_quantity_and_a_missing_one_is_none() -> None:
    request = request_with((None, "unlimited"), ("unlimited", "5"), ("unlimited", None))

    assert [item.id for item in request.new_items] == ["None>unlimited"]
    assert [item.id for item in request.changed_items] == ["unlimited>5"]
    assert [item.id for item in request.removed_items] == ["unlimited>None"]


def test_a_request_without_items_has_none_of_either() -> None:
    request = Fulfillment.deserialize_json({"asset": {}})

    assert request.new_items == request.changed_items == request.removed_items == []


@pytest.mark.parametrize(
    ("params", "key", "needed"),
    [
        ([{"id": "migration_info", "value": "{}"}], "migration_info", True),
        ([{"id": "legacy", "value": "{}"}], "legacy", True),
        ([{"id": "migration_info", "value": ""}], "migration_info", False),
        ([{"id": "migration_info"}], "migration_info", False),
        ([{"id": "other", "value": "{}"}], "migration_info", False),
        (None, "migration_info", False),
    ],
)
def test_a_request_needs_migration_if_the_param_has_a_value(
    params: Any, key: str, needed: bool
) -> None:
    request = Fulfillment.deserialize_json({"asset": {"params": params}})

    assert request.needs_migration(key) is needed
    if key == "migration_info":
        assert request.needs_migration() is needed


def test_vars_has_the_fields_of_the_document() -> None:
    param = Param.deserialize_json({"id": "seats", "value": 3, "title": None, "new": [1]})

    assert vars(param) == {"id": "seats", "value": "3", "title": None, "new": [1]}
    assert vars(param) == param.__dict__
    assert vars(Param(id="seats")) == {"id": "seats"}


def test_vars_has_models_in_models_and_attributes_under_their_names() -> None:
    document = {"asset": {"items": [{"renewal": {"from": "2020-01-01T00:00:00Z"}}]}}
    request = Fulfillment.deserialize_json(document)

    assert vars(request) == {"asset": request.asset}
    assert vars(request.asset) == {"items": request.asset.items}
    assert vars(request.asset.items[0].renewal) == {"from_": datetime(2020, 1, 1)}


def test_what_is_written_into_vars_is_set() -> None:
    param = Param.deserialize_json({"id": "seats", "value": 3})
    vars(param).update(value="4", value_error="too few")

    assert param.value == "4"
    assert param.json == {"id": "seats", "value": "4", "value_error": "too few"}


def test_an_unknown_field_hides_no_method_in_vars() -> None:
    document = {"json": 1, "get_param_by_id": 2, "_raw": 3, "id": "AS-1"}
    asset = Asset.deserialize_json(document)

    assert vars(asset) == {"id": "AS-1"}
    assert asset.get_param_by_id("seats") is None
    assert asset.json == document

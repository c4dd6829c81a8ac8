"""What Connect sends loads, reads, and goes back as it came."""

import copy
import json
import pickle
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from connect_worker.models import (
    Asset,
    BaseModel,
    Conversation,
    ConversationMessage,
    Fulfillment,
    Item,
    ServerErrorResponse,
    TierConfigRequest,
    UsageFile,
    UsageListing,
)

PAYLOADS = Path(__file__).parents[2] / "data" / "payloads"

MODELS: dict[str, type[BaseModel]] = {
    "asset": Asset,
    "conversation": Conversation,
    "conversation_message": ConversationMessage,
    "fulfillment_request": Fulfillment,
    "migration_request": Fulfillment,
    "server_error": ServerErrorResponse,
    "tier_config_request": TierConfigRequest,
    "usage_file": UsageFile,
    "usage_file_draft": UsageFile,
    "usage_listings": UsageListing,
}


def text_of(name: str) -> str:
    return (PAYLOADS / f"{name}.json").read_text(encoding="utf-8")


def exact(document: object) -> str:
    """A text in which 1, 1.0, "1" and true differ, as they don't for `==`."""
    return json.dumps(document, sort_keys=True)


def documents_of(loaded: Any) -> Any:
    return [model.json for model in loaded] if isinstance(loaded, list) else loaded.json


def touch(value: Any) -> None:
    """Read every attribute of a model and of all that it holds."""
    if isinstance(value, list):
        for item in value:
            touch(item)
    elif isinstance(value, BaseModel):
        for name in type(value)._attributes:
            touch(getattr(value, name))


def ask_for_vars(value: Any) -> None:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, BaseModel):
            assert set(vars(item)) >= {key for key in item.json if key in type(item)._attributes}
            for field in vars(item).values():
                ask_for_vars(field)


def fulfillment() -> Fulfillment:
    request: Fulfillment = Fulfillment.deserialize(text_of("fulfillment_request"))[0]
    return request


def test_every_payload_has_its_model_here() -> None:
    assert {file.stem for file in PAYLOADS.glob("*.json")} == set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_a_payload_is_dumped_as_it_came(name: str) -> None:
    loaded = MODELS[name].deserialize(text_of(name))

    assert exact(documents_of(loaded)) == exact(json.loads(text_of(name)))


@pytest.mark.parametrize("name", MODELS)
def test_reading_every_attribute_changes_nothing(name: str) -> None:
    loaded = MODELS[name].deserialize(text_of(name))
    touch(loaded)

    assert exact(documents_of(loaded)) == exact(json.loads(text_of(name)))


@pytest.mark.parametrize("name", MODELS)
def test_the_schema_loads_and_dumps_it_alike(name: str) -> None:
    data = json.loads(text_of(name))
    schema = MODELS[name].marshmallow_schema()
    many = isinstance(data, list)

    loaded = schema.load(data, many=many)
    touch(loaded)

    assert exact(schema.dump(loaded, many=many)) == exact(data)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("read", [lambda value: None, touch, ask_for_vars])
def test_it_survives_pickle_and_copy(name: str, read: Callable[[Any], None]) -> None:
    loaded = MODELS[name].deserialize(text_of(name))
    read(loaded)

    for again in (pickle.loads(pickle.dumps(loaded)), copy.deepcopy(loaded), copy.copy(loaded)):
        assert exact(documents_of(again)) == exact(json.loads(text_of(name)))


def test_a_deep_copy_is_apart_from_its_original() -> None:
    request = fulfillment()
    other = copy.deepcopy(request)
    other.asset.items[0].quantity = 7
    other.status = "failed"

    assert request.asset.items[0].quantity == 100
    assert request.status == "approved"


def test_a_request_reads_as_it_is_documented() -> None:
    request = fulfillment()

    assert request.created == datetime(2021, request.created.month, 3, 10, 28, 18, 472670)
    assert request.asset.connection.provider.name == "Northwind Distribution"
    assert [item.quantity for item in request.asset.items] == [100, 200, 201, 199, 0]
    assert request.asset.tiers.customer.contact_info.contact.phone_number.country_code
    assert request.asset.items[0].params[1].constraints
    assert request.asset.items[0].params[1].constraints.required is True
    assert request.asset.params[0].value_choices
    assert request.asset.params[0].value_choices[1].label == "Standard"
    assert request.assignee
    assert request.assignee.id == "UR-111-222-333"


def test_a_usage_file_keeps_its_dates_as_texts_and_its_status_in_capitals() -> None:
    usage_file: UsageFile = UsageFile.deserialize(text_of("usage_file"))[0]

    assert usage_file.created_at.endswith("+00:00")
    assert usage_file.status == "READY"
    assert usage_file.records.valid == 56
    assert usage_file.events.closed.at


def test_a_tier_config_request_reads_down_to_its_open_request() -> None:
    request: TierConfigRequest = TierConfigRequest.deserialize(text_of("tier_config_request"))[0]

    assert request.configuration.open_request
    assert request.configuration.open_request.id == request.id
    assert request.configuration.tier_level == 1
    assert request.events
    assert request.events.pended.at


def test_what_is_set_is_dumped_where_it_was_and_nothing_else_changes() -> None:
    request = fulfillment()
    expected = json.loads(text_of("fulfillment_request"))[0]

    request.asset.params[0].value = "premium"
    request.asset.params[1].value_error = None
    request.asset.items[0].quantity = 5
    request.asset.items.append(Item(id="EXTRA", quantity=1, old_quantity=0))
    request.note = "checked"
    request.assignee = None
    expected["asset"]["params"][0]["value"] = "premium"
    expected["asset"]["params"][1]["value_error"] = None
    expected["asset"]["items"][0]["quantity"] = 5
    expected["asset"]["items"].append({"id": "EXTRA", "quantity": 1, "old_quantity": 0})
    expected["note"] = "checked"
    expected["assignee"] = None

    assert exact(request.json) == exact(expected)

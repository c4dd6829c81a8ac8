"""Every class and attribute of the 2019 SDK's reference is there, declared once, with its type."""

import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, assert_type

import pytest
from marshmallow import Schema

from connect_worker import models
from connect_worker.models import (
    ActivationTemplateResponse,
    ActivationTileResponse,
    AssetRequest,
    BaseModel,
    Fulfillment,
    Item,
    TierAccount,
    User,
)
from connect_worker.models.base import absent

#: The classes and attributes of the 2019 SDK's API reference. `*` ends a name added since then.
REFERENCE = {
    "Activation": "date link message",
    "Agreement": "active agreements author created description link marketplace name owner parent"
    " stats title type updated version version_contracts version_created",
    "AgreementStats": "contracts versions",
    "Asset": "configuration connection contract events external_id external_name external_uid items"
    " marketplace params product status tiers",
    "BaseModel": "",
    "Company": "name",
    "Configuration": "params",
    "Connection": "hub product provider type vendor",
    "Constraints": "choices hidden required unique"
    " max_length* min_length* readonly* reconciliation*",
    "Contact": "email first_name last_name phone_number",
    "ContactInfo": "address_line1 address_line2 city contact country postal_code state",
    "Contract": "activation agreement created creator enrolled marketplace name owner signee status"
    " type updated version version_created",
    "Country": "icon name zone",
    "Conversation": "created creator instance_id messages topic events* status* type*",
    "ConversationMessage": "conversation created creator text events* type*",
    "CustomerUiSettings": "description documents download_links getting_started",
    "Document": "title url",
    "DownloadLink": "title url visible_for",
    "Event": "at by",
    "Events": "accepted approved closed created inquired pending rejected submitted updated"
    " uploaded validated deleted* failed* pended*",
    "ExtIdHub": "external_id hub",
    "Fulfillment": "activation_key asset assignee contract created marketplace note params_form_url"
    " reason status type updated effective_date* previous_approved_request* template*",
    "Hub": "company description events instance name stats",
    "HubInstance": "type",
    "HubStats": "connections marketplaces",
    "Item": "display_name global_id item_type mpn name old_quantity params period quantity renewal"
    " type",
    "Marketplace": "active_contracts countries description hubs icon name owner sourcing zone",
    "Param": "constraints description events marketplace name phase scope title type value"
    " value_choice value_choices value_error structured_value*",
    "PhoneNumber": "area_code country_code extension phone_number",
    "Product": "category configurations customer_ui_settings detailed_description icon latest name"
    " owner published_at short_description stats version status*",
    "ProductCategory": "children family name parent",
    "ProductConfiguration": "requires_reseller_information suspend_resume_supported",
    "ProductConfigurationParameter": "constraints events item marketplace parameter value"
    " structured_value*",
    "ProductFamily": "name",
    "ProductStats": "agreements contracts listing",
    "ProductStatsInfo": "distribution sourcing",
    "Renewal": "from_ period_delta period_uom to",
    "ServerErrorResponse": "error_code errors params",
    "Template": "body name representation scope* title* type*",
    "TierAccount": "contact_info external_id external_uid name tax_id*",
    "TierAccounts": "customer tier1 tier2",
    "TierConfig": "account configuration connection contract events marketplace name open_request"
    " params product status template tier_level",
    "TierConfigRequest": "account activation assignee configuration contract environment events"
    " marketplace notes params parent_configuration product reason status template tier_level"
    " tiers type effective_date* previous_approved_request*",
    "UsageFile": "acceptance_note contract created_at created_by description error_details events"
    " marketplace name note processed_file_uri product provider records rejection_note status"
    " upload_file_uri vendor currency* environment* error_detail* external_id* usage_file_uri*",
    "UsageListing": "contract created product provider status vendor",
    "UsageRecord": "asset_search_criteria asset_search_value end_time_utc item_search_criteria"
    " item_search_value quantity start_time_utc usage_record_id record_id*",
    "UsageRecords": "invalid valid",
    "User": "email name",
    "ValueChoice": "label value",
}

METHODS = {
    "Asset": "get_item_by_global_id get_item_by_id get_item_by_mpn get_param_by_id get_requests",
    "BaseModel": "deserialize deserialize_json json",
    "Configuration": "get_param_by_id",
    "Conversation": "add_message",
    "Fulfillment": "changed_items new_items removed_items get_conversation needs_migration",
    "Item": "get_param_by_id",
    "Product": "get_product_configurations get_templates",
    "TierConfig": "get get_param_by_id",
    "TierConfigRequest": "get_param_by_id",
}


def all_models() -> list[type[BaseModel]]:
    exported = [getattr(models, name) for name in models.__all__]
    return [kind for kind in exported if issubclass(kind, BaseModel)]


def test_all_classes_of_the_reference_are_exported_and_no_others() -> None:
    answers = {"ActivationTemplateResponse", "ActivationTileResponse"}

    assert set(models.__all__) == {*REFERENCE, *answers, "AssetRequest"}


@pytest.mark.parametrize("name", REFERENCE)
def test_a_model_declares_exactly_the_attributes_of_the_reference(name: str) -> None:
    declared = set(inspect.get_annotations(getattr(models, name))) - {"id"}

    assert declared == {attribute.rstrip("*") for attribute in REFERENCE[name].split()}


@pytest.mark.parametrize("name", METHODS)
def test_a_model_has_the_methods_of_the_reference(name: str) -> None:
    assert all(hasattr(getattr(models, name), method) for method in METHODS[name].split())


@pytest.mark.parametrize("model", all_models(), ids=lambda model: model.__name__)
def test_every_model_has_an_id_and_a_schema_of_its_own(model: type[BaseModel]) -> None:
    schema = model.marshmallow_schema()

    assert isinstance(schema, Schema)
    assert set(model._attributes) <= set(schema.fields)
    assert model.deserialize_json({"id": "X-1"}).id == "X-1"
    assert isinstance(schema.load({"id": "X-1"}), model)


def test_a_schema_is_made_once_for_all_threads() -> None:
    start = threading.Barrier(16)

    class Fresh(BaseModel):
        name: str = absent
        inner: User = absent

    def first_use(_: int) -> tuple[int, object]:
        start.wait(timeout=10)
        loaded = Fresh.deserialize_json({"name": "n", "inner": {"name": "m"}})
        return id(Fresh.marshmallow_schema()), loaded.inner.name

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(first_use, range(16)))) == 1


def test_threads_that_read_an_attribute_first_get_the_same_object() -> None:
    for _ in range(50):
        request = Fulfillment.deserialize_json({"asset": {"items": [{"quantity": "1"}]}})
        start = threading.Barrier(4)

        def read(
            _: int, request: Fulfillment = request, start: threading.Barrier = start
        ) -> list[Item]:
            start.wait(timeout=10)
            return request.asset.items

        with ThreadPoolExecutor(4) as pool:
            assert len({id(items) for items in pool.map(read, range(4))}) == 1


def test_a_model_of_ones_own_is_declared_likewise() -> None:
    class VendorTenant(BaseModel):
        seats: int = absent
        owner: User | None = absent
        tags: list[str] = absent
        history: list[Any] = absent

    document = {"seats": "3", "owner": {"name": "Ada"}, "tags": ["a", 1], "history": [None, {}]}
    tenant = VendorTenant.deserialize_json(document)

    assert (tenant.seats, tenant.owner and tenant.owner.name) == (3, "Ada")
    assert (tenant.tags, tenant.history) == (["a", "1"], [None, {}])
    assert tenant.json == document
    assert VendorTenant(seats=4).json == {"seats": 4}


def test_an_annotation_that_means_no_field_is_refused_by_name() -> None:
    class Odd(BaseModel):
        value: complex = absent

    with pytest.raises(TypeError, match="complex"):
        Odd.deserialize_json({})


def test_type_checkers_see_what_is_declared() -> None:
    request = Fulfillment.deserialize_json(
        {"created": "2020-01-01", "asset": {"items": [{"quantity": "1"}], "tiers": {"tier2": {}}}}
    )

    assert_type(request, Fulfillment)
    assert_type(request.created, datetime)
    assert_type(request.asset.items[0].quantity, int | float)
    assert_type(request.asset.tiers.tier2, TierAccount | None)
    assert_type(Fulfillment.deserialize_json([{}]), list[Fulfillment])
    assert request.asset.items[0].quantity == 1


def test_asset_request_is_the_later_name_of_fulfillment() -> None:
    assert AssetRequest is Fulfillment


def test_a_template_response_has_its_id() -> None:
    assert ActivationTemplateResponse("TL-1").template_id == "TL-1"
    assert ActivationTemplateResponse(template_id="TL-1") == ActivationTemplateResponse("TL-1")


@pytest.mark.parametrize(
    ("markdown", "tile"),
    [
        ("# Welcome", "# Welcome"),
        ("", "Activation succeeded"),
        ('"# Quoted\\nby the API"', "# Quoted\nby the API"),
        ('"Quoted" by a person', '"Quoted" by a person'),
        ("123", "123"),
    ],
)
def test_a_tile_response_has_its_contents(markdown: str, tile: str) -> None:
    response = ActivationTileResponse(markdown)

    assert (response.markdown, response.tile) == (markdown, tile)


def test_a_tile_response_can_be_empty() -> None:
    assert ActivationTileResponse().tile == "Activation succeeded"

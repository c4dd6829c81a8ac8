"""Builders of valid requests of every kind; a test passes only the values that matter to it.

The sandbox seeds itself with the same documents. Equal arguments give equal requests.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

from connect_worker.domain.states import JSON
from connect_worker.dry_run.transport import CREATED, empty_state
from connect_worker.models.requests import Fulfillment, TierConfigRequest
from connect_worker.models.usage import UsageFile, UsageListing
from connect_worker.sandbox import seeding

Fields = Mapping[str, JSON]
#: A parameter's value, or several of its fields: `{"value": "…", "value_error": "…"}`.
Params = Mapping[str, str | Fields | None]
#: A quantity by the item's MPN, or several of its fields: `{"quantity": 3, "old_quantity": 1}`.
Items = Mapping[str, int | float | str | Fields]


class FulfillmentFields(TypedDict, total=False):
    """The arguments for a fulfillment request."""

    #: `PR-…`.
    id: str
    #: `pending`, `inquiring`, `approved` or `failed`.
    status: str
    #: The product's id; by default a product of the sandbox.
    product: str
    #: `AS-…`.
    asset_id: str
    #: Values by the parameter's id. Other parameters stay as they are; unknown ones are added.
    params: Params
    #: Quantities by MPN: the complete list of items.
    items: Items
    #: Any other field, at any depth. Objects are merged; all other values are replaced.
    override: Fields


def purchase(**fields: Unpack[FulfillmentFields]) -> Fulfillment:
    """Return a pending purchase.

    Its items are `TEAM-USERS`, `EXTRA-STORAGE` and `SKUA`, which is billed by usage. Its parameters
    are `email`, `plan`, `campaign` and `purchase_id`, which the vendor fills.

    Args:
        **fields: `id`, `status`, `product`, `asset_id`, `params`, `items`, `override`: see
            `FulfillmentFields`.

    Examples:
        >>> request = purchase(params={"email": ""}, items={"TEAM-USERS": 10})
        >>> request.asset.items[0].quantity
        10
        >>> purchase(override={"asset": {"tiers": {"tier1": {"name": "ACME"}}}}).asset.tiers.tier1
        <TierAccount TA-1-9316-1671-4071>
    """
    return _fulfillment("purchase", fields)


def change(**fields: Unpack[FulfillmentFields]) -> Fulfillment:
    """Return a pending change of an asset's quantities; arguments as for `purchase`.

    Examples:
        >>> request = change(items={"TEAM-USERS": {"old_quantity": 5, "quantity": 8}})
        >>> [item.mpn for item in request.changed_items]
        ['TEAM-USERS']
    """
    return _fulfillment("change", fields)


def cancel(**fields: Unpack[FulfillmentFields]) -> Fulfillment:
    """Return a pending cancellation of an asset; arguments as for `purchase`.

    Examples:
        >>> cancel(asset_id="AS-1111-2222-3333").asset.id
        'AS-1111-2222-3333'
    """
    return _fulfillment("cancel", fields)


def suspend(**fields: Unpack[FulfillmentFields]) -> Fulfillment:
    """Return a pending suspension of an active asset; arguments as for `purchase`.

    Examples:
        >>> suspend().asset.status
        'active'
    """
    return _fulfillment("suspend", fields)


def resume(**fields: Unpack[FulfillmentFields]) -> Fulfillment:
    """Return a pending resumption of a suspended asset; arguments as for `purchase`.

    Examples:
        >>> resume().asset.status
        'suspended'
    """
    return _fulfillment("resume", fields)


class TierFields(TypedDict, total=False):
    """The arguments for a tier config request."""

    #: `TCR-…`.
    id: str
    #: `pending`, `inquiring`, `approved` or `failed`.
    status: str
    #: The product's id; by default a product of the sandbox.
    product: str
    #: Values by the parameter's id. Other parameters stay as they are; unknown ones are added.
    params: Params
    #: Any other field, at any depth. Objects are merged; all other values are replaced.
    override: Fields


def tier_setup(**fields: Unpack[TierFields]) -> TierConfigRequest:
    """Return a pending setup of a reseller.

    Its parameters are `reseller_email`, `discount_group` and `reseller_id`, which the vendor fills.

    Args:
        **fields: `id`, `status`, `product`, `params`, `override`: see `TierFields`.

    Examples:
        >>> request = tier_setup(params={"discount_group": "A"})
        >>> request.get_param_by_id("discount_group").value
        'A'
    """
    return _tier("setup", fields)


def tier_update(**fields: Unpack[TierFields]) -> TierConfigRequest:
    """Return a pending change of a reseller's configuration; arguments as for `tier_setup`.

    Examples:
        >>> tier_update().configuration.status
        'active'
    """
    return _tier("update", fields)


class FileFields(TypedDict, total=False):
    """The arguments for a usage file."""

    #: `UF-…`.
    id: str
    #: `draft`, `ready`, `invalid`, `pending`, `accepted`, `rejected` or `closed`.
    status: str
    #: The product's id; by default a product of the sandbox.
    product: str
    #: Number of valid records.
    valid: int
    #: Number of invalid records.
    invalid: int
    #: Any other field, at any depth. Objects are merged; all other values are replaced.
    override: Fields


def usage_file(**fields: Unpack[FileFields]) -> UsageFile:
    """Return a usage file with the status `ready`.

    Args:
        **fields: `id`, `status`, `product`, `valid`, `invalid`, `override`: see `FileFields`.

    Examples:
        >>> usage_file(invalid=2).records.invalid
        2
    """
    document = seeding.add_usage_file(empty_state(), CREATED, "ready").body()
    records = document["records"]
    document["records"] = {name: fields.get(name, records[name]) for name in records}
    return UsageFile.deserialize_json(_with_fields(document, fields))


class ListingFields(TypedDict, total=False):
    """The arguments for a usage listing."""

    #: `LST-…`.
    id: str
    #: `listed` or `unlisted`.
    status: str
    #: The product's id; by default a product of the sandbox.
    product: str
    #: The id of its contract, `CRD-…`.
    contract: str
    #: Any other field, at any depth. Objects are merged; all other values are replaced.
    override: Fields


def usage_listing(**fields: Unpack[ListingFields]) -> UsageListing:
    """Return a listing whose usage the vendor reports.

    Args:
        **fields: `id`, `status`, `product`, `contract`, `override`: see `ListingFields`.

    Examples:
        >>> usage_listing(contract="CRD-1").contract.id
        'CRD-1'
    """
    document = seeding.add_listing(empty_state(), CREATED).body()
    contract = document["contract"]
    document["contract"] = {**contract, "id": fields.get("contract", contract["id"])}
    return UsageListing.deserialize_json(_with_fields(document, fields))


def _fulfillment(scenario: str, fields: FulfillmentFields) -> Fulfillment:
    state = empty_state()
    product = state.catalog.products[0]
    document = seeding.add_fulfillment(state, CREATED, scenario, product=product).body()
    asset = document["asset"]
    asset["id"] = fields.get("asset_id", asset["id"])
    asset["params"] = _with_params(asset["params"], fields.get("params", {}))
    if (items := fields.get("items")) is not None:
        asset["items"] = _with_items(asset["items"], items)
    return Fulfillment.deserialize_json(_with_fields(document, fields))


def _tier(scenario: str, fields: TierFields) -> TierConfigRequest:
    document = seeding.add_tier_config(empty_state(), CREATED, scenario).body()
    # The request and its configuration have the same parameters.
    for owner in (document, document["configuration"]):
        owner["params"] = _with_params(owner["params"], fields.get("params", {}))
    return TierConfigRequest.deserialize_json(_with_fields(document, fields))


def _with_fields(document: dict[str, Any], fields: Any) -> dict[str, Any]:
    """Return the document with the fields that all kinds have."""
    # An id occurs in more than one place.
    text = json.dumps(document)
    product = empty_state().catalog.products[0].id
    for previous, new in ((document["id"], fields.get("id")), (product, fields.get("product"))):
        if new:
            text = text.replace(previous, json.dumps(new)[1:-1])
    status = fields.get("status", document["status"])
    return merge({**json.loads(text), "status": status}, fields.get("override", {}))


def merge(base: Fields, override: Fields) -> dict[str, Any]:
    """Return a copy of a document in which objects are merged and other values are replaced."""
    result = dict(base)
    for name, value in override.items():
        present = result.get(name)
        if isinstance(value, Mapping) and isinstance(present, Mapping):
            result[name] = merge(present, value)
        else:
            result[name] = value
    return result


def _with_params(params: list[dict[str, Any]], values: Params) -> list[dict[str, Any]]:
    known = {param["id"]: param for param in params}
    for name, value in values.items():
        plain = {**params[0], "id": name, "name": name, "title": name, "value": ""}
        fields = value if isinstance(value, Mapping) else {"value": value}
        known[name] = {**known.get(name, plain), **fields}
    return list(known.values())


def _with_items(items: list[dict[str, Any]], quantities: Items) -> list[dict[str, Any]]:
    known = {item["mpn"]: item for item in items}
    result = []
    # Items that the product does not have get the numbers after its own.
    for number, (mpn, value) in enumerate(quantities.items(), start=len(items) + 1):
        other = {**items[0], "id": f"{items[0]['id'][:-4]}{number:04d}", "display_name": mpn}
        fields = value if isinstance(value, Mapping) else {"quantity": value}
        result.append({**known.get(mpn, other), "mpn": mpn, **fields})
    return result

"""Requests of every kind, valid as they are: say what matters to the test, and no more.

They are the documents that the sandbox is seeded with, always the same ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

from connect_worker.domain.states import JSON
from connect_worker.dry_run.sandbox_transport import CREATED, empty_world
from connect_worker.models.requests import Fulfillment, TierConfigRequest
from connect_worker.models.usage import UsageFile, UsageListing
from connect_worker.sandbox import seeding

Fields = Mapping[str, JSON]
#: A parameter's value, or several of its fields: `{"value": "…", "value_error": "…"}`.
Params = Mapping[str, str | Fields | None]
#: A quantity by the item's MPN, or several of its fields: `{"quantity": 3, "old_quantity": 1}`.
Items = Mapping[str, int | float | str | Fields]


class FulfillmentFields(TypedDict, total=False):
    """What can be said of a fulfillment request, each by its name."""

    #: `PR-…`.
    id: str
    #: `pending`, `inquiring`, `approved` or `failed`.
    status: str
    #: The product's id; by default one that the sandbox has.
    product: str
    #: `AS-…`.
    asset_id: str
    #: Values by the parameter's id; those not named stay as they are, new ones are added.
    params: Params
    #: Quantities by MPN; the request has these items and no others.
    items: Items
    #: Any other field, however deep: objects are laid over, all else is replaced.
    override: Fields


def purchase(**fields: Unpack[FulfillmentFields]) -> Fulfillment:
    """Return a purchase that waits for the vendor.

    It orders `TEAM-USERS`, `EXTRA-STORAGE` and, by use, `SKUA`; its parameters are `email`,
    `purchase_id` (yours to fill), `plan` and `campaign`.

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
    """Return a change of an asset's quantities; arguments as for `purchase`.

    Examples:
        >>> request = change(items={"TEAM-USERS": {"old_quantity": 5, "quantity": 8}})
        >>> [item.mpn for item in request.changed_items]
        ['TEAM-USERS']
    """
    return _fulfillment("change", fields)


def cancel(**fields: Unpack[FulfillmentFields]) -> Fulfillment:
    """Return the cancellation of an asset; arguments as for `purchase`.

    Examples:
        >>> cancel(asset_id="AS-1111-2222-3333").asset.id
        'AS-1111-2222-3333'
    """
    return _fulfillment("cancel", fields)


def suspend(**fields: Unpack[FulfillmentFields]) -> Fulfillment:
    """Return the suspension of an active asset; arguments as for `purchase`.

    Examples:
        >>> suspend().asset.status
        'active'
    """
    return _fulfillment("suspend", fields)


def resume(**fields: Unpack[FulfillmentFields]) -> Fulfillment:
    """Return the end of an asset's suspension; arguments as for `purchase`.

    Examples:
        >>> resume().asset.status
        'suspended'
    """
    return _fulfillment("resume", fields)


class TierFields(TypedDict, total=False):
    """What can be said of a tier config request, each by its name."""

    #: `TCR-…`.
    id: str
    #: `pending`, `inquiring`, `approved` or `failed`.
    status: str
    #: The product's id; by default one that the sandbox has.
    product: str
    #: Values by the parameter's id; those not named stay as they are, new ones are added.
    params: Params
    #: Any other field, however deep: objects are laid over, all else is replaced.
    override: Fields


def tier_setup(**fields: Unpack[TierFields]) -> TierConfigRequest:
    """Return the setup of a reseller that waits for the vendor.

    Its parameters are `reseller_email`, `reseller_id` (yours to fill) and `discount_group`.

    Args:
        **fields: `id`, `status`, `product`, `params`, `override`: see `TierFields`.

    Examples:
        >>> request = tier_setup(params={"discount_group": "A"})
        >>> request.get_param_by_id("discount_group").value
        'A'
    """
    return _tier("setup", fields)


def tier_update(**fields: Unpack[TierFields]) -> TierConfigRequest:
    """Return a change of a reseller's configuration; arguments as for `tier_setup`.

    Examples:
        >>> tier_update().configuration.status
        'active'
    """
    return _tier("update", fields)


class FileFields(TypedDict, total=False):
    """What can be said of a usage file, each by its name."""

    #: `UF-…`.
    id: str
    #: `draft`, `ready`, `invalid`, `pending`, `accepted`, `rejected` or `closed`.
    status: str
    #: The product's id; by default one that the sandbox has.
    product: str
    #: How many of its records are valid.
    valid: int
    #: How many are not.
    invalid: int
    #: Any other field, however deep: objects are laid over, all else is replaced.
    override: Fields


def usage_file(**fields: Unpack[FileFields]) -> UsageFile:
    """Return a usage file that was uploaded and is ready.

    Args:
        **fields: `id`, `status`, `product`, `valid`, `invalid`, `override`: see `FileFields`.

    Examples:
        >>> usage_file(invalid=2).records.invalid
        2
    """
    document = seeding.add_usage_file(empty_world(), CREATED, "ready").body()
    records = document["records"]
    document["records"] = {name: fields.get(name, records[name]) for name in records}
    return UsageFile.deserialize_json(_finished(document, fields))


class ListingFields(TypedDict, total=False):
    """What can be said of a usage listing, each by its name."""

    #: `LST-…`.
    id: str
    #: `listed` or `unlisted`.
    status: str
    #: The product's id; by default one that the sandbox has.
    product: str
    #: The id of the contract under which it is listed, `CRD-…`.
    contract: str
    #: Any other field, however deep: objects are laid over, all else is replaced.
    override: Fields


def usage_listing(**fields: Unpack[ListingFields]) -> UsageListing:
    """Return a listing whose usage is to be reported.

    Args:
        **fields: `id`, `status`, `product`, `contract`, `override`: see `ListingFields`.

    Examples:
        >>> usage_listing(contract="CRD-1").contract.id
        'CRD-1'
    """
    document = seeding.add_listing(empty_world(), CREATED).body()
    contract = document["contract"]
    document["contract"] = {**contract, "id": fields.get("contract", contract["id"])}
    return UsageListing.deserialize_json(_finished(document, fields))


def _fulfillment(scenario: str, fields: FulfillmentFields) -> Fulfillment:
    world = empty_world()
    product = world.catalog.products[0]
    document = seeding.add_fulfillment(world, CREATED, scenario, product=product).body()
    asset = document["asset"]
    asset["id"] = fields.get("asset_id", asset["id"])
    asset["params"] = _with_params(asset["params"], fields.get("params", {}))
    if (items := fields.get("items")) is not None:
        asset["items"] = _only_items(asset["items"], items)
    return Fulfillment.deserialize_json(_finished(document, fields))


def _tier(scenario: str, fields: TierFields) -> TierConfigRequest:
    document = seeding.add_tier_config(empty_world(), CREATED, scenario).body()
    # The request and the configuration that it is about show the same parameters.
    for owner in (document, document["configuration"]):
        owner["params"] = _with_params(owner["params"], fields.get("params", {}))
    return TierConfigRequest.deserialize_json(_finished(document, fields))


def _finished(document: dict[str, Any], fields: Any) -> dict[str, Any]:
    """Put in what all kinds have; an id stands in more than one place."""
    text = json.dumps(document)
    product = empty_world().catalog.products[0].id
    for former, now in ((document["id"], fields.get("id")), (product, fields.get("product"))):
        if now:
            text = text.replace(former, json.dumps(now)[1:-1])
    status = fields.get("status", document["status"])
    return laid_over({**json.loads(text), "status": status}, fields.get("override", {}))


def laid_over(base: Fields, over: Fields) -> dict[str, Any]:
    """Return a document with another laid over it: objects by field, all else replaced."""
    merged = dict(base)
    for name, value in over.items():
        present = merged.get(name)
        if isinstance(value, Mapping) and isinstance(present, Mapping):
            merged[name] = laid_over(present, value)
        else:
            merged[name] = value
    return merged


def _with_params(params: list[dict[str, Any]], given: Params) -> list[dict[str, Any]]:
    known = {param["id"]: param for param in params}
    for name, value in given.items():
        plain = {**params[0], "id": name, "name": name, "title": name, "value": ""}
        fields = value if isinstance(value, Mapping) else {"value": value}
        known[name] = {**known.get(name, plain), **fields}
    return list(known.values())


def _only_items(items: list[dict[str, Any]], given: Items) -> list[dict[str, Any]]:
    known = {item["mpn"]: item for item in items}
    chosen = []
    # New ones are numbered behind those that the product has.
    for number, (mpn, value) in enumerate(given.items(), start=len(items) + 1):
        other = {**items[0], "id": f"{items[0]['id'][:-4]}{number:04d}", "display_name": mpn}
        fields = value if isinstance(value, Mapping) else {"quantity": value}
        chosen.append({**known.get(mpn, other), "mpn": mpn, **fields})
    return chosen

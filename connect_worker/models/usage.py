"""What has been used, and what is billed: usage files, recurring assets, billing requests."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from connect_worker._deprecated import SCHEMAS, deprecated_names
from connect_worker.models.accounts import Contract, TierAccounts
from connect_worker.models.base import BaseModel, alias, field, synonym
from connect_worker.models.common import Company, Events, Marketplace, Param, Period
from connect_worker.models.products import Item, Product
from connect_worker.models.requests import Asset, Connection

if not TYPE_CHECKING:
    _RENAMED = {
        "File": "UsageFile",
        "FileUsageRecord": "UsageRecord",
        "Listing": "UsageListing",
        "Records": "UsageRecords",
    }
    __getattr__ = deprecated_names(
        __name__, {name: f"models.{now}" for name, now in _RENAMED.items()}, SCHEMAS
    )


class UsageFile(BaseModel):
    """A usage report on its way from vendor to provider.

    Examples:
        >>> product, contract = Product(id="PRD-1"), Contract(id="CRD-1")
        >>> UsageFile(name="Usage of January", product=product, contract=contract).json
        {'name': 'Usage of January', 'product': {'id': 'PRD-1'}, 'contract': {'id': 'CRD-1'}}
    """

    #: The provider's, when it was accepted.
    acceptance_note: str = field
    contract: Contract = field
    #: ISO 8601, as text.
    created_at: str = field
    #: Who created it.
    created_by: str = field
    description: str = field
    #: What is wrong with an invalid file.
    error_details: str = field
    events: Events = field
    marketplace: Marketplace = field
    name: str = field
    #: The vendor's own.
    note: str = field
    #: Where the processed file is, for 30 seconds; not in lists.
    processed_file_uri: str = field
    product: Product = field
    provider: Company = field
    records: UsageRecords = field
    #: The provider's, when it was rejected.
    rejection_note: str = field
    #: ``draft``, ``uploading``, ``uploaded``, ``processing``, ``invalid``, ``ready``, ``rejected``,
    #: ``pending``, ``accepted`` or ``closed``; Connect may send it in capitals.
    status: str = field
    #: Where the uploaded file is, for 600 seconds; not in lists.
    upload_file_uri: str = field
    vendor: Company = field

    # Added by the API since the 2019 SDK.
    currency: str | None = field
    environment: str = field
    #: What `error_details` is called now.
    error_detail: str | None = field
    #: The vendor's own id of it; it may come as a number.
    external_id: str | None = field
    #: What was used when; dates without a time.
    period: Period | None = field
    #: The bounds of the period in the later SDK, as texts.
    period_from: str | None = field
    period_to: str | None = field
    reconciliation_file_uri: str | None = field
    #: The schema of its usage: ``qt``, ``tr``, ``cr`` or ``pr``.
    schema: str | None = field
    stats: UsageStats | None = field
    #: ``processing`` or ``processed``.
    sub_status: str | None = field
    #: What `upload_file_uri` is called now.
    usage_file_uri: str = field

    # Of the SDK's releases 14 to 17.0: what `events` says now.
    accepted_at: str | None = field
    accepted_by: str | None = field
    closed_at: str | None = field
    closed_by: str | None = field
    rejected_at: str | None = field
    rejected_by: str | None = field
    submitted_at: str | None = field
    submitted_by: str | None = field
    uploaded_at: str | None = field
    uploaded_by: str | None = field


class UsageListing(BaseModel):
    """A product on sale on a marketplace, under a contract; its usage is reported for each listing.

    Examples:
        >>> usage_listing().contract.id
        'CRD-51799-24837-13800'
    """

    contract: Contract = field
    #: ISO 8601, as text.
    created: str = field
    product: Product = field
    provider: Company = field
    #: ``listed`` for as long as it is on sale.
    status: str = field
    vendor: Company = field

    # Added by the API since the 2019 SDK.
    #: A reference to the listing request that is open.
    pending_request: BaseModel | None = field
    #: ISO 8601, as text.
    updated: str | None = field


class UsageRecord(BaseModel):
    """One line of a usage report: how much of one item one asset used in a period.

    Examples:
        >>> UsageRecord(record_id="1", item_search_value="SKUA", quantity=7.5).quantity
        7.5
    """

    #: Unique among all records of a product; `record_id` in the 2019 SDK's examples.
    usage_record_id: str = alias("usage_record_id", "record_id")
    record_id: str = synonym("usage_record_id")
    #: How to find the item: ``item.mpn`` or ``item.local_id``.
    item_search_criteria: str = field
    item_search_value: str = field
    quantity: int | float = field
    #: ``2019-10-31 00:00:00``, in UTC. A date alone is sent as its midnight.
    start_time_utc: str = field
    end_time_utc: str = field
    #: How to find the asset: ``parameter.{id}`` or ``asset.id``.
    asset_search_criteria: str = field
    asset_search_value: str = field

    # Added by the API since the 2019 SDK: columns that a product's usage schema may ask for.
    #: A note on the record; the later SDK calls it `usage_record_note`.
    record_note: str | None = alias("record_note", "usage_record_note")
    usage_record_note: str | None = synonym("record_note")
    #: In the file's currency.
    amount: int | float | None = field
    item_name: str | None = field
    #: The manufacturer's part number; the later SDK spells it `item_npm`.
    item_mpn: str | None = alias("item_mpn", "item_npm")
    item_npm: str | None = synonym("item_mpn")
    item_unit: str | None = field
    item_precision: str | None = field
    category_id: str | None = field
    #: The asset's id for reconciliation.
    asset_recon_id: str | None = field
    tier: str | None = field


class UsageRecords(BaseModel):
    """How many records of a usage file are right.

    Examples:
        >>> usage_file(invalid=2).records.invalid
        2
    """

    invalid: int = field
    valid: int = field

    # Added by the API since the 2019 SDK.
    closed: int = field


class UsageStats(BaseModel):
    """How many records of a usage file have come how far; not in the 2019 SDK.

    Examples:
        >>> UsageStats.deserialize_json({"uploaded": 5}).uploaded
        5
    """

    uploaded: int = field
    validated: int = field
    invalid: int = field
    pending: int = field
    accepted: int = field
    closed: int = field
    billed: int = field


class Anniversary(BaseModel):
    """On which day billing begins again; not in the 2019 SDK.

    Examples:
        >>> Anniversary.deserialize_json({"day": 28, "month": "2"}).month
        2
    """

    day: int | None = field
    month: int | None = field


class LastRequest(BaseModel):
    """The last billing request of an asset; not in the 2019 SDK.

    Examples:
        >>> last = {"id": "BRV-1", "period": {"from": "2026-01-01T00:00:00+00:00"}}
        >>> LastRequest.deserialize_json(last).period.from_.month
        1
    """

    period: Period | None = field
    type: str = field


class Stat(BaseModel):
    """The billing requests of one side, vendor or provider; not in the 2019 SDK.

    Examples:
        >>> Stat.deserialize_json({"count": 7}).count
        7
    """

    count: int = field
    last_request: LastRequest | None = field


class Stats(BaseModel):
    """The billing requests of an asset; not in the 2019 SDK.

    Examples:
        >>> Stats.deserialize_json({"vendor": {"count": 7}}).vendor.count
        7
    """

    provider: Stat | None = field
    vendor: Stat | None = field


class Billing(BaseModel):
    """When and how an asset is billed; not in the 2019 SDK.

    Examples:
        >>> Billing.deserialize_json({"period": {"delta": 1, "uom": "monthly"}}).period.uom
        'monthly'
    """

    anniversary: Anniversary | None = field
    next_date: datetime | None = field
    period: Period | None = field
    stats: Stats | None = field


class RecurringAsset(BaseModel):
    """An asset that is billed again and again; not in the 2019 SDK.

    Examples:
        >>> asset = {"id": "AS-1", "billing": {"next_date": "2026-02-01T00:00:00+00:00"}}
        >>> str(RecurringAsset.deserialize_json(asset).billing.next_date)
        '2026-02-01 00:00:00'
    """

    billing: Billing = field
    connection: Connection = field
    contract: Contract = field
    events: Events = field
    #: Its id in the commerce system; it may come as a number.
    external_id: str = field
    #: The later SDK calls it `external_uuid`.
    external_uid: str | None = alias("external_uid", "external_uuid")
    external_uuid: str | None = synonym("external_uid")
    items: list[Item] = field
    marketplace: Marketplace = field
    params: list[Param] = field
    product: Product = field
    status: str = field
    tiers: TierAccounts = field


class Attributes(BaseModel):
    """What each side notes at a billing request; not in the 2019 SDK.

    Examples:
        >>> Attributes.deserialize_json({"vendor": {"external_id": "INV-7"}}).vendor.external_id
        'INV-7'
    """

    provider: Company | None = field
    vendor: Company | None = field


class BillingRequest(BaseModel):
    """The billing of an asset for one period; not in the 2019 SDK.

    Examples:
        >>> request = {"id": "BRV-1", "asset": {"id": "AS-1"}, "period": {"delta": 1}}
        >>> BillingRequest.deserialize_json(request).asset.id
        'AS-1'
    """

    asset: Asset = field
    attributes: Attributes | None = field
    events: Events = field
    items: list[Item] = field
    period: Period = field
    #: ``vendor`` or ``provider``.
    type: str = field

"""Usage files: reports of what has been used."""

from __future__ import annotations

from connect_worker.models.accounts import Contract, Marketplace
from connect_worker.models.base import BaseModel, absent, same_as, spelled
from connect_worker.models.common import Company, Events, Period
from connect_worker.models.products import Product


class UsageFile(BaseModel):
    """A usage report on its way from vendor to provider.

    Examples:
        >>> product, contract = Product(id="PRD-1"), Contract(id="CRD-1")
        >>> UsageFile(name="Usage of January", product=product, contract=contract).json
        {'name': 'Usage of January', 'product': {'id': 'PRD-1'}, 'contract': {'id': 'CRD-1'}}
    """

    #: The provider's, when it was accepted.
    acceptance_note: str = absent
    contract: Contract = absent
    #: ISO 8601, as text.
    created_at: str = absent
    #: Who created it.
    created_by: str = absent
    description: str = absent
    #: What is wrong with an invalid file.
    error_details: str = absent
    events: Events = absent
    marketplace: Marketplace = absent
    name: str = absent
    #: The vendor's own.
    note: str = absent
    #: Where the processed file is, for 30 seconds; not in lists.
    processed_file_uri: str = absent
    product: Product = absent
    provider: Company = absent
    records: UsageRecords = absent
    #: The provider's, when it was rejected.
    rejection_note: str = absent
    #: ``draft``, ``uploading``, ``uploaded``, ``processing``, ``invalid``, ``ready``, ``rejected``,
    #: ``pending``, ``accepted`` or ``closed``; Connect may send it in capitals.
    status: str = absent
    #: Where the uploaded file is, for 600 seconds; not in lists.
    upload_file_uri: str = absent
    vendor: Company = absent

    # Added by the API since the 2019 SDK.
    currency: str | None = absent
    environment: str = absent
    #: What `error_details` is called now.
    error_detail: str | None = absent
    #: The vendor's own id of it; it may come as a number.
    external_id: str | None = absent
    #: What was used when; dates without a time.
    period: Period | None = absent
    reconciliation_file_uri: str | None = absent
    #: The schema of its usage: ``qt``, ``tr``, ``cr`` or ``pr``.
    schema: str | None = absent
    stats: UsageStats | None = absent
    #: ``processing`` or ``processed``.
    sub_status: str | None = absent
    #: What `upload_file_uri` is called now.
    usage_file_uri: str = absent


# Listings: products that are on sale, and whose usage is reported.


class UsageListing(BaseModel):
    """A product on a marketplace, under a contract.

    Examples:
        >>> usage_listing().contract.id
        'CRD-51799-24837-13800'
    """

    contract: Contract = absent
    #: ISO 8601, as text.
    created: str = absent
    product: Product = absent
    provider: Company = absent
    #: ``listed`` for as long as it is on sale.
    status: str = absent
    vendor: Company = absent

    # Added by the API since the 2019 SDK.
    #: A reference to the listing request that is open.
    pending_request: BaseModel | None = absent
    #: ISO 8601, as text.
    updated: str | None = absent


# The lines of a usage report.


class UsageRecord(BaseModel):
    """How much of one item one asset used in a period.

    Examples:
        >>> UsageRecord(record_id="1", item_search_value="SKUA", quantity=7.5).quantity
        7.5
    """

    #: Unique among all records of a product; `record_id` in the 2019 SDK's examples.
    usage_record_id: str = spelled("usage_record_id", "record_id")
    record_id: str = same_as("usage_record_id")
    #: How to find the item: ``item.mpn`` or ``item.local_id``.
    item_search_criteria: str = absent
    item_search_value: str = absent
    quantity: int | float = absent
    #: ``2019-10-31`` or ``2019-10-31 00:00:00``, in UTC.
    start_time_utc: str = absent
    end_time_utc: str = absent
    #: How to find the asset: ``parameter.{id}`` or ``asset.id``.
    asset_search_criteria: str = absent
    asset_search_value: str = absent

    # Added by the API since the 2019 SDK: columns that a product's usage schema may ask for.
    #: A note on the record; the later SDK calls it `usage_record_note`.
    record_note: str | None = spelled("record_note", "usage_record_note")
    usage_record_note: str | None = same_as("record_note")
    #: In the file's currency.
    amount: int | float | None = absent
    item_name: str | None = absent
    #: The manufacturer's part number; the later SDK spells it `item_npm`.
    item_mpn: str | None = spelled("item_mpn", "item_npm")
    item_npm: str | None = same_as("item_mpn")
    item_unit: str | None = absent
    item_precision: str | None = absent
    category_id: str | None = absent
    #: The asset's id for reconciliation.
    asset_recon_id: str | None = absent
    tier: str | None = absent


class UsageRecords(BaseModel):
    """How many records of a usage file are right.

    Examples:
        >>> usage_file(invalid=2).records.invalid
        2
    """

    invalid: int = absent
    valid: int = absent

    # Added by the API since the 2019 SDK.
    closed: int = absent


class UsageStats(BaseModel):
    """How many records of a usage file have come how far; not in the 2019 SDK.

    Examples:
        >>> UsageStats.deserialize_json({"uploaded": 5}).uploaded
        5
    """

    uploaded: int = absent
    validated: int = absent
    invalid: int = absent
    pending: int = absent
    accepted: int = absent
    closed: int = absent
    billed: int = absent

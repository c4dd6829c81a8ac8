"""Usage files: reports of what has been used."""

from __future__ import annotations

from connect_worker.models.accounts import Contract
from connect_worker.models.base import BaseModel, alias, field, synonym
from connect_worker.models.common import Company, Events, Marketplace, Period
from connect_worker.models.products import Product


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
    reconciliation_file_uri: str | None = field
    #: The schema of its usage: ``qt``, ``tr``, ``cr`` or ``pr``.
    schema: str | None = field
    stats: UsageStats | None = field
    #: ``processing`` or ``processed``.
    sub_status: str | None = field
    #: What `upload_file_uri` is called now.
    usage_file_uri: str = field


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

"""The lines of a usage report."""

from __future__ import annotations

from connect_worker.models.base import BaseModel, absent, same_as, spelled


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

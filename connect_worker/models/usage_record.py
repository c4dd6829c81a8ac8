"""The lines of a usage report."""

from __future__ import annotations

from connect_worker.models.base import BaseModel, absent, same_as, spelled


class UsageRecord(BaseModel):
    """How much of one item one asset used in a period."""

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


class UsageRecords(BaseModel):
    """How many records of a usage file are right."""

    invalid: int = absent
    valid: int = absent

"""Renewals of items."""

from __future__ import annotations

from datetime import datetime

from connect_worker.models.base import BaseModel, absent, spelled


class Renewal(BaseModel):
    """For how long an item is renewed.

    Examples:
        >>> Renewal.deserialize_json({"period_delta": 1, "period_uom": "monthly"}).period_uom
        'monthly'
    """

    #: When the renewed period begins; ``from`` in the document.
    from_: datetime = spelled("from")
    #: When it ends.
    to: datetime = absent
    #: How many units it lasts.
    period_delta: int = absent
    #: The unit: year, month, day or hour.
    period_uom: str = absent

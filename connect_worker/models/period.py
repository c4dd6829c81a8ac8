"""Periods of time."""

from __future__ import annotations

from datetime import datetime

from connect_worker.models.base import BaseModel, absent, same_as, spelled


class Period(BaseModel):
    """From when to when something counts; not in the 2019 SDK.

    Examples:
        >>> period = {"from": "2026-01-01T00:00:00+00:00"}
        >>> Period.deserialize_json(period).from_.month
        1
    """

    #: When it begins; ``from`` in the document. A date alone is its midnight.
    from_: datetime = spelled("from")
    #: When it ends.
    to: datetime = absent
    #: How many units it lasts.
    delta: int | float | None = absent
    #: The unit.
    uom: str | None = absent

    # The names that the later SDK has for the first two.
    period_from: datetime = same_as("from_")
    period_to: datetime = same_as("to")

"""What happened to an object, when, and by whom."""

from __future__ import annotations

from datetime import datetime

from connect_worker.models.base import BaseModel, absent, same_as, spelled
from connect_worker.models.user import User


class Event(BaseModel):
    """The moment and the cause of an event.

    Examples:
        >>> Event.deserialize_json({"at": "2026-01-15T09:30:00+00:00"}).at.year
        2026
    """

    #: When it happened.
    at: datetime | None = absent
    #: Who caused it; Connect leaves it out of what it did itself.
    by: User = absent


class Events(BaseModel):
    """The events that an object can have.

    Examples:
        >>> tier_setup().events.pended.at.isoformat()
        '2026-01-15T09:30:00+00:00'
    """

    created: Event = absent
    inquired: Event = absent
    #: When it became pending. The API says ``pended``, the 2019 SDK `pending`: both are this one.
    pended: Event = spelled("pended", "pending")
    pending: Event = same_as("pended")
    validated: Event = absent
    updated: Event = absent
    approved: Event = absent
    failed: Event = absent
    uploaded: Event = absent
    submitted: Event = absent
    accepted: Event = absent
    rejected: Event = absent
    closed: Event = absent
    deleted: Event = absent

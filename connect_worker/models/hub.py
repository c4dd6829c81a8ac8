"""Hubs: the commerce systems that are connected to the platform."""

from __future__ import annotations

from connect_worker.models.base import BaseModel, absent
from connect_worker.models.company import Company
from connect_worker.models.event import Events


class HubInstance(BaseModel):
    """An instance of a hub."""

    #: Kind of the commerce system.
    type: str = absent


class HubStats(BaseModel):
    """Numbers about a hub."""

    #: Active connections.
    connections: int = absent
    marketplaces: int = absent


class Hub(BaseModel):
    """A hub."""

    #: The company that it belongs to.
    company: Company = absent
    #: In Markdown.
    description: str | None = absent
    events: Events = absent
    instance: HubInstance = absent
    name: str = absent
    stats: HubStats = absent


class ExtIdHub(BaseModel):
    """A hub, and the id that something has in it."""

    #: The id; it may come as a number.
    external_id: str = absent
    hub: Hub = absent

"""Hubs: the commerce systems that are connected to the platform."""

from __future__ import annotations

from connect_worker.models.base import BaseModel, absent
from connect_worker.models.company import Company
from connect_worker.models.event import Events


class HubInstance(BaseModel):
    """An instance of a hub.

    Examples:
        >>> HubInstance.deserialize_json({"id": "7", "type": "OA"}).type
        'OA'
    """

    #: Kind of the commerce system.
    type: str = absent


class HubStats(BaseModel):
    """Numbers about a hub.

    Examples:
        >>> HubStats.deserialize_json({"connections": 2, "marketplaces": 1}).connections
        2
    """

    #: Active connections.
    connections: int = absent
    marketplaces: int = absent


class Hub(BaseModel):
    """A hub.

    Examples:
        >>> Hub.deserialize_json({"id": "HB-1", "name": "Production"}).name
        'Production'
    """

    #: The company that it belongs to.
    company: Company = absent
    #: In Markdown.
    description: str | None = absent
    events: Events = absent
    instance: HubInstance = absent
    name: str = absent
    stats: HubStats = absent


class ExtIdHub(BaseModel):
    """A hub, and the id that something has in it.

    Examples:
        >>> ExtIdHub.deserialize_json({"hub": {"id": "HB-1"}, "external_id": "7"}).external_id
        '7'
    """

    #: The id; it may come as a number.
    external_id: str = absent
    hub: Hub = absent

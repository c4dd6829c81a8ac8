"""Marketplaces."""

from __future__ import annotations

from connect_worker.models.base import BaseModel, absent
from connect_worker.models.company import Company
from connect_worker.models.country import Country
from connect_worker.models.hub import ExtIdHub


class Marketplace(BaseModel):
    """Where products are offered: regions, and the hubs that provision what is ordered there.

    Examples:
        >>> purchase().marketplace.name
        'France and territories'
    """

    #: How many active contracts were signed on it.
    active_contracts: int = absent
    countries: list[Country] = absent
    #: In Markdown.
    description: str = absent
    hubs: list[ExtIdHub] = absent
    #: Path of its icon.
    icon: str = absent
    #: Unique for an account.
    name: str = absent
    #: The provider that it belongs to.
    owner: Company = absent
    #: Whether it can be sourced from.
    sourcing: bool = absent
    #: Continent: AF, NA, OC, AS, EU or SA.
    zone: str = absent

"""Connections between a product and a hub."""

from __future__ import annotations

from datetime import datetime

from connect_worker.models.base import BaseModel, absent
from connect_worker.models.company import Company
from connect_worker.models.hub import Hub
from connect_worker.models.product import Product


class Connection(BaseModel):
    """The way on which a provider orders one product through one hub.

    Examples:
        >>> purchase().asset.connection.provider.name
        'Northwind Distribution'
    """

    hub: Hub = absent
    product: Product = absent
    provider: Company = absent
    #: ``production``, ``test`` or ``preview``.
    type: str = absent
    vendor: Company = absent

    # Added by the API since the 2019 SDK.
    created_at: datetime | None = absent
    status: str | None = absent

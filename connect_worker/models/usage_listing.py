"""Listings: products that are on sale, and whose usage is reported."""

from __future__ import annotations

from connect_worker.models.base import BaseModel, absent
from connect_worker.models.company import Company
from connect_worker.models.contract import Contract
from connect_worker.models.product import Product


class UsageListing(BaseModel):
    """A product on a marketplace, under a contract.

    Examples:
        >>> usage_listing().contract.id
        'CRD-51799-24837-13800'
    """

    contract: Contract = absent
    #: ISO 8601, as text.
    created: str = absent
    product: Product = absent
    provider: Company = absent
    #: ``listed`` for as long as it is on sale.
    status: str = absent
    vendor: Company = absent

    # Added by the API since the 2019 SDK.
    #: A reference to the listing request that is open.
    pending_request: BaseModel | None = absent
    #: ISO 8601, as text.
    updated: str | None = absent

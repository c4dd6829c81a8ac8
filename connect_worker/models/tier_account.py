"""The accounts of a supply chain."""

from __future__ import annotations

from connect_worker.models.base import BaseModel, absent
from connect_worker.models.contact import ContactInfo


class TierAccount(BaseModel):
    """A customer or a reseller.

    Examples:
        >>> purchase().asset.tiers.tier1.name
        'Blue Heron LLC'
    """

    contact_info: ContactInfo = absent
    #: Its id in the commerce system; it may come as a number.
    external_id: str | None = absent
    external_uid: str | None = absent
    name: str = absent

    # Added by the API since the 2019 SDK.
    environment: str | None = absent
    scopes: list[str] | None = absent
    tax_id: str | None = absent
    version: int | None = absent


class TierAccounts(BaseModel):
    """The accounts that stand between the provider and what was bought.

    Examples:
        >>> tiers = purchase().asset.tiers
        >>> tiers.customer.id, tiers.tier1.id
        ('TA-0-1365-0671-4071', 'TA-1-9316-1671-4071')
    """

    customer: TierAccount = absent
    #: The customer's reseller.
    tier1: TierAccount = absent
    #: The reseller's reseller; where there is none Connect sends nothing, null, or an empty object.
    tier2: TierAccount | None = absent

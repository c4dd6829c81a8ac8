"""Agreements and contracts, and the accounts of a supply chain."""

from __future__ import annotations

from datetime import datetime

from connect_worker.models.base import BaseModel, field
from connect_worker.models.common import (
    Activation,
    Company,
    ContactInfo,
    Events,
    Hub,
    Marketplace,
    User,
)


class AgreementStats(BaseModel):
    """Numbers about an agreement.

    Examples:
        >>> AgreementStats.deserialize_json({"contracts": 3}).contracts
        3
    """

    contracts: int | None = field
    versions: int = field


class Agreement(BaseModel):
    """The terms that contracts are made on.

    Examples:
        >>> Agreement.deserialize_json({"id": "AGP-1", "title": "Terms"}).title
        'Terms'
    """

    #: Whether this version is in force.
    active: bool = field
    #: The distribution agreements of a program agreement.
    agreements: list[Agreement] = field
    #: Who made this version.
    author: User | None = field
    created: datetime = field
    #: In Markdown.
    description: str = field
    #: Where its text is.
    link: str = field
    #: Of a distribution agreement.
    marketplace: Marketplace | None = field
    name: str = field
    owner: Company = field
    #: The program agreement of a distribution agreement.
    parent: Agreement | None = field
    stats: AgreementStats | None = field
    title: str = field
    #: ``distribution``, ``program`` or ``service``.
    type: str = field
    #: When anything about it changed last.
    updated: datetime = field
    version: int = field
    #: How many contracts this version has.
    version_contracts: int = field
    version_created: datetime = field


class Contract(BaseModel):
    """A contract between two accounts.

    Examples:
        >>> Contract(id="CRD-1").json
        {'id': 'CRD-1'}
    """

    activation: Activation = field
    agreement: Agreement = field
    created: datetime = field
    creator: User = field
    enrolled: datetime | None = field
    #: The agreement's marketplace.
    marketplace: Marketplace | None = field
    name: str = field
    owner: Company | None = field
    #: The owner's user who signed it.
    signee: User | None = field
    #: ``enrolling``, ``pending``, ``active``, ``terminated`` or ``rejected``.
    status: str = field
    #: As its agreement's: ``distribution``, ``program`` or ``service``.
    type: str = field
    #: When its status changed last.
    updated: datetime = field
    #: The agreement's version.
    version: int = field
    version_created: datetime = field


class TierAccount(BaseModel):
    """A customer or a reseller.

    Examples:
        >>> purchase().asset.tiers.tier1.name
        'Blue Heron LLC'
    """

    contact_info: ContactInfo = field
    #: Its id in the commerce system; it may come as a number.
    external_id: str | None = field
    external_uid: str | None = field
    name: str = field

    # Added by the API since the 2019 SDK.
    environment: str | None = field
    events: Events | None = field
    hub: Hub | None = field
    marketplace: Marketplace | None = field
    scopes: list[str] | None = field
    tax_id: str | None = field
    version: int | None = field


class TierAccounts(BaseModel):
    """The accounts that stand between the provider and what was bought.

    Examples:
        >>> tiers = purchase().asset.tiers
        >>> tiers.customer.id, tiers.tier1.id
        ('TA-0-1365-0671-4071', 'TA-1-9316-1671-4071')
    """

    customer: TierAccount = field
    #: The customer's reseller.
    tier1: TierAccount = field
    #: The reseller's reseller; where there is none Connect sends nothing, null, or an empty object.
    tier2: TierAccount | None = field

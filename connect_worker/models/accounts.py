"""Agreements."""

from __future__ import annotations

from datetime import datetime

from connect_worker.models.base import BaseModel, field
from connect_worker.models.common import Company, ContactInfo, Country, Events, User
from connect_worker.models.templates import Activation

# Hubs: the commerce systems that are connected to the platform.


class HubInstance(BaseModel):
    """An instance of a hub.

    Examples:
        >>> HubInstance.deserialize_json({"id": "7", "type": "OA"}).type
        'OA'
    """

    #: Kind of the commerce system.
    type: str = field


class HubStats(BaseModel):
    """Numbers about a hub.

    Examples:
        >>> HubStats.deserialize_json({"connections": 2, "marketplaces": 1}).connections
        2
    """

    #: Active connections.
    connections: int = field
    marketplaces: int = field


class Hub(BaseModel):
    """A hub.

    Examples:
        >>> Hub.deserialize_json({"id": "HB-1", "name": "Production"}).name
        'Production'
    """

    #: The company that it belongs to.
    company: Company = field
    #: In Markdown.
    description: str | None = field
    events: Events = field
    instance: HubInstance = field
    name: str = field
    stats: HubStats = field


class ExtIdHub(BaseModel):
    """A hub, and the id that something has in it.

    Examples:
        >>> ExtIdHub.deserialize_json({"hub": {"id": "HB-1"}, "external_id": "7"}).external_id
        '7'
    """

    #: The id; it may come as a number.
    external_id: str = field
    hub: Hub = field


# Marketplaces.


class Marketplace(BaseModel):
    """Where products are offered: regions, and the hubs that provision what is ordered there.

    Examples:
        >>> purchase().marketplace.name
        'France and territories'
    """

    #: How many active contracts were signed on it.
    active_contracts: int = field
    countries: list[Country] = field
    #: In Markdown.
    description: str = field
    hubs: list[ExtIdHub] = field
    #: Path of its icon.
    icon: str = field
    #: Unique for an account.
    name: str = field
    #: The provider that it belongs to.
    owner: Company = field
    #: Whether it can be sourced from.
    sourcing: bool = field
    #: Continent: AF, NA, OC, AS, EU or SA.
    zone: str = field


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


# Contracts.


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


# The accounts of a supply chain.


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

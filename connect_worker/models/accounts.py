"""Agreements."""

from __future__ import annotations

from datetime import datetime

from connect_worker.models.base import BaseModel, absent
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


# Marketplaces.


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


class AgreementStats(BaseModel):
    """Numbers about an agreement.

    Examples:
        >>> AgreementStats.deserialize_json({"contracts": 3}).contracts
        3
    """

    contracts: int | None = absent
    versions: int = absent


class Agreement(BaseModel):
    """The terms that contracts are made on.

    Examples:
        >>> Agreement.deserialize_json({"id": "AGP-1", "title": "Terms"}).title
        'Terms'
    """

    #: Whether this version is in force.
    active: bool = absent
    #: The distribution agreements of a program agreement.
    agreements: list[Agreement] = absent
    #: Who made this version.
    author: User | None = absent
    created: datetime = absent
    #: In Markdown.
    description: str = absent
    #: Where its text is.
    link: str = absent
    #: Of a distribution agreement.
    marketplace: Marketplace | None = absent
    name: str = absent
    owner: Company = absent
    #: The program agreement of a distribution agreement.
    parent: Agreement | None = absent
    stats: AgreementStats | None = absent
    title: str = absent
    #: ``distribution``, ``program`` or ``service``.
    type: str = absent
    #: When anything about it changed last.
    updated: datetime = absent
    version: int = absent
    #: How many contracts this version has.
    version_contracts: int = absent
    version_created: datetime = absent


# Contracts.


class Contract(BaseModel):
    """A contract between two accounts.

    Examples:
        >>> Contract(id="CRD-1").json
        {'id': 'CRD-1'}
    """

    activation: Activation = absent
    agreement: Agreement = absent
    created: datetime = absent
    creator: User = absent
    enrolled: datetime | None = absent
    #: The agreement's marketplace.
    marketplace: Marketplace | None = absent
    name: str = absent
    owner: Company | None = absent
    #: The owner's user who signed it.
    signee: User | None = absent
    #: ``enrolling``, ``pending``, ``active``, ``terminated`` or ``rejected``.
    status: str = absent
    #: As its agreement's: ``distribution``, ``program`` or ``service``.
    type: str = absent
    #: When its status changed last.
    updated: datetime = absent
    #: The agreement's version.
    version: int = absent
    version_created: datetime = absent


# The accounts of a supply chain.


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

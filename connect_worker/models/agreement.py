"""Agreements."""

from __future__ import annotations

from datetime import datetime

from connect_worker.models.base import BaseModel, absent
from connect_worker.models.company import Company
from connect_worker.models.marketplace import Marketplace
from connect_worker.models.user import User


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

"""Contracts."""

from __future__ import annotations

from datetime import datetime

from connect_worker.models.activation import Activation
from connect_worker.models.agreement import Agreement
from connect_worker.models.base import BaseModel, absent
from connect_worker.models.company import Company
from connect_worker.models.marketplace import Marketplace
from connect_worker.models.user import User


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

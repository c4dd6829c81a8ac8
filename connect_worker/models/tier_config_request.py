"""Tier config requests: a reseller is to be set up, or its setup to be changed."""

from __future__ import annotations

from datetime import datetime

from connect_worker.models._lookup import first_with
from connect_worker.models.activation import Activation
from connect_worker.models.base import BaseModel, absent, spelled
from connect_worker.models.contract import Contract
from connect_worker.models.event import Events
from connect_worker.models.marketplace import Marketplace
from connect_worker.models.param import Param
from connect_worker.models.product import Product
from connect_worker.models.template import Template
from connect_worker.models.tier_account import TierAccount, TierAccounts
from connect_worker.models.tier_config import TierConfig
from connect_worker.models.user import User


class TierConfigRequest(BaseModel):
    """What has been asked for a tier configuration, and how far it is.

    Examples:
        >>> request = tier_setup()
        >>> request.type, request.get_param_by_id("discount_group").value
        ('setup', 'B')
    """

    account: TierAccount = absent
    #: Only where there are ordering parameters, and while inquiring.
    activation: Activation | None = absent
    #: Who looks after it: an object, its id alone, a blank text or nothing.
    assignee: User | None = spelled(bare="id")
    configuration: TierConfig = absent
    contract: Contract | None = absent
    #: ``test``, ``prod`` or ``preview``.
    environment: str = absent
    events: Events | None = absent
    marketplace: Marketplace | None = absent
    #: They can be changed while it is pending.
    notes: str = absent
    #: They can be changed while it is pending.
    params: list[Param] = absent
    parent_configuration: TierConfig | None = absent
    product: Product = absent
    #: Why it failed.
    reason: str | None = absent
    #: ``tiers_setup``, ``pending``, ``inquiring``, ``approved`` or ``failed``.
    status: str = absent
    #: Only when it is approved.
    template: Template | None = absent
    #: As the customer sees it: 1 is the customer's reseller, 2 that one's.
    tier_level: int = absent
    tiers: TierAccounts | None = absent
    #: ``setup`` or ``update``.
    type: str = absent

    # Added by the API since the 2019 SDK.
    #: When it shall take effect, or did.
    effective_date: datetime | None = absent
    previous_approved_request: BaseModel | None = absent

    def get_param_by_id(self, id_: str) -> Param | None:
        """Give the parameter with this id, or None."""
        return first_with(self.params, id=id_)

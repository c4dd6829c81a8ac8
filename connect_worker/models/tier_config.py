"""Tier configurations: what a vendor knows about a reseller."""

from __future__ import annotations

from connect_worker.config import Config
from connect_worker.models._lookup import first_with
from connect_worker.models._remote import client_for
from connect_worker.models.base import BaseModel, absent
from connect_worker.models.configuration import Configuration
from connect_worker.models.connection import Connection
from connect_worker.models.contract import Contract
from connect_worker.models.event import Events
from connect_worker.models.marketplace import Marketplace
from connect_worker.models.param import Param
from connect_worker.models.product import Product
from connect_worker.models.template import Template
from connect_worker.models.tier_account import TierAccount


class TierConfig(BaseModel):
    """The setup of one account for one product.

    Examples:
        >>> config = tier_setup().configuration
        >>> config.account.name, config.tier_level
        ('Blue Heron LLC', 1)
    """

    account: TierAccount = absent
    configuration: Configuration = absent
    connection: Connection = absent
    contract: Contract = absent
    events: Events | None = absent
    marketplace: Marketplace = absent
    name: str = absent
    #: A reference to the tier config request that is open.
    open_request: BaseModel | None = absent
    params: list[Param] = absent
    product: Product = absent
    status: str = absent
    template: Template = absent
    #: As the customer sees it: 1 is the customer's reseller, 2 that one's.
    tier_level: int = absent

    @classmethod
    def get(
        cls, account_id: str, product_id: str, config: Config | None = None
    ) -> TierConfig | None:
        """Fetch the setup of an account for a product, or None if it has not been approved yet.

        The call is GET ``tier/config-requests`` for approved requests, whose rows hold it.

        Args:
            account_id: Id of the account (``TA-…``).
            product_id: Id of the product.
            config: The account to ask as; None means the one in force.

        Raises:
            Message: Whatever the client raises.
        """
        params = {
            "status": "approved",
            "configuration.product.id": product_id,
            "configuration.account.id": account_id,
        }
        rows = client_for(config).get("tier/config-requests", params)
        found = rows[0].get("configuration") if rows else None
        return cls.deserialize_json(found) if found else None

    def get_param_by_id(self, id_: str) -> Param | None:
        """Give the parameter with this id, or None."""
        return first_with(self.params, id=id_)

"""Assets: what has been bought."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from connect_worker.config import Config
from connect_worker.models._lookup import first_with
from connect_worker.models._remote import client_for
from connect_worker.models.base import BaseModel, absent
from connect_worker.models.configuration import Configuration
from connect_worker.models.connection import Connection
from connect_worker.models.contract import Contract
from connect_worker.models.event import Events
from connect_worker.models.item import Item
from connect_worker.models.marketplace import Marketplace
from connect_worker.models.param import Param
from connect_worker.models.product import Product
from connect_worker.models.template import Template
from connect_worker.models.tier_account import TierAccounts

if TYPE_CHECKING:
    from connect_worker.models.fulfillment import Fulfillment


class Asset(BaseModel):
    """A subscription or a one-time purchase: items, quantities, parameters, and who is concerned.

    It is made by a purchase request and altered by the later ones.

    Examples:
        >>> asset = purchase(params={"email": "ada@customer.example"}).asset
        >>> asset.get_param_by_id("email").value
        'ada@customer.example'
        >>> asset.get_item_by_mpn("TEAM-USERS").display_name
        'Team users'
    """

    configuration: Configuration = absent
    connection: Connection = absent
    contract: Contract = absent
    events: Events = absent
    #: Its id in the commerce system; it may come as a number.
    external_id: str = absent
    external_name: str | None = absent
    external_uid: str | None = absent
    items: list[Item] = absent
    marketplace: Marketplace = absent
    params: list[Param] = absent
    product: Product = absent
    #: ``new``; ``processing`` until the purchase is decided; then ``active`` or ``rejected``;
    #: later ``suspended`` or ``terminated``.
    status: str = absent
    tiers: TierAccounts = absent

    # Added by the API since the 2019 SDK.
    #: A reference to the request that is open.
    pending_request: BaseModel | None = absent
    renewal_expiration_date: datetime | None = absent
    template: Template | None = absent

    def get_param_by_id(self, param_id: str) -> Param | None:
        """Give the parameter with this id, or None."""
        return first_with(self.params, id=param_id)

    def get_item_by_id(self, item_id: str) -> Item | None:
        """Give the item with this id, or None."""
        return first_with(self.items, id=item_id)

    def get_item_by_mpn(self, mpn: str) -> Item | None:
        """Give the item with this manufacturer's part number, or None."""
        return first_with(self.items, mpn=mpn)

    def get_item_by_global_id(self, global_id: str) -> Item | None:
        """Give the item with this global id, or None."""
        return first_with(self.items, global_id=global_id)

    def get_requests(self, config: Config | None = None) -> list[Fulfillment]:
        """Fetch all requests of this asset (GET ``assets/{id}/requests``).

        Args:
            config: The account to ask; None means the one in force.

        Raises:
            Message: Whatever the client raises.
        """
        # Imported here: a request is declared by its asset.
        from connect_worker.models.fulfillment import Fulfillment

        rows = client_for(config).get_all(f"assets/{self.id}/requests")
        return [Fulfillment.deserialize_json(row) for row in rows]

"""Fulfillment requests: a purchase, a change, a renewal, a suspension, a cancellation."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from connect_worker.config import Config
from connect_worker.models._remote import client_for
from connect_worker.models.asset import Asset
from connect_worker.models.base import BaseModel, absent, spelled
from connect_worker.models.contract import Contract
from connect_worker.models.conversation import Conversation
from connect_worker.models.item import Item
from connect_worker.models.marketplace import Marketplace
from connect_worker.models.template import Template
from connect_worker.models.user import User


class Fulfillment(BaseModel):
    """What has been asked for an asset, and how far it is.

    Examples:
        >>> request = purchase(items={"TEAM-USERS": 10})
        >>> request.type, request.status
        ('purchase', 'pending')
        >>> [item.quantity for item in request.new_items]
        [10]
    """

    #: What the customer was shown on approval, in Markdown.
    activation_key: str = absent
    asset: Asset = absent
    #: Who looks after it: an object, its id alone, a blank text or nothing.
    assignee: User | None = spelled(bare="id")
    contract: Contract = absent
    created: datetime = absent
    marketplace: Marketplace = absent
    note: str = absent
    #: Where the parameters can be corrected by hand.
    params_form_url: str = absent
    #: Why it failed.
    reason: str = absent
    #: ``pending``, ``inquiring``, ``failed`` or ``approved``. From pending to any other; from
    #: inquiring back to pending, too; the others are final.
    status: str = absent
    #: ``purchase``, ``change``, ``renew``, ``suspend``, ``resume`` or ``cancel``.
    type: str = absent
    #: Any change moves it, the worker's own included.
    updated: datetime = absent

    # Added by the API since the 2019 SDK.
    #: Whether the inquiry has been answered.
    answered: bool | None = absent
    #: When it shall take effect, or did.
    effective_date: datetime | None = absent
    previous_approved_request: BaseModel | None = absent
    template: Template | None = absent

    @property
    def new_items(self) -> list[Item]:
        """The items that were not there before the request."""
        return self._items_where(lambda before, now: not before and bool(now))

    @property
    def changed_items(self) -> list[Item]:
        """The items that were there before, and stay; their quantity may be the same."""
        return self._items_where(lambda before, now: bool(before and now))

    @property
    def removed_items(self) -> list[Item]:
        """The items that were there before, and don't stay."""
        return self._items_where(lambda before, now: bool(before) and not now)

    def needs_migration(self, migration_key: str = "migration_info") -> bool:
        """Say whether the request carries data of a legacy product for the migration service.

        A processor skips such a request: that service takes care of it.

        Args:
            migration_key: Id of the parameter with the data.
        """
        param = self.asset.get_param_by_id(migration_key)
        return param is not None and bool(param.value)

    def get_conversation(self, config: Config | None = None) -> Conversation | None:
        """Fetch the conversation about this request with its messages, or None if there is none.

        Two calls: GET ``conversations?instance_id=…`` and GET ``conversations/{id}``.

        Args:
            config: The account to ask; None means the one in force.

        Raises:
            Message: Whatever the client raises.
        """
        client = client_for(config)
        rows = client.get("conversations", {"instance_id": self.id})
        name = rows[0].get("id") if rows else None
        if not name:
            return None
        return Conversation.deserialize_json(client.get(f"conversations/{name}"))

    def _items_where(
        self, wanted: Callable[[int | float | None, int | float | None], bool]
    ) -> list[Item]:
        # Unlimited reads -1, which is a quantity like any other here.
        items = self.asset.items or []
        return [item for item in items if wanted(item.old_quantity, item.quantity)]


#: The name that the API and later SDKs have for it.
AssetRequest = Fulfillment

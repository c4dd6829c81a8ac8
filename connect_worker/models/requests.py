"""Assets, tier configurations, the requests about them, and their conversations."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from connect_worker.api.client import client_for
from connect_worker.api.responses import conversations_in, messages_of
from connect_worker.config import Config
from connect_worker.models.accounts import Contract, TierAccount, TierAccounts
from connect_worker.models.base import BaseModel, alias, field, first_with
from connect_worker.models.common import (
    Activation,
    Company,
    ContactInfo,
    Events,
    Hub,
    Marketplace,
    Param,
    Template,
    User,
)
from connect_worker.models.products import Item, Product


class Configuration(BaseModel):
    """The parameters that product, marketplace or item were configured with.

    It is part of assets, fulfillment requests, tier configurations and their requests.

    Examples:
        >>> params = [{"id": "region", "value": "eu"}]
        >>> Configuration.deserialize_json({"params": params}).get_param_by_id("region").value
        'eu'
    """

    params: list[Param] = field

    def get_param_by_id(self, param_id: str) -> Param | None:
        """Return the parameter with this id, or None."""
        return first_with(self.params, id=param_id)


class Connection(BaseModel):
    """The way on which a provider orders one product through one hub.

    Examples:
        >>> purchase().asset.connection.provider.name
        'Northwind Distribution'
    """

    hub: Hub = field
    product: Product = field
    provider: Company = field
    #: ``production``, ``test`` or ``preview``.
    type: str = field
    vendor: Company = field

    # Added by the API since the 2019 SDK.
    created_at: datetime | None = field
    status: str | None = field


class TierConfig(BaseModel):
    """The setup of one account, such as a reseller, for one product.

    Examples:
        >>> config = tier_setup().configuration
        >>> config.account.name, config.tier_level
        ('Blue Heron LLC', 1)
    """

    account: TierAccount = field
    configuration: Configuration = field
    connection: Connection = field
    contract: Contract = field
    events: Events | None = field
    marketplace: Marketplace = field
    name: str = field
    #: A reference to the tier config request that is open.
    open_request: BaseModel | None = field
    params: list[Param] = field
    product: Product = field
    status: str = field
    template: Template = field
    #: As the customer sees it: 1 is the customer's reseller, 2 that one's.
    tier_level: int = field

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
        configuration = rows[0].get("configuration") if rows else None
        return cls.deserialize_json(configuration) if configuration else None

    def get_param_by_id(self, id_: str) -> Param | None:
        """Return the parameter with this id, or None."""
        return first_with(self.params, id=id_)


class TierConfigRequest(BaseModel):
    """What has been asked for a tier configuration, and how far it is.

    Examples:
        >>> request = tier_setup()
        >>> request.type, request.get_param_by_id("discount_group").value
        ('setup', 'B')
    """

    account: TierAccount = field
    #: Only where there are ordering parameters, and while inquiring.
    activation: Activation | None = field
    #: Who looks after it: an object, its id alone, a blank text or nothing.
    assignee: User | None = alias(bare="id")
    configuration: TierConfig = field
    contract: Contract | None = field
    #: ``test``, ``prod`` or ``preview``.
    environment: str = field
    events: Events | None = field
    marketplace: Marketplace | None = field
    #: They can be changed while it is pending.
    notes: str = field
    #: They can be changed while it is pending.
    params: list[Param] = field
    parent_configuration: TierConfig | None = field
    product: Product = field
    #: Why it failed.
    reason: str | None = field
    #: ``tiers_setup``, ``pending``, ``inquiring``, ``approved`` or ``failed``.
    status: str = field
    #: Only when it is approved.
    template: Template | None = field
    #: As the customer sees it: 1 is the customer's reseller, 2 that one's.
    tier_level: int = field
    tiers: TierAccounts | None = field
    #: ``setup`` or ``update``.
    type: str = field

    # Added by the API since the 2019 SDK.
    #: When it shall take effect, or did.
    effective_date: datetime | None = field
    previous_approved_request: BaseModel | None = field

    def get_param_by_id(self, id_: str) -> Param | None:
        """Return the parameter with this id, or None."""
        return first_with(self.params, id=id_)


class TierAccountRequest(BaseModel):
    """A change of a customer's or reseller's data that waits for the vendor; not in the 2019 SDK.

    Examples:
        >>> document = {"id": "TAR-1", "account": {"id": "TA-1"}, "status": "pending"}
        >>> TierAccountRequest.deserialize_json(document).account.id
        'TA-1'
    """

    account: TierAccount = field
    contact_info: ContactInfo | None = field
    events: Events = field
    #: Its id in the commerce system; it may come as a number.
    external_id: str | None = field
    external_uid: str | None = field
    product: Product = field
    provider: Company = field
    #: Why it was ignored.
    reason: str | None = field
    #: ``pending``, ``accepted``, ``ignored`` or ``unsupported``.
    status: str = field
    #: ``update``.
    type: str = field
    vendor: Company = field


class ConversationMessage(BaseModel):
    """One message of a conversation.

    Examples:
        >>> ConversationMessage.deserialize_json({"text": "Hello"}).text
        'Hello'
    """

    #: Id of the conversation.
    conversation: str = field
    created: datetime = field
    creator: User = field
    text: str = field

    # Added by the API since the 2019 SDK.
    account: Company = field
    events: Events = field
    type: str = field


class Conversation(BaseModel):
    """What people and programs wrote about an object.

    Examples:
        >>> talk = Conversation.deserialize_json({"id": "CO-1", "messages": [{"text": "Hello"}]})
        >>> [message.text for message in talk.messages]
        ['Hello']
    """

    created: datetime = field
    creator: User = field
    #: Id of the object.
    instance_id: str = field
    messages: list[ConversationMessage] = field
    topic: str = field

    # Added by the API since the 2019 SDK.
    accounts: list[Company] = field
    events: Events = field
    #: ``open`` or ``closed``.
    status: str = field
    type: str = field

    def add_message(self, message: str, config: Config | None = None) -> ConversationMessage:
        """Add a message (POST ``conversations/{id}/messages``) and give it as Connect has it.

        Args:
            message: Its text.
            config: The account to write as; None means the one in force.

        Raises:
            TypeError: The answer can't be loaded.
            Message: Whatever the client raises.
        """
        row = client_for(config).post(f"conversations/{self.id}/messages", {"text": message})
        return ConversationMessage.deserialize_json(row)


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

    configuration: Configuration = field
    connection: Connection = field
    contract: Contract = field
    events: Events = field
    #: Its id in the commerce system; it may come as a number.
    external_id: str = field
    external_name: str | None = field
    external_uid: str | None = field
    items: list[Item] = field
    marketplace: Marketplace = field
    params: list[Param] = field
    product: Product = field
    #: ``new``; ``processing`` until the purchase is decided; then ``active`` or ``rejected``;
    #: later ``suspended`` or ``terminated``.
    status: str = field
    tiers: TierAccounts = field

    # Added by the API since the 2019 SDK.
    #: A reference to the request that is open.
    pending_request: BaseModel | None = field
    renewal_expiration_date: datetime | None = field
    template: Template | None = field

    def get_param_by_id(self, param_id: str) -> Param | None:
        """Return the parameter with this id, or None."""
        return first_with(self.params, id=param_id)

    def get_item_by_id(self, item_id: str) -> Item | None:
        """Return the item with this id, or None."""
        return first_with(self.items, id=item_id)

    def get_item_by_mpn(self, mpn: str) -> Item | None:
        """Return the item with this manufacturer's part number, or None."""
        return first_with(self.items, mpn=mpn)

    def get_item_by_global_id(self, global_id: str) -> Item | None:
        """Return the item with this global id, or None."""
        return first_with(self.items, global_id=global_id)

    def get_requests(self, config: Config | None = None) -> list[Fulfillment]:
        """Fetch all requests of this asset (GET ``assets/{id}/requests``).

        Args:
            config: The account to ask; None means the one in force.

        Raises:
            Message: Whatever the client raises.
        """
        rows = client_for(config).get_all(f"assets/{self.id}/requests")
        return [Fulfillment.deserialize_json(row) for row in rows]


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
    activation_key: str = field
    asset: Asset = field
    #: Who looks after it: an object, its id alone, a blank text or nothing.
    assignee: User | None = alias(bare="id")
    contract: Contract = field
    created: datetime = field
    marketplace: Marketplace = field
    note: str = field
    #: Where the parameters can be corrected by hand.
    params_form_url: str = field
    #: Why it failed.
    reason: str = field
    #: ``pending``, ``inquiring``, ``failed`` or ``approved``. From pending to any other; from
    #: inquiring back to pending, too; the others are final.
    status: str = field
    #: ``purchase``, ``change``, ``renew``, ``suspend``, ``resume`` or ``cancel``.
    type: str = field
    #: Any change moves it, the worker's own included.
    updated: datetime = field

    # Added by the API since the 2019 SDK.
    #: Whether the inquiry has been answered.
    answered: bool | None = field
    #: When it shall take effect, or did.
    effective_date: datetime | None = field
    previous_approved_request: BaseModel | None = field
    template: Template | None = field

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
        """Whether the request carries data of a legacy product for the migration service.

        A processor skips such a request: that service takes care of it.

        Args:
            migration_key: Id of the parameter with the data.
        """
        param = self.asset.get_param_by_id(migration_key)
        return param is not None and bool(param.value)

    def get_conversation(self, config: Config | None = None) -> Conversation | None:
        """Fetch the conversation about this request with its messages, or None if there is none.

        It is the open one if there are several. Two calls: GET ``conversations?instance_id=…`` and
        GET ``conversations/{id}/messages``.

        Args:
            config: The account to ask; None means the one in force.

        Raises:
            Message: Whatever the client raises.
        """
        client = client_for(config)
        rows = conversations_in(client.get("conversations", {"instance_id": self.id}))
        if not rows:
            return None
        messages = list(messages_of(client, rows[0]["id"]))
        return Conversation.deserialize_json({**rows[0], "messages": messages})

    def _items_where(
        self, wanted: Callable[[int | float | None, int | float | None], bool]
    ) -> list[Item]:
        # Unlimited reads -1, which is a quantity like any other here.
        items = self.asset.items or []
        return [item for item in items if wanted(item.old_quantity, item.quantity)]


#: The name that the API and later SDKs have for it.
AssetRequest = Fulfillment

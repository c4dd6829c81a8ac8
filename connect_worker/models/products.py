"""Products."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from connect_worker.api.client import client_for
from connect_worker.config import Config
from connect_worker.models.base import BaseModel, alias, field, first_with
from connect_worker.models.common import Company, Constraints, Events, Marketplace, Param, Template
from connect_worker.rql import Filters


class Renewal(BaseModel):
    """For how long an item is renewed.

    Examples:
        >>> Renewal.deserialize_json({"period_delta": 1, "period_uom": "monthly"}).period_uom
        'monthly'
    """

    #: When the renewed period begins; ``from`` in the document.
    from_: datetime = alias("from")
    #: When it ends.
    to: datetime = field
    #: How many units it lasts.
    period_delta: int = field
    #: The unit: year, month, day or hour.
    period_uom: str = field


class Unit(BaseModel):
    """What an item is counted in; not in the 2019 SDK.

    Examples:
        >>> Unit.deserialize_json({"title": "Licenses", "unit": "lic"}).title
        'Licenses'
    """

    #: What people see.
    title: str = field
    #: Its code.
    unit: str = field


class Commitment(BaseModel):
    """For how long an item is billed at least; not in the 2019 SDK.

    Examples:
        >>> Commitment.deserialize_json({"multiplier": "billing_period", "count": 12}).count
        12
    """

    #: How many.
    count: int = field
    #: Of what, such as ``billing_period``.
    multiplier: str = field


class UI(BaseModel):
    """How an item is shown; not in the 2019 SDK.

    Examples:
        >>> UI.deserialize_json({"visibility": True}).visibility
        True
    """

    visibility: bool = field


class Item(BaseModel):
    """An item of a product that can be bought, or of an asset that was bought.

    Examples:
        >>> request = change(items={"TEAM-USERS": {"old_quantity": "5", "quantity": "8"}})
        >>> [item] = request.asset.items
        >>> item.mpn, item.old_quantity, item.quantity
        ('TEAM-USERS', 5, 8)
    """

    display_name: str = field
    global_id: str = field
    item_type: str = field
    #: The manufacturer's part number.
    mpn: str = field
    name: str = field
    #: What `quantity` was before the request.
    old_quantity: int | float | None = field
    params: list[Param] = field
    period: str = field
    #: How many; -1 is unlimited. Connect sends texts, which the document keeps.
    quantity: int | float = field
    #: Only in renewal requests.
    renewal: Renewal | None = field
    type: str = field

    # Added by the API since the 2019 SDK.
    commitment: Commitment | None = field
    ui: UI | None = field
    #: Connect sends an object, or the code alone.
    unit: Unit | None = alias(bare="unit")

    def get_param_by_id(self, param_id: str) -> Param | None:
        """Return the parameter with this id, or None."""
        return first_with(self.params, id=param_id)


class ProductConfiguration(BaseModel):
    """What a product supports.

    Examples:
        >>> supported = {"suspend_resume_supported": True}
        >>> ProductConfiguration.deserialize_json(supported).suspend_resume_supported
        True
    """

    requires_reseller_information: bool = field
    suspend_resume_supported: bool = field


class Document(BaseModel):
    """A document that comes with a product.

    Examples:
        >>> Document.deserialize_json({"title": "Manual", "url": "https://x.example"}).title
        'Manual'
    """

    title: str = field
    url: str = field


class DownloadLink(BaseModel):
    """A download that comes with a product.

    Examples:
        >>> DownloadLink.deserialize_json({"title": "Setup", "url": "https://x.example"}).url
        'https://x.example'
    """

    title: str = field
    url: str = field
    #: ``admin`` or ``user``.
    visible_for: str = field


class CustomerUiSettings(BaseModel):
    """What customers see of a product.

    Examples:
        >>> settings = {"getting_started": "Open the mail."}
        >>> CustomerUiSettings.deserialize_json(settings).getting_started
        'Open the mail.'
    """

    description: str = field
    documents: list[Document] = field
    download_links: list[DownloadLink] = field
    getting_started: str = field


class ProductFamily(BaseModel):
    """A family of products.

    Examples:
        >>> ProductFamily.deserialize_json({"name": "Collaboration"}).name
        'Collaboration'
    """

    name: str = field


class ProductCategory(BaseModel):
    """A category of products.

    Examples:
        >>> ProductCategory.deserialize_json({"name": "Cloud Services"}).name
        'Cloud Services'
    """

    children: list[ProductCategory] | None = field
    family: ProductFamily | None = field
    name: str = field
    parent: ProductCategory | None = field


class ProductStatsInfo(BaseModel):
    """How many contracts or agreements of either kind a product has.

    Examples:
        >>> ProductStatsInfo.deserialize_json({"distribution": 1, "sourcing": 0}).distribution
        1
    """

    distribution: int = field
    sourcing: int = field


class ProductStats(BaseModel):
    """Numbers about a product; they depend on who asks.

    Examples:
        >>> ProductStats.deserialize_json({"listings": 4}).listings
        4
    """

    agreements: ProductStatsInfo = field
    contracts: ProductStatsInfo = field
    #: How often it is listed.
    listing: int = field


class ProductConfigurationParameter(BaseModel):
    """The value of a configuration parameter, for a product, marketplace or item.

    Examples:
        >>> document = {"value": "eu-west", "parameter": {"id": "region"}}
        >>> ProductConfigurationParameter.deserialize_json(document).parameter.id
        'region'
    """

    constraints: Constraints = field
    events: Events = field
    item: Item | None = field
    marketplace: Marketplace | None = field
    parameter: Param = field
    value: str | None = field

    # Added by the API since the 2019 SDK.
    structured_value: dict[str, Any] | None = field


class Product(BaseModel):
    """A product, in its latest published version.

    Examples:
        >>> purchase().asset.product.name
        'Fallball Awesome'
    """

    category: ProductCategory | None = field
    configurations: ProductConfiguration = field
    customer_ui_settings: CustomerUiSettings = field
    detailed_description: str = field
    #: Path of its icon.
    icon: str = field
    #: Whether this is the latest version.
    latest: bool | None = field
    name: str = field
    owner: Company | None = field
    published_at: datetime = field
    short_description: str = field
    stats: ProductStats = field
    version: int = field

    # Added by the API since the 2019 SDK.
    status: str = field

    def get_templates(self, config: Config | None = None) -> list[Template]:
        """Fetch all templates of the product (GET ``products/{id}/templates``).

        Args:
            config: The account to ask; None means the one in force.

        Raises:
            Message: Whatever the client raises.
        """
        rows = client_for(config).get_all(f"products/{self.id}/templates")
        return [Template.deserialize_json(row) for row in rows]

    def get_product_configurations(
        self, filters: Filters = None, config: Config | None = None
    ) -> list[ProductConfigurationParameter]:
        """Fetch the values of its configuration parameters (GET ``products/{id}/configurations``).

        Args:
            filters: By ``parameter.id``, ``parameter.title``, ``parameter.scope``,
                ``marketplace.id``, ``marketplace.name``, ``item.id``, ``item.name`` or ``value``; a
                mapping, a `connect_worker.rql.Query` or RQL text.
            config: The account to ask; None means the one in force.

        Raises:
            Message: Whatever the client raises.
        """
        path = f"products/{self.id}/configurations"
        rows = client_for(config).get_list(path, filters)
        return [ProductConfigurationParameter.deserialize_json(row) for row in rows]

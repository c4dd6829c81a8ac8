"""Products."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from connect_worker.config import Config
from connect_worker.models._remote import client_for
from connect_worker.models.base import BaseModel, absent
from connect_worker.models.company import Company
from connect_worker.models.constraints import Constraints
from connect_worker.models.event import Events
from connect_worker.models.item import Item
from connect_worker.models.marketplace import Marketplace
from connect_worker.models.param import Param
from connect_worker.models.template import Template

if TYPE_CHECKING:
    from connect_worker.api.rql import Filters


class ProductConfiguration(BaseModel):
    """What a product supports.

    Examples:
        >>> supported = {"suspend_resume_supported": True}
        >>> ProductConfiguration.deserialize_json(supported).suspend_resume_supported
        True
    """

    requires_reseller_information: bool = absent
    suspend_resume_supported: bool = absent


class Document(BaseModel):
    """A document that comes with a product.

    Examples:
        >>> Document.deserialize_json({"title": "Manual", "url": "https://x.example"}).title
        'Manual'
    """

    title: str = absent
    url: str = absent


class DownloadLink(BaseModel):
    """A download that comes with a product.

    Examples:
        >>> DownloadLink.deserialize_json({"title": "Setup", "url": "https://x.example"}).url
        'https://x.example'
    """

    title: str = absent
    url: str = absent
    #: ``admin`` or ``user``.
    visible_for: str = absent


class CustomerUiSettings(BaseModel):
    """What customers see of a product.

    Examples:
        >>> settings = {"getting_started": "Open the mail."}
        >>> CustomerUiSettings.deserialize_json(settings).getting_started
        'Open the mail.'
    """

    description: str = absent
    documents: list[Document] = absent
    download_links: list[DownloadLink] = absent
    getting_started: str = absent


class ProductFamily(BaseModel):
    """A family of products.

    Examples:
        >>> ProductFamily.deserialize_json({"name": "Collaboration"}).name
        'Collaboration'
    """

    name: str = absent


class ProductCategory(BaseModel):
    """A category of products.

    Examples:
        >>> ProductCategory.deserialize_json({"name": "Cloud Services"}).name
        'Cloud Services'
    """

    children: list[ProductCategory] | None = absent
    family: ProductFamily | None = absent
    name: str = absent
    parent: ProductCategory | None = absent


class ProductStatsInfo(BaseModel):
    """How many contracts or agreements of either kind a product has.

    Examples:
        >>> ProductStatsInfo.deserialize_json({"distribution": 1, "sourcing": 0}).distribution
        1
    """

    distribution: int = absent
    sourcing: int = absent


class ProductStats(BaseModel):
    """Numbers about a product; they depend on who asks.

    Examples:
        >>> ProductStats.deserialize_json({"listings": 4}).listings
        4
    """

    agreements: ProductStatsInfo = absent
    contracts: ProductStatsInfo = absent
    #: How often it is listed.
    listing: int = absent


class ProductConfigurationParameter(BaseModel):
    """The value of a configuration parameter, for a product, marketplace or item.

    Examples:
        >>> found = {"value": "eu-west", "parameter": {"id": "region"}}
        >>> ProductConfigurationParameter.deserialize_json(found).parameter.id
        'region'
    """

    constraints: Constraints = absent
    events: Events = absent
    item: Item | None = absent
    marketplace: Marketplace | None = absent
    parameter: Param = absent
    value: str | None = absent

    # Added by the API since the 2019 SDK.
    structured_value: dict[str, Any] | None = absent


class Product(BaseModel):
    """A product, in its latest published version.

    Examples:
        >>> purchase().asset.product.name
        'Fallball Awesome'
    """

    category: ProductCategory | None = absent
    configurations: ProductConfiguration = absent
    customer_ui_settings: CustomerUiSettings = absent
    detailed_description: str = absent
    #: Path of its icon.
    icon: str = absent
    #: Whether this is the latest version.
    latest: bool | None = absent
    name: str = absent
    owner: Company | None = absent
    published_at: datetime = absent
    short_description: str = absent
    stats: ProductStats = absent
    version: int = absent

    # Added by the API since the 2019 SDK.
    status: str = absent

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
        # Imported here: reading a document needs no HTTP.
        from connect_worker.api import to_query

        path = f"products/{self.id}/configurations"
        rows = client_for(config).get_all(path, to_query(filters))
        return [ProductConfigurationParameter.deserialize_json(row) for row in rows]

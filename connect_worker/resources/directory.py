"""Connect's collections: lookups of assets, products and the like, and templates.

`BaseResource` and its subclasses, here and beside the automations, are those of the SDK's releases
18 to 22: each lists, gets, creates and changes the objects of one collection.
"""

from __future__ import annotations

import builtins
import copy
import json as json_module
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar
from urllib.parse import quote

from connect_worker.api.client import client_for
from connect_worker.config import Config
from connect_worker.exceptions import NotFound
from connect_worker.models.accounts import TierAccount
from connect_worker.models.base import BaseModel
from connect_worker.models.common import (
    ActivationTemplateResponse,
    ActivationTileResponse,
    Marketplace,
)
from connect_worker.models.products import Item, Product
from connect_worker.models.requests import Asset, TierConfig
from connect_worker.models.usage import BillingRequest, RecurringAsset
from connect_worker.resources.automation import require_imported
from connect_worker.rql import Filters, Query

M = TypeVar("M", bound=BaseModel)


class Directory:
    """Lists and gets several types of objects.

    Filters are a mapping, a `connect_worker.rql.Query` or RQL text, which is sent as it is. A list
    has all pages; `limit` is how many objects it has at most, `offset` how many it leaves out.

    Args:
        config: The account; None means the configuration in force.

    Examples:
        >>> class Counts(FulfillmentAutomation):
        ...     def process_request(self, request: Fulfillment) -> ActivationTileResponse:
        ...         filters = {"product.id": request.asset.product.id, "status": "active"}
        ...         assets = Directory(self.config).list_assets(filters)
        ...         return ActivationTileResponse(f"You are number {len(assets) + 1}.")
        >>> run(Counts, purchase(), answers={"assets": [{"id": "AS-1"}]}).outcome.tile
        'You are number 2.'
    """

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config.get_instance()

    def list_assets(self, filters: Filters = None) -> list[Asset]:
        """Return the assets that match; of the configured products unless named."""
        return self._list(Asset, "assets", self._of_products(filters, "product.id"))

    def get_asset(self, asset_id: str) -> Asset | None:
        """Return an asset, or None when there is no such asset."""
        return self._get(Asset, "assets", asset_id)

    def list_products(self, filters: Filters = None) -> list[Product]:
        """Return the products that match; all of the account's when nothing is asked."""
        return self._list(Product, "products", filters)

    def get_product(self, product_id: str) -> Product | None:
        """Return a product, or None when there is no such product."""
        return self._get(Product, "products", product_id)

    def list_tier_configs(self, filters: Filters = None) -> list[TierConfig]:
        """Return the tier configurations that match; products as for assets."""
        return self._list(TierConfig, "tier/configs", self._of_products(filters, "product.id"))

    def get_tier_config(self, tier_config_id: str) -> TierConfig | None:
        """Return a tier configuration, or None when there is no such one."""
        return self._get(TierConfig, "tier/configs", tier_config_id)

    def list_marketplaces(self, filters: Filters = None) -> list[Marketplace]:
        """Return the marketplaces that match."""
        return self._list(Marketplace, "marketplaces", filters)

    def get_marketplace(self, marketplace_id: str) -> Marketplace | None:
        """Return a marketplace, or None when there is no such marketplace."""
        return self._get(Marketplace, "marketplaces", marketplace_id)

    def search_tier_accounts(self, filters: Filters = None) -> list[TierAccount]:
        """Return the customers and resellers that match."""
        return self._list(TierAccount, "tier/accounts", filters)

    def get_tier_account(self, pk: str) -> TierAccount | None:
        """Return a customer or reseller, or None when there is no such account."""
        return self._get(TierAccount, "tier/accounts", pk)

    def _of_products(self, filters: Filters, field: str) -> Filters:
        """Add the configured products, unless the filters name products or are RQL text."""
        products = self.config.products
        if not products:
            return filters
        if isinstance(filters, Query):
            return filters if filters.asks_for(field) else copy.copy(filters).in_(field, products)
        if filters is not None and not isinstance(filters, Mapping):
            return filters
        by_field = dict(filters or {})
        names = {name.replace("__", ".").removesuffix(".in") for name in by_field}
        return by_field if field in names else {**by_field, field: products}

    def _list(self, model: type[M], path: str, filters: Filters) -> list[M]:
        rows = client_for(self.config).get_list(path, filters)
        return [model.deserialize_json(row) for row in rows]

    def _get(self, model: type[M], path: str, pk: str) -> M | None:
        if not pk:
            # The path would be the collection's.
            return None
        try:
            answer = client_for(self.config).get(f"{path}/{quote(pk, safe='')}")
            instance: M = model.deserialize_json(answer)
        except NotFound:
            return None
        return instance


class TemplateResource:
    """Gives approvals made of templates.

    Args:
        config: The account; None means the configuration in force.

    Examples:
        >>> class Purchases(FulfillmentAutomation):
        ...     def process_request(self, request: Fulfillment) -> ActivationTileResponse:
        ...         return TemplateResource(self.config).render("TL-497-535-242", request.id)
        >>> run(Purchases, purchase()).outcome.tile.splitlines()[0]
        '# Fallball Awesome'
    """

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config.get_instance()

    def get(self, pk: str) -> ActivationTemplateResponse:
        """Return the approval with a template; as in the 2019 SDK, no call to Connect is made.

        Args:
            pk: The template's id, `TL-…`.
        """
        return ActivationTemplateResponse(pk)

    def list(self, product_id: str) -> Any:
        """Return a product's templates for the approval of orders, as Connect has them."""
        path = f"products/{quote(product_id, safe='')}/templates"
        query = {"scope": "asset", "type": "fulfillment"}
        return builtins.list(client_for(self.config).get_all(path, query))

    def render(self, pk: str, request_id: str) -> ActivationTileResponse:
        """Return the approval with a tile: the template, rendered by Connect for a request.

        Args:
            pk: The template's id, `TL-…`.
            request_id: The request's id, `PR-…`.

        Raises:
            ValueError: One of the ids is blank; the 2019 SDK raised it too.
            ApiError: Connect refused.
        """
        if not (pk and request_id):
            raise ValueError("Invalid ids for render template")
        path = f"templates/{pk}/render"
        return ActivationTileResponse(
            client_for(self.config).get_text(path, {"request_id": request_id})
        )


def path_of(*names: str) -> str:
    """Return the path that consists of ids and words.

    Raises:
        ValueError: One is blank, so the path would be another object's. Its text is the SDK's, as
            code of its users may compare it.
    """
    if not all(names):
        raise ValueError("Invalid ID")
    return "/".join(quote(name, safe="") for name in names)


class ApiClient:
    """Calls below one path of Connect's API; not in the 2019 SDK's reference.

    Each method sends one call and returns the text and the status of the answer.

    Args:
        config: The account; None means the configuration in force.
        base_path: The path, such as ``requests``.
    """

    def __init__(self, config: Config | None, base_path: str) -> None:
        self.config = config or Config.get_instance()
        self.base_path = base_path

    def get(self, path: str = "", params: Mapping[str, str] | None = None) -> tuple[str, int]:
        """GET what is at the path."""
        return client_for(self.config).request("GET", self._path(path), params=params)

    def post(self, path: str = "", json: Any = None) -> tuple[str, int]:
        """POST a document once."""
        return self._change("POST", path, json)

    def put(self, path: str = "", json: Any = None) -> tuple[str, int]:
        """PUT a document once."""
        return self._change("PUT", path, json)

    def delete(self, path: str = "") -> tuple[str, int]:
        """DELETE what is at the path, once."""
        return self._change("DELETE", path, None)

    def _change(self, method: str, path: str, json: Any) -> tuple[str, int]:
        require_imported()
        return client_for(self.config).request(method, self._path(path), json=json)

    def _path(self, path: str) -> str:
        return f"{self.base_path}/{path}" if path else self.base_path


class BaseResource(Generic[M]):
    """A collection of Connect; a subclass names its path and the model of its objects.

    The methods that change something send one call and return what the later SDK returned: the text
    and the status of the answer, or the object of it.

    Args:
        config: The account; None means the configuration in force.

    Raises:
        AttributeError: The class names no `resource`.
    """

    #: The path of the collection.
    resource: ClassVar[str] = ""
    model_class: ClassVar[type[BaseModel]] = BaseModel

    def __init__(self, config: Config | None = None) -> None:
        if not self.resource:
            raise AttributeError(f"{type(self).__name__} names no path: set its `resource`")
        self._api = ApiClient(config, self.resource)

    @property
    def config(self) -> Config:
        """The account."""
        return self._api.config

    def filters(self, **kwargs: Any) -> Query:
        """Return the filters as a query; a list or tuple asks for one of its values."""
        query = Query()
        for name, value in kwargs.items():
            query = (query.in_ if isinstance(value, list | tuple) else query.equal)(name, value)
        return query

    def get(self, pk: str) -> M:
        """Return an object by its id; like the SDK, of a list as an answer the first object.

        Raises:
            ValueError: The id is blank.
            ServerError: Connect refused; `NotFound` when there is no such object.
        """
        found = self._object(self._api.get(path_of(pk)))
        return found[0] if isinstance(found, builtins.list) and found else found

    def search(self, filters: Filters = None) -> list[M]:
        """Return the objects that match, all pages unless the filters have a limit or an offset."""
        rows = client_for(self.config).get_list(self._api.base_path, filters or self.filters())
        return [self._load(row) for row in rows]

    def list(self, filters: Filters = None) -> builtins.list[M]:
        """Return the objects that match, as `search` does."""
        return self.search(filters)

    def create(self, obj: Any) -> M:
        """Create an object of a document (POST)."""
        return self._object(self._api.post(json=obj))

    def update(self, id_obj: str, body: Any) -> tuple[str, int]:
        """Change an object (PUT)."""
        return self._api.put(path_of(id_obj), json=body)

    def _act(self, pk: str, action: str, body: Any = None) -> tuple[str, int]:
        """POST an action of an object."""
        return self._api.post(path_of(pk, action), json=body)

    def _object(self, answer: tuple[str, int]) -> M:
        return self._load(json_module.loads(answer[0]))

    def _load(self, document: Any) -> M:
        instance: M = self.model_class.deserialize_json(document)
        return instance


class NestedResource(BaseResource[M]):
    """A collection below an object, such as the items of a product."""

    def __init__(self, config: Config | None = None, parent_path: str = "") -> None:
        super().__init__(config)
        self._api = ApiClient(config, f"{parent_path}/{self.resource}")


class MarketplaceResource(BaseResource[Marketplace]):
    """The marketplaces (``marketplaces``).

    Examples:
        >>> class Regional(FulfillmentAutomation):
        ...     def process_request(self, request: Fulfillment) -> ActivationTileResponse:
        ...         marketplace = MarketplaceResource(self.config).get(request.marketplace.id)
        ...         return ActivationTileResponse(f"Zone {marketplace.zone}")
        >>> request = purchase()
        >>> answers = {f"marketplaces/{request.marketplace.id}": {"zone": "EU"}}
        >>> run(Regional, request, answers=answers).outcome.tile
        'Zone EU'
    """

    resource = "marketplaces"
    model_class = Marketplace


class ProductItemResource(NestedResource[Item]):
    """The items of a product (``products/{id}/items``)."""

    resource = "items"
    model_class = Item


class ProductsResource(BaseResource[Product]):
    """The products (``products``), their items, and the definitions of their parameters."""

    resource = "products"
    model_class = Product

    def items(self, product_id: str) -> ProductItemResource:
        """Return the collection of a product's items."""
        return ProductItemResource(self.config, f"products/{path_of(product_id)}")

    def list_parameters(self, product_id: str) -> Any:
        """Return the parameters of a product, all pages, as Connect has them."""
        path = f"products/{path_of(product_id, 'parameters')}"
        return builtins.list(client_for(self.config).get_all(path))

    def create_parameter(self, product_id: str, body: Any) -> tuple[str, int]:
        """Create a parameter (POST)."""
        return self._api.post(path_of(product_id, "parameters"), json=body)

    def update_parameter(self, product_id: str, parameter_id: str, body: Any) -> tuple[str, int]:
        """Change a parameter (PUT)."""
        return self._api.put(path_of(product_id, "parameters", parameter_id), json=body)

    def delete_parameter(self, product_id: str, parameter_id: str) -> tuple[str, int]:
        """Delete a parameter (DELETE)."""
        return self._api.delete(path_of(product_id, "parameters", parameter_id))


class RecurringAssetResource(BaseResource[RecurringAsset]):
    """The assets that are billed (``subscriptions/assets``)."""

    resource = "subscriptions/assets"
    model_class = RecurringAsset


class BillingRequestResource(BaseResource[BillingRequest]):
    """The billing requests (``subscriptions/requests``)."""

    resource = "subscriptions/requests"
    model_class = BillingRequest

    def update_billing_request(self, id_billing_request: str, body: Any) -> tuple[str, int]:
        """Change the attributes of a billing request (PUT ``…/attributes``)."""
        return self._api.put(path_of(id_billing_request, "attributes"), json=body)


class Subscription:
    """Creates billing requests, and changes their attributes.

    Args:
        config: The account; None means the configuration in force.
    """

    def __init__(self, config: Config | None = None) -> None:
        self._requests = BillingRequestResource(config)

    def create_billing_request(self, obj: Any) -> BillingRequest:
        """Create a billing request (POST ``subscriptions/requests``)."""
        return self._requests.create(obj)

    def update_billing_request(self, id_br: str, body: Any) -> tuple[str, int]:
        """Change the attributes of a billing request; Connect can change nothing else of it."""
        return self._requests.update_billing_request(id_br, body)

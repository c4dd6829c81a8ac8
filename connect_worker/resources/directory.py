"""Lookups in Connect: assets, products, tier configurations, and activation templates."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import quote

from connect_worker.api.client import client_for
from connect_worker.config import Config
from connect_worker.exceptions import NotFound
from connect_worker.models.base import BaseModel
from connect_worker.models.common import ActivationTemplateResponse, ActivationTileResponse
from connect_worker.models.products import Product
from connect_worker.models.requests import Asset, TierConfig
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
            raise ValueError("to render a template takes its id and the request's")
        path = f"templates/{pk}/render"
        return ActivationTileResponse(
            client_for(self.config).get_text(path, {"request_id": request_id})
        )

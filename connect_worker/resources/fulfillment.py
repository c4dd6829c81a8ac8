"""Fulfillment requests, the purchases, changes and cancellations of assets: their automation."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from connect_worker._deprecated import deprecated_names
from connect_worker.config import Config
from connect_worker.domain.states import RequestKind
from connect_worker.models.base import BaseModel
from connect_worker.models.common import ActivationTileResponse, Param, param_document
from connect_worker.models.requests import AssetRequest, TierAccountRequest, TierConfig
from connect_worker.resources.automation import Automation
from connect_worker.resources.directory import BaseResource, TemplateResource
from connect_worker.resources.tier_config import TierAccountRequestResource
from connect_worker.resources.validation import Validation
from connect_worker.rql import Filters

# The model is called AssetRequest here: `Fulfillment` of `connect.resources.fulfillment` was the
# resource, in the SDK's releases 19.
if not TYPE_CHECKING:
    __getattr__ = deprecated_names(
        __name__,
        {
            "Fulfillment": "resources.fulfillment.FulfillmentResource",
            "TierConfigRequestResource": "resources.tier_config.TierConfigRequestResource",
        },
    )


class FulfillmentAutomation(Automation[AssetRequest]):
    """Processes fulfillment requests: subclass it and implement `process_request`.

    Return an `ActivationTemplateResponse` or an `ActivationTileResponse` to approve the request, or
    raise `InquireRequest`, `FailRequest` or `SkipRequest`. Any other exception is retried.

    Examples:
        >>> class Purchases(FulfillmentAutomation):
        ...     def process_request(self, request: Fulfillment) -> ActivationTileResponse:
        ...         return ActivationTileResponse(f"Your {request.type} is done.")
        >>> run(Purchases, purchase()).outcome
        Approve(template_id=None, tile='Your purchase is done.')
    """

    kind = RequestKind.FULFILLMENT
    model_class: ClassVar[type[BaseModel]] = AssetRequest
    request_class: ClassVar[type[BaseModel]] = AssetRequest

    def filters(
        self, status: str | Sequence[str] | None = "pending", **kwargs: Any
    ) -> dict[str, Any]:
        """Return the default filters, with those given; see `Automation.filters`."""
        return super().filters(status, **kwargs)

    def update_parameters(self, pk: str, params: Iterable[Param | Mapping[str, Any]]) -> str:
        """Store parameters of a request (`PUT requests/{id}`); safe to repeat.

        Args:
            pk: Id of the request.
            params: Parameters with their new values: `Param` objects or dicts. A date is sent as
                its text.

        Returns:
            Connect's answer, as JSON text.

        Raises:
            TypeError: A parameter is neither.
            ValueError: The id is blank.
            ApiError: Connect refused.
        """
        body = {"asset": {"params": [param_document(param) for param in params]}}
        return json.dumps(self._change("PUT", self._path_of(pk, "update_parameters"), body))

    def render_template(self, pk: str, template_id: str) -> ActivationTileResponse:
        """Return the approval of a request with a tile; see `TemplateResource.render`."""
        return TemplateResource(self.config).render(template_id, pk)

    def create_request(self, request: AssetRequest) -> AssetRequest:
        """Create a request (`POST requests`); needs a provider's key.

        Raises:
            ApiError: Connect refused.
        """
        return self.load(self._change("POST", "requests", dict(request.json)))

    def get_tier_config(self, tier_id: str, product_id: str) -> TierConfig | None:
        """Deprecated since 16.0: use `TierConfig.get`."""
        warnings.warn(
            "get_tier_config is deprecated: use TierConfig.get", DeprecationWarning, stacklevel=2
        )
        return TierConfig.get(tier_id, product_id, self.config)


class ValidationAutomation(Validation[AssetRequest]):
    """Validates orders while the customer waits: subclass it and implement `validate`.

    `connect-worker webhook serve --validators 2` runs it. No parameter has an error when it begins.
    It may run several times for one order, also for one that is never placed: change nothing in it.

    Examples:
        >>> class Orders(ValidationAutomation):
        ...     def validate(self, request: Fulfillment) -> None:
        ...         email = request.asset.get_param_by_id("email")
        ...         if email and "@" not in (email.value or ""):
        ...             email.value_error = "Enter an email address."
        >>> run(Orders, purchase(params={"email": "nobody"})).errors
        {'email': 'Enter an email address.'}
    """

    kind = RequestKind.FULFILLMENT
    request_class: ClassVar[type[BaseModel]] = AssetRequest
    webhook_types: ClassVar[Sequence[str]] = ("validator", "change_validator")


class AssetRequestResource(BaseResource[AssetRequest]):
    """The fulfillment requests (``requests``); the later SDK's name for them is asset request.

    Examples:
        >>> class Orders(FulfillmentAutomation):
        ...     def process_request(self, request: Fulfillment) -> ActivationTileResponse:
        ...         earlier = AssetRequestResource(self.config).search({"asset.id": "AS-1"})
        ...         return ActivationTileResponse(f"Order {len(earlier)}")
        >>> run(Orders, purchase(), answers={"requests": [{"id": "PR-1"}]}).outcome.tile
        'Order 1'
    """

    resource = "requests"
    model_class = AssetRequest

    def update_param_asset_request(
        self, request_id: str, data: Any, note: str | None = None
    ) -> tuple[str, int]:
        """Change parameters and the note of a request (PUT).

        Args:
            request_id: Id of the request.
            data: What becomes of its asset, such as ``{"params": [{"id": …, "value": …}]}``.
            note: None leaves the note as it is.
        """
        return self.update(request_id, {"asset": data} | ({} if note is None else {"note": note}))


class FulfillmentResource:
    """Asset requests and tier account requests in one object.

    Args:
        config: The account; None means the configuration in force.
    """

    def __init__(self, config: Config | None = None) -> None:
        self._asset_requests = AssetRequestResource(config)
        self._tier_account_requests = TierAccountRequestResource(config)

    def create_purchase_request(self, obj: Any) -> AssetRequest:
        """Create an asset request of a document; needs a provider's key."""
        return self._asset_requests.create(obj)

    def search_asset_request(self, obj: Filters = None) -> list[AssetRequest]:
        """Return the asset requests that match the filters."""
        return self._asset_requests.search(obj)

    def update_param_asset_request(
        self, request_id: str, data: Any, note: str | None = None
    ) -> tuple[str, int]:
        """Change parameters and the note of a request; see `AssetRequestResource`."""
        return self._asset_requests.update_param_asset_request(request_id, data, note)

    def create_tier_account_request(self, obj: Any) -> TierAccountRequest:
        """Create a tier account request of a document; needs a provider's key."""
        return self._tier_account_requests.create(obj)

    def search_tier_account_requests(self, filters: Filters = None) -> list[TierAccountRequest]:
        """Return the tier account requests that match the filters."""
        return self._tier_account_requests.search(filters)

    def get_pending_tier_account_requests(self) -> list[TierAccountRequest]:
        """Return the tier account requests that wait for the vendor."""
        return self.search_tier_account_requests({"status": "pending"})

    def accept_tier_account_request(self, id_tar: str) -> TierAccountRequest:
        """Accept a tier account request."""
        return self._tier_account_requests.accept(id_tar)

    def ignore_tier_account_request(
        self, id_tar: str, reason: str | None = None
    ) -> TierAccountRequest:
        """Ignore a tier account request; the reason is shown to the provider."""
        return self._tier_account_requests.ignore(id_tar, reason)

"""Automation of fulfillment requests: purchases, changes, cancellations of assets."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from connect_worker.domain.states import RequestKind
from connect_worker.models.base import BaseModel
from connect_worker.models.common import Param, param_document
from connect_worker.models.requests import Fulfillment, TierConfig
from connect_worker.resources.automation import Automation


class FulfillmentAutomation(Automation[Fulfillment]):
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
    model_class: ClassVar[type[BaseModel]] = Fulfillment
    request_class: ClassVar[type[BaseModel]] = Fulfillment

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
            ApiError: Connect refused.
        """
        body = {"asset": {"params": [param_document(param) for param in params]}}
        return json.dumps(self._change("PUT", f"requests/{pk}", body))

    def create_request(self, request: Fulfillment) -> Fulfillment:
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

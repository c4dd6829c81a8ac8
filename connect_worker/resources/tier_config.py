"""Automation of tier config requests: the setups of resellers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from connect_worker.domain.states import RequestKind
from connect_worker.models.base import BaseModel
from connect_worker.models.common import Param, param_document
from connect_worker.models.requests import TierConfigRequest
from connect_worker.resources.automation import Automation


class TierConfigAutomation(Automation[TierConfigRequest]):
    """Processes tier config requests: subclass it and implement `process_request`.

    Return an `ActivationTemplateResponse` or an `ActivationTileResponse` to approve the request, or
    raise `InquireRequest`, `FailRequest` or `SkipRequest`. Any other exception is retried.

    Examples:
        >>> class Resellers(TierConfigAutomation):
        ...     def process_request(self, request: TierConfigRequest) -> ActivationTemplateResponse:
        ...         return ActivationTemplateResponse("TL-111-222-333")
        >>> run(Resellers, tier_setup()).calls[0].body
        {'template': {'id': 'TL-111-222-333'}}
    """

    kind = RequestKind.TIER_CONFIG
    model_class: ClassVar[type[BaseModel]] = TierConfigRequest
    request_class: ClassVar[type[BaseModel]] = TierConfigRequest

    def filters(
        self, status: str | Sequence[str] | None = "pending", **kwargs: Any
    ) -> dict[str, Any]:
        """Return the default filters, with those given; see `Automation.filters`."""
        return super().filters(status, **kwargs)

    def update_parameters(self, pk: str, params: Iterable[Param | Mapping[str, Any]]) -> str:
        """Store parameters of a request (`PUT tier/config-requests/{id}`); safe to repeat.

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
        body = {"params": [param_document(param) for param in params]}
        return json.dumps(self._change("PUT", f"tier/config-requests/{pk}", body))

"""Activation templates."""

from __future__ import annotations

from connect_worker.api.client import client_for
from connect_worker.config import Config
from connect_worker.models.common import ActivationTemplateResponse, ActivationTileResponse


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
        """Return the approval with a template; as in the 2019 SDK, Connect is not asked for it.

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

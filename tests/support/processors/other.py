"""Another module, for one account alone."""

from __future__ import annotations

from connect_worker.models import ActivationTileResponse, Fulfillment
from connect_worker.resources import FulfillmentAutomation


class Others(FulfillmentAutomation):
    """Approves without a tenant."""

    def process_request(self, request: Fulfillment) -> ActivationTileResponse:
        return ActivationTileResponse("Welcome.")

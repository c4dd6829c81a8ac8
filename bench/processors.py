"""The processor under test: it reads a parameter and approves."""

from connect_worker.models import ActivationTileResponse, Fulfillment
from connect_worker.resources import FulfillmentAutomation


class Approvals(FulfillmentAutomation):
    def process_request(self, request: Fulfillment) -> ActivationTileResponse:
        request.asset.get_param_by_id("email")
        return ActivationTileResponse(f"Welcome, {request.id}")

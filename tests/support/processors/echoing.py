"""Decides as a parameter of the request says, with the very text that the customer wrote."""

from __future__ import annotations

from connect_worker.exceptions import FailRequest, InquireRequest
from connect_worker.models import ActivationTileResponse, Fulfillment
from connect_worker.resources import FulfillmentAutomation


class EchoingPurchases(FulfillmentAutomation):
    """Approves, or fails or inquires with what a parameter says."""

    def process_request(self, request: Fulfillment) -> ActivationTileResponse:
        for param in request.asset.params:
            text = str(param.value)
            match param.id:
                case "reason":
                    raise FailRequest(text)
                case "message":
                    raise InquireRequest(text, params=[param])
                case "error":
                    raise ValueError(f"the vendor does not take {text}")
                case "number":
                    self.client.put(f"requests/{request.id}", {"note": float(text)})
        return ActivationTileResponse("Welcome!")

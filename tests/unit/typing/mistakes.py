"""What a type checker has to find in a vendor's code; each line says which mistake it is."""

from __future__ import annotations

from connect_worker.models import ActivationTileResponse, Fulfillment, TierConfigRequest
from connect_worker.resources import FulfillmentAutomation
from connect_worker.testing import purchase, run


class Purchases(FulfillmentAutomation):
    def process_request(self, request: TierConfigRequest) -> ActivationTileResponse:  # mistake
        return ActivationTileResponse("x")


class Steps(FulfillmentAutomation):
    def process_request(self, request: Fulfillment) -> None:
        self.step("tenant", self.create, request.id, seats="many")  # mistake

    def create(self, request_id: str, *, seats: int) -> str:
        return f"{request_id} {seats}"


def check(request: Fulfillment) -> None:
    print(request.asset.prodct)  # mistake
    print(request.statsu)  # mistake
    request.asset.items = "many"  # mistake
    param = request.asset.get_param_by_id("email")
    print(param.value)  # mistake
    purchase(paramz={"email": ""})  # mistake
    purchase(id=1)  # mistake
    run(Purchases, 5)  # mistake
    print(run(Purchases, purchase()).outcom)  # mistake

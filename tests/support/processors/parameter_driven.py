"""A processor that does what a parameter says, and puts what the customer wrote into its words."""

from __future__ import annotations

from connect_worker.exceptions import SkipRequest
from connect_worker.models import ActivationTileResponse, Fulfillment
from connect_worker.resources import FulfillmentAutomation


class ParameterDriven(FulfillmentAutomation):
    """Approves, raises or skips."""

    def process_request(self, request: Fulfillment) -> ActivationTileResponse:
        email, plan, what = (
            str(param.value) if (param := request.asset.get_param_by_id(name)) else ""
            for name in ("email", "plan", "what")
        )
        if what == "raise":
            raise RuntimeError(f"no tenant for {email} (plan {plan})")
        if what == "skip":
            raise SkipRequest(f"{email} is not there yet")
        return ActivationTileResponse("# Welcome!")

"""Validations that do what the email of the draft says; and a purchase beside them."""

from __future__ import annotations

import os
import time
from typing import Any

from connect_worker import (
    ActivationTileResponse,
    FulfillmentAutomation,
    TierConfigValidationAutomation,
    ValidationAutomation,
)
from connect_worker.models import Fulfillment, TierConfigRequest

#: Longer than any deadline of the tests.
HANG_SECONDS = 600


class Purchases(FulfillmentAutomation):
    """Approves everything."""

    def process_request(self, request: Fulfillment) -> ActivationTileResponse:
        return ActivationTileResponse(f"Done: {request.type}")


class _Base(ValidationAutomation):
    webhook_types = ("validator", "change_validator", "inquiring_validator")

    def validate(self, request: Fulfillment) -> Any:
        email = request.asset.get_param_by_id("email")
        assert email is not None
        match email.value:
            case "hang":
                time.sleep(HANG_SECONDS)
            case "slow":
                time.sleep(1)
                email.value_error = "It took a while."
            case "crash":
                os._exit(3)
            case "raise":
                raise ValueError("the vendor's system is down")
            case "false":
                return False
            case text if "@" not in (text or ""):
                email.value_error = "Enter an email address."
        email.value = "changed by the validation"
        request.note = "changed by the validation"
        return None


class Orders(_Base):
    """Lets an order go on that could not be validated."""


class StrictOrders(_Base):
    """Holds an order back that could not be validated."""

    products = ("PRD-000-000-777",)
    on_failure = "hold"
    failure_message = "Try again at noon."


class Setups(TierConfigValidationAutomation):
    """Wants a number of the partner."""

    def validate(self, request: TierConfigRequest) -> None:
        for param in request.params:
            if not param.value:
                param.value_error = "Required."

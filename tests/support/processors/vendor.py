"""Processors of a vendor's, for the tests of the kit."""

from __future__ import annotations

import os
import time

import requests

from connect_worker.exceptions import FailRequest, InquireRequest, RetryRequest, SkipRequest
from connect_worker.models import (
    ActivationTemplateResponse,
    ActivationTileResponse,
    Fulfillment,
    TierConfig,
)
from connect_worker.resources import Directory, FulfillmentAutomation

Response = ActivationTemplateResponse | ActivationTileResponse


class Orders(FulfillmentAutomation):
    """Approves with a template; each of the other outcomes is asked for by the plan."""

    def process_request(self, request: Fulfillment) -> Response | None:
        email = request.asset.get_param_by_id("email")
        plan = request.asset.get_param_by_id("plan")
        assert email is not None
        assert plan is not None
        match plan.value:
            case "ask":
                email.value_error = "Which one?"
                raise InquireRequest("An email, please", params=[email])
            case "refuse":
                raise FailRequest("No more of these")
            case "wait":
                raise SkipRequest("Not yet")
            case "leave":
                return None
            case "break":
                raise RuntimeError("the vendor's system is down")
        return ActivationTemplateResponse("TL-111-222-333")


class Tenants(FulfillmentAutomation):
    """Makes a tenant in the vendor's system, stores its id, and approves."""

    def process_request(self, request: Fulfillment) -> Response:
        answer = requests.post(
            f"{os.environ['VENDOR_URL']}/tenants",
            json={"request_id": request.id, "email": "a@b.example"},
            headers={"Idempotency-Key": self.idempotency_key},
            timeout=20,
        )
        answer.raise_for_status()
        purchase_id = request.asset.get_param_by_id("purchase_id")
        assert purchase_id is not None
        purchase_id.value = answer.json()["id"]
        self.update_parameters(request.id, [purchase_id])
        time.sleep(float(os.environ.get("SECONDS_BEFORE_DECISION", "0")))
        return ActivationTileResponse(f"Tenant {purchase_id.value}")


class Readers(FulfillmentAutomation):
    """Decides by what it reads in Connect, and reads what it has written."""

    def process_request(self, request: Fulfillment) -> Response:
        config = TierConfig.get(request.asset.tiers.tier1.id, request.asset.product.id, self.config)
        others = Directory(self.config).list_assets()
        plan = request.asset.get_param_by_id("plan")
        assert plan is not None
        plan.value = "written"
        self.update_parameters(request.id, [plan])
        shown = self.load(self.client.get(f"requests/{request.id}"))
        again = shown.asset.get_param_by_id("plan")
        assert again is not None
        group = config.get_param_by_id("discount_group") if config else None
        return ActivationTileResponse(
            f"{group.value if group else 'no group'}, {len(others)} assets, {again.value}"
        )


class Stepwise(FulfillmentAutomation):
    """Makes a tenant and a mailbox, each once; the mailbox is not ready for a plan called slow."""

    def process_request(self, request: Fulfillment) -> Response:
        plan = request.asset.get_param_by_id("plan")
        tenant = self.step("tenant", lambda: f"T-{self.step_key[:4]}")
        if plan is not None and plan.value == "slow":
            raise RetryRequest("the mailbox is not ready", delay=60)
        box = self.step("mailbox", lambda: {"address": f"box@{tenant}"})
        return ActivationTileResponse(f"{tenant} with {box['address']}")

"""One module for several accounts: each vendor's system is where its account's sandbox is."""

from __future__ import annotations

import requests

from connect_worker.config import Config
from connect_worker.models import ActivationTileResponse, Fulfillment
from connect_worker.resources import FulfillmentAutomation


class Orders(FulfillmentAutomation):
    """Has a tenant made in the vendor's system of the account, and tells which account it was."""

    def process_request(self, request: Fulfillment) -> ActivationTileResponse:
        # What the automation was made with, and what is in force, are the job's account.
        assert Config.get_instance().api_url == self.config.api_url
        vendor = self.config.api_url.removesuffix("public/v1/") + "vendor/tenants"
        made = requests.post(
            vendor,
            json={"request_id": request.id, "email": "admin@example.com"},
            headers={"Idempotency-Key": self.idempotency_key},
            timeout=30,
        )
        made.raise_for_status()
        self.logger.info("tenant made at %s", vendor)
        return ActivationTileResponse(f"Your tenant is in {self.config.api_url}")

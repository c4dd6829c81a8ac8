"""Purchases of five steps, which obey a test's orders before, inside and after each of them."""

from __future__ import annotations

import os
from pathlib import Path

from connect_worker.models import ActivationTileResponse, Fulfillment
from connect_worker.resources import FulfillmentAutomation
from examples import vendor
from tests.support.orders import Orders

ORDERS = Orders(Path(os.environ["FAULTS_DIRECTORY"]))
STEPS = 5


class FiveSteps(FulfillmentAutomation):
    """Has five tenants created, and tells their ids."""

    def process_request(self, request: Fulfillment) -> ActivationTileResponse:
        ORDERS.note_run(request.id, key=self.idempotency_key, attempt=self.attempt)
        tenants = []
        for number in range(1, STEPS + 1):
            ORDERS.obey(f"before-{number}", request.id)
            tenants.append(self.step(f"tenant {number}", self.create, request.id, number))
        ORDERS.obey("before-decision", request.id)
        return ActivationTileResponse(" ".join(tenants))

    def create(self, request_id: str, number: int) -> str:
        tenant = vendor.create_tenant(
            request_id=request_id, email="ada@example.org", key=self.step_key
        )
        # The effect is there, and nothing of it in the journal.
        ORDERS.obey(f"inside-{number}", request_id)
        return tenant

"""The example's purchases with a time limit; what they do within it, a test orders."""

from __future__ import annotations

from typing import ClassVar

from connect_worker.models import Fulfillment
from examples import purchases
from tests.support.processors.purchases import OrderedPurchases


class SlowPurchases(OrderedPurchases):
    """Decides as the example does, unless it takes too long."""

    time_limit: ClassVar[float | None] = 2.0

    def process_request(self, request: Fulfillment) -> purchases.Response:
        response = super().process_request(request)
        self.step("after", lambda: "the time limit")
        return response

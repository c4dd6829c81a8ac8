"""The example's purchases for a vendor's system whose errors quote what they were sent."""

from __future__ import annotations

from typing import ClassVar

from connect_worker.models import Fulfillment
from examples import purchases
from tests.support.processors.purchases import ORDERS

#: How much of a parameter an error shows, as error messages do.
QUOTED_CHARACTERS = 100


class QuotingPurchases(purchases.Purchases):
    """Fails with a part of the parameter `document`, where a request has one."""

    time_limit: ClassVar[float | None] = 5.0

    def process_request(self, request: Fulfillment) -> purchases.Response:
        ORDERS.note_run(request.id, key=self.idempotency_key, attempt=self.attempt)
        document = request.asset.get_param_by_id("document")
        if document is not None:
            begin = str(document.value)[:QUOTED_CHARACTERS]
            raise ValueError(f"the vendor's system can't read {begin} and the rest of it")
        return super().process_request(request)

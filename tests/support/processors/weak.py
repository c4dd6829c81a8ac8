"""The example's purchases for a vendor's system that takes two requests at a time.

Each run notes when it was inside, so that the test can tell how many were there together.
"""

from __future__ import annotations

import time
from typing import ClassVar

from connect_worker.models import Fulfillment
from examples import purchases
from tests.support.processors.purchases import ORDERS, OrderedPurchases

#: How long a run is inside at least.
INSIDE_SECONDS = 0.1


class WeakPurchases(OrderedPurchases):
    """Decides as the example does, two at a time."""

    max_concurrency: ClassVar[int | None] = 2

    def process_request(self, request: Fulfillment) -> purchases.Response:
        begin = time.time()
        try:
            response = super().process_request(request)
            time.sleep(INSIDE_SECONDS)
            return response
        finally:
            ORDERS.note_stay(request.id, begin=begin, end=time.time())

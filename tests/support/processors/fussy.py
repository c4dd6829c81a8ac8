"""The example's purchases; the vendor's system breaks at odd addresses until it is repaired."""

from __future__ import annotations

import os
from pathlib import Path

from connect_worker.models import Fulfillment
from examples import purchases


class FussyPurchases(purchases.Purchases):
    """Decides as the example does, and tells of what it could not take."""

    def process_request(self, request: Fulfillment) -> purchases.Response:
        email = request.asset.get_param_by_id("email")
        if email and "<" in str(email.value) and not Path(os.environ["REPAIRED_FILE"]).exists():
            raise ValueError(f"no mailbox is called {email.value}")
        return super().process_request(request)

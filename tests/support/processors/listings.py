"""The example's usage reports, which tell a test of each run."""

from __future__ import annotations

import os
from pathlib import Path

from connect_worker.models import UsageListing
from examples import usage_reports
from tests.support.orders import Orders

ORDERS = Orders(Path(os.environ["FAULTS_DIRECTORY"]))


class OrderedUsage(usage_reports.MonthlyUsage):
    """Reports as the example does."""

    def process_request(self, request: UsageListing) -> str:
        ORDERS.note_run(request.id, key=self.idempotency_key, attempt=self.attempt)
        return super().process_request(request)

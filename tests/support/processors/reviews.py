"""Tier config requests and usage files as the examples decide them, with a note of each run."""

from __future__ import annotations

import os
from pathlib import Path

from connect_worker.models import ActivationTileResponse, TierConfigRequest, UsageFile
from examples import resellers, usage_reviews
from tests.support.orders import Orders

ORDERS = Orders(Path(os.environ["FAULTS_DIRECTORY"]))


class NotedResellers(resellers.Resellers):
    """Approves as the example does."""

    def process_request(self, request: TierConfigRequest) -> ActivationTileResponse:
        ORDERS.note_run(request.id, key=self.idempotency_key, attempt=self.attempt)
        return super().process_request(request)


class NotedReviews(usage_reviews.UsageReview):
    """Submits as the example does."""

    def process_request(self, request: UsageFile) -> None:
        ORDERS.note_run(request.id, key=self.idempotency_key, attempt=self.attempt)
        super().process_request(request)

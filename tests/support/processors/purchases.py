"""The example's purchases, which obey a test's orders at each point where a worker can die."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery.signals import task_prerun

from connect_worker.models import Fulfillment
from examples import purchases
from tests.support.orders import Orders, Point

ORDERS = Orders(Path(os.environ["FAULTS_DIRECTORY"]))


@task_prerun.connect
def before_the_claim(args: tuple[Any, ...] = (), **_: Any) -> None:
    """The message is taken from the queue, and the job has not begun."""
    if args:
        ORDERS.obey(Point.BEFORE_CLAIM, str(args[0]))


class OrderedPurchases(purchases.Purchases):
    """Decides as the example does."""

    def process_request(self, request: Fulfillment) -> purchases.Response:
        ORDERS.note_run(request.id, key=self.idempotency_key, attempt=self.attempt)
        ORDERS.obey(Point.INSIDE, request.id)
        response = super().process_request(request)
        ORDERS.obey(Point.AFTER_EFFECT, request.id)
        return response

    def dispatch(self, request: Fulfillment) -> str:
        response = super().dispatch(request)
        # The decision is in the ledger, and nothing of it is posted yet.
        ORDERS.obey(Point.DECIDED, request.id)
        return response

"""The example's purchases, which obey a test's orders at each point where a worker can die."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery.signals import task_prerun

from connect_worker.domain.outcomes import Outcome
from connect_worker.engine.job import Decision, Job
from connect_worker.models import Fulfillment
from examples import purchases
from tests.support.orders import Orders, Point

ORDERS = Orders(Path(os.environ["FAULTS_DIRECTORY"]))


_decide = Job.decide


def decide(self: Job, outcome: Outcome) -> Decision:
    """The decision is in the ledger, and nothing of it is posted yet."""
    decision = _decide(self, outcome)
    ORDERS.obey(Point.DECIDED, self.ref.id)
    return decision


# No code of a processor runs between these two: the worker's own has to stop there.
Job.decide = decide  # type: ignore[method-assign]  # on purpose


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

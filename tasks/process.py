"""Jobs: one task per kind and account, so that each has its name in Flower and its queue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from celery.exceptions import Retry

from connect_worker.accounts import at
from connect_worker.engine.handle import handle
from connect_worker.processing.states import Kind, Ref
from tasks.app import app
from tasks.facts import of_account
from tasks.messages import takes_name_of
from tasks.wiring import accounts, engine


def process(kind: Kind, request_id: str, account: str = "") -> str:
    """Handle one request; returns how it ended, for people.

    Raises:
        Retry: The ledger wakes the request again later. Celery itself sends nothing: the exception
            makes Flower show RETRY with the reason.
    """
    with of_account(account):
        handled = handle(engine(account), Ref(kind, request_id))
    if handled.retry_seconds is not None:
        due = datetime.now(UTC) + timedelta(seconds=handled.retry_seconds)
        raise Retry(handled.text, when=due)
    return handled.text


def _define(kind: Kind, account: str) -> None:
    @app.task(name=at(f"process.{kind}", account), takes=takes_name_of(kind))
    def run(request_id: str) -> str:
        """Process one request of the kind, by its id; of a listing, by its id and period."""
        return process(kind, request_id, account)


for _account in accounts():
    for _kind in Kind:
        _define(_kind, _account)

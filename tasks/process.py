"""Jobs: one task per kind and account, so that each has its name in Flower and its queue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from celery.exceptions import Retry

from connect_worker.domain.states import RequestKey, RequestKind
from connect_worker.engine.job_runner import JobResult, run_job
from connect_worker.settings.accounts import at
from tasks.app import app
from tasks.celery_support.base_task import takes_name_of
from tasks.celery_support.bootstrap import accounts, engine
from tasks.celery_support.signals import of_account


class Later(Exception):  # noqa: N818 - a reason, which Flower shows by its `repr`
    """Why a request is tried again."""

    def __repr__(self) -> str:
        return str(self)


def process(kind: RequestKind, request_id: str, account: str = "") -> str:
    """Handle one request; returns how it ended, for people.

    Raises:
        Retry: The ledger wakes the request again later. Celery itself sends nothing: the exception
            makes Flower show RETRY with the reason.
    """
    with of_account(account):
        handled = run_job(engine(account), RequestKey(kind, request_id))
    text = told(handled)
    if handled.retry_seconds is not None:
        due = datetime.now(UTC) + timedelta(seconds=handled.retry_seconds)
        raise Retry(text, exc=Later(text), when=due)
    return text


def told(handled: JobResult) -> str:
    """Return what Flower and Celery's log say of a job: its product, and how it ended."""
    return f"{handled.product}: {handled.text}" if handled.product else handled.text


def _define(kind: RequestKind, account: str) -> None:
    @app.task(name=at(f"process.{kind}", account), validates=takes_name_of(kind))
    def run(request_id: str) -> str:
        """Process one request of the kind, by its id; of a listing, by its id and period."""
        return process(kind, request_id, account)


for _account in accounts():
    for _kind in RequestKind:
        _define(_kind, _account)

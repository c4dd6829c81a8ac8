"""The tasks `process.<kind>`: run one request. Each kind and account has its own name and queue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from celery.exceptions import Retry

from connect_worker.domain.states import RequestKey, RequestKind
from connect_worker.engine.job import JobResult
from connect_worker.engine.job_runner import run_job
from connect_worker.observability.output import escape
from connect_worker.settings.accounts import at
from tasks.app import app
from tasks.celery_support.base_task import accepts_request_of
from tasks.celery_support.bootstrap import account_names, bind_account, runtime


class RetryReason(Exception):  # noqa: N818 - a reason, which Flower shows by its `repr`
    """Why a request is tried again."""

    def __repr__(self) -> str:
        return str(self)


def process(kind: RequestKind, request_id: str, account: str = "") -> str:
    """Run one request; return in words how the job ended.

    Raises:
        Retry: The sweep publishes the request again when it is due. Celery itself sends nothing:
            the exception makes Flower show RETRY with the reason.
    """
    with bind_account(account):
        result = run_job(runtime(account), RequestKey(kind, request_id))
    text = result_text(result)
    if result.retry_seconds is not None:
        due = datetime.now(UTC) + timedelta(seconds=result.retry_seconds)
        raise Retry(text, exc=RetryReason(text), when=due)
    return text


def result_text(result: JobResult) -> str:
    """Return what Flower, Celery's log and `celery events` say of a job: its product, its end."""
    return escape(f"{result.product}: {result.text}" if result.product else result.text)


def _define(kind: RequestKind, account: str) -> None:
    @app.task(name=at(f"process.{kind}", account), validates=accepts_request_of(kind))
    def run(request_id: str) -> str:
        """Process one request of the kind, by its id; a usage listing, by its id and period."""
        return process(kind, request_id, account)


for _account in account_names():
    for _kind in RequestKind:
        _define(_kind, _account)

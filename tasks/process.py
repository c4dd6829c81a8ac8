"""Jobs: one task per kind, so that each has its name in Flower and its queue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from celery.exceptions import Retry

from connect_worker.engine.handle import Handled, handle
from connect_worker.processing.states import Kind, Ref
from tasks.app import app
from tasks.messages import takes_name_of
from tasks.wiring import engine


class Later(Exception):  # noqa: N818 - a reason, which Flower shows by its `repr`
    """Why a request is tried again."""

    def __repr__(self) -> str:
        return str(self)


def process(kind: Kind, request_id: str) -> str:
    """Handle one request; returns how it ended, for people.

    Raises:
        Retry: The ledger wakes the request again later. Celery itself sends nothing: the exception
            makes Flower show RETRY with the reason.
    """
    handled = handle(engine(), Ref(kind, request_id))
    text = told(handled)
    if handled.retry_seconds is not None:
        due = datetime.now(UTC) + timedelta(seconds=handled.retry_seconds)
        raise Retry(text, exc=Later(text), when=due)
    return text


def told(handled: Handled) -> str:
    """Return what Flower and Celery's log say of a job: its product, and how it ended."""
    return f"{handled.product}: {handled.text}" if handled.product else handled.text


@app.task(name="process.fulfillment", takes=takes_name_of(Kind.FULFILLMENT))
def fulfillment(request_id: str) -> str:
    """Process a fulfillment request, `PR-…`."""
    return process(Kind.FULFILLMENT, request_id)


@app.task(name="process.tier-config", takes=takes_name_of(Kind.TIER_CONFIG))
def tier_config(request_id: str) -> str:
    """Process a tier config request, `TCR-…`."""
    return process(Kind.TIER_CONFIG, request_id)


@app.task(name="process.usage-file", takes=takes_name_of(Kind.USAGE_FILE))
def usage_file(request_id: str) -> str:
    """Process a usage file, `UF-…`."""
    return process(Kind.USAGE_FILE, request_id)


@app.task(name="process.usage", takes=takes_name_of(Kind.USAGE))
def usage(request_id: str) -> str:
    """Report the usage of a listing, `LST-…`, for the period."""
    return process(Kind.USAGE, request_id)

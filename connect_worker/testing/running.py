"""A processor run over a request in this process: the worker's engine, and no network."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from connect_worker.config import Config
from connect_worker.domain.states import JSON
from connect_worker.dry_run.record import Record, ReplayTransport
from connect_worker.dry_run.runner import DryRun, dry_run
from connect_worker.dry_run.sandbox_transport import URL, SandboxTransport
from connect_worker.dry_run.transport import Transport
from connect_worker.models.base import BaseModel
from connect_worker.resources.automation import Automation


def run(
    automation: type[Automation[Any]] | Automation[Any],
    request: BaseModel | Mapping[str, JSON] | Record,
    *,
    answers: Mapping[str, JSON] | None = None,
    steps: Mapping[str, JSON] | None = None,
    at: datetime | None = None,
) -> DryRun:
    """Run a processor over a request as a worker does, without network, Redis or Celery.

    The engine is the worker's own. Connect is a stand-in that takes whatever is posted and keeps
    it in `calls`; what the processor reads is answered by the request itself, by `answers`, and
    else as by an account that has products and templates and nothing more. Your own systems are
    yours to replace.

    Args:
        automation: The class of the processor, or an instance.
        request: What to process: of a builder, a document, or a record of `connect-worker try`.
        answers: What Connect answers, by path: a document, or a list for a collection, such as
            `{"assets": [...], "tier/configs/TC-1": {...}}`. Filters are not heeded. A text is a
            template that was rendered: `{"templates/TL-1/render": "Welcome!"}`.
        steps: The results of the processor's first steps, by name, as if an earlier run had been
            broken off behind them: `{"create-tenant": "T-1"}`. Those are not run again.
        at: When it is run; it names the reporting period of a usage listing.

    Returns:
        What was decided (`outcome`), how it ended (`result`, `state`), and what would be sent to
        Connect (`calls`).

    Raises:
        RegistrationError: The class can't be made.
        InvalidStep: A result of `steps` is no JSON.
        NotRecorded: A record has no answer to what the processor reads by now.

    Examples:
        >>> from connect_worker.models import ActivationTileResponse
        >>> from connect_worker.resources import FulfillmentAutomation
        >>> class Purchases(FulfillmentAutomation):
        ...     def process_request(self, request):
        ...         return ActivationTileResponse("Welcome!")
        >>> done = run(Purchases, purchase())
        >>> done.outcome
        Approve(template_id=None, tile='Welcome!')
        >>> done.calls[0].body
        {'activation_tile': 'Welcome!'}
    """
    document = _document(request)
    kind = automation.kind
    if isinstance(request, Record):
        if request.kind is not kind:
            raise TypeError(f"the record is of a {request.kind} request, not of {kind}")
        reads: Transport = ReplayTransport(request.reads)
    else:
        reads = SandboxTransport(kind, str(document.get("id")))
    moment = None if at is None else at.timestamp()
    # The client of an account is shared by its process: one run at a time has it.
    with _one_at_a_time:
        done = dry_run(
            automation,
            document,
            config=_config(),
            reads=reads,
            answers=answers,
            steps=steps,
            clock=None if moment is None else lambda: moment,
        )
    if isinstance(reads, ReplayTransport) and reads.missed:
        raise reads.missed
    return done


def recorded(path: str | Path) -> Record:
    """Return what `connect-worker try --record` kept, to be run again without network.

    Raises:
        ValueError: The file is no record.
        OSError: It can't be read.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     order = Record(RequestKind.FULFILLMENT, purchase(id="PR-1").json)
        ...     order.save(f"{folder}/order.json")
        ...     recorded(f"{folder}/order.json").request["id"]
        'PR-1'
    """
    return Record.load(path)


def _document(request: BaseModel | Mapping[str, JSON] | Record) -> dict[str, Any]:
    if isinstance(request, Record):
        return request.request
    return request.json if isinstance(request, BaseModel) else dict(request)


_one_at_a_time = threading.RLock()


@cache
def _config() -> Config:
    return Config.local(URL, "SU-000-000-000:key-of-connect-worker-testing")

"""Run a processor over a request in this process, with the worker's engine and no network."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, overload

from connect_worker.config import Config
from connect_worker.domain.states import JSON
from connect_worker.dry_run.record import Record, ReplayTransport
from connect_worker.dry_run.runner import DryRun, ValidationRun, dry_run, dry_validation
from connect_worker.dry_run.transport import SANDBOX_URL, SandboxTransport, Transport
from connect_worker.models.base import BaseModel
from connect_worker.resources.automation import Automation
from connect_worker.resources.validation import Validation


@overload
def run(
    automation: type[Validation[Any]] | Validation[Any],
    request: BaseModel | Mapping[str, JSON] | Record,
    *,
    answers: Mapping[str, JSON] | None = None,
) -> ValidationRun: ...


@overload
def run(
    automation: type[Automation[Any]] | Automation[Any],
    request: BaseModel | Mapping[str, JSON] | Record,
    *,
    answers: Mapping[str, JSON] | None = None,
    steps: Mapping[str, JSON] | None = None,
    at: datetime | None = None,
) -> DryRun: ...


def run(
    automation: type[Automation[Any] | Validation[Any]] | Automation[Any] | Validation[Any],
    request: BaseModel | Mapping[str, JSON] | Record,
    *,
    answers: Mapping[str, JSON] | None = None,
    steps: Mapping[str, JSON] | None = None,
    at: datetime | None = None,
) -> DryRun | ValidationRun:
    """Run a processor over a request as a worker does, without network, Redis or Celery.

    Or a validation, as the receiver does, without its deadline.

    The engine is the worker's own. A simulated Connect accepts every post and keeps it in `calls`.
    Reads of the processor are answered by the request itself, then by `answers`, then by a default
    account that has products and templates and nothing else. Calls to your own systems are real:
    replace those systems in your test.

    Args:
        automation: The class of the processor or validation, or an instance.
        request: A request from a builder, a document, or a record of `connect-worker try`.
        answers: Connect's answers by path: a document, or a list for a collection, such as
            `{"assets": [...], "tier/configs/TC-1": {...}}`. Filters have no effect. A text is a
            rendered template: `{"templates/TL-1/render": "Welcome!"}`.
        steps: The results of the processor's first steps by name, `{"create-tenant": "T-1"}`, as if
            an earlier attempt had failed after them. These steps do not run again.
        at: The time of the run; determines the reporting period of a usage listing.

    Returns:
        The decision (`outcome`), how the job ended (`result`, `state`), and the calls that a worker
        would send to Connect (`calls`). Of a validation, the errors that it set (`errors`) and the
        answer to Connect (`document`).

    Raises:
        RegistrationError: The class can't be instantiated.
        Exception: What a validation raised.
        InvalidStep: A result in `steps` is not JSON.
        NotInRecord: The record has no answer to a read of the processor.

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
    # The process has one client per account, which the run replaces: one run at a time.
    done: DryRun | ValidationRun
    with _one_at_a_time:
        if isinstance(automation, Validation) or (
            isinstance(automation, type) and issubclass(automation, Validation)
        ):
            done = dry_validation(
                automation, document, config=_config(), reads=reads, answers=answers
            )
        else:
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
    """Load a record that `connect-worker try --record` wrote, to run it without network.

    Raises:
        ValueError: The file is not a record.
        OSError: The file can't be read.

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
    return Config.local(SANDBOX_URL, "SU-000-000-000:key-of-connect-worker-testing")

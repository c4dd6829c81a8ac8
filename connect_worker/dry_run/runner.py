"""One dry run: the real engine runs a processor for one request, and nothing reaches Connect."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from connect_worker.api.client import Client, using_client
from connect_worker.config import Config
from connect_worker.domain.outcomes import Outcome
from connect_worker.domain.retry import ErrorRules
from connect_worker.domain.states import JSON, Claim, PendingRequest, RequestKey, RequestKind, State
from connect_worker.domain.steps import as_json, entry_name, own_steps
from connect_worker.dry_run.transport import (
    Call,
    CapturingTransport,
    Transport,
    TransportPool,
    documents_of,
)
from connect_worker.engine.job import Job
from connect_worker.engine.job_runner import run_job
from connect_worker.engine.ports import Connect
from connect_worker.ledger.memory import MemoryLedger
from connect_worker.resources.automation import Automation
from connect_worker.resources.discovery import require_valid
from connect_worker.resources.processor import AutomationProcessor, processor_of
from connect_worker.resources.runner import local_runtime
from connect_worker.resources.validation import (
    Validation,
    errors_in,
    make_validation,
    validated,
)
from connect_worker.settings.model import account_name


@dataclass(frozen=True)
class DryRun:
    """How a processor handled a request, and what would have been sent to Connect.

    Attributes:
        result: How the job ended, in words: `approved`, `nothing to do: …`, `ValueError: …`.
        state: The request's state in the ledger: `completed`, `snoozed`, `retry`, `parked`, ….
        calls: What would change something in Connect, in order: the processor's own calls, then
            those for its decision.
        steps: The results of the processor's own steps (`self.step`), by name, in their order.
        error: What the processor raised that decides nothing; None when it decided.

    Examples:
        >>> class Orders(FulfillmentAutomation):
        ...     def process_request(self, request: Fulfillment) -> None:
        ...         raise FailRequest("Sold out")
        >>> done = run(Orders, purchase())
        >>> done.outcome, done.result, done.state.value
        (Fail(reason='Sold out'), 'failed', 'completed')
        >>> [call.body for call in done.calls]
        [{'reason': 'Sold out'}, {'text': 'Sold out'}]
    """

    result: str
    state: State
    calls: tuple[Call, ...] = ()
    steps: Mapping[str, JSON] = field(default_factory=dict)
    error: Exception | None = None
    decided: Outcome | None = field(default=None, repr=False)

    @property
    def outcome(self) -> Outcome | None:
        """What was decided; None when the processor did not run, for the request is not pending.

        Raises:
            Exception: The one that the processor raised instead of deciding.
        """
        if self.decided is None and self.error is not None:
            raise self.error
        return self.decided

    @property
    def messages(self) -> list[str]:
        """The texts posted to conversations."""
        return [
            str(call.body["text"])
            for call in self.calls
            if call.path.endswith("/messages") and isinstance(call.body, dict)
        ]


@dataclass(frozen=True)
class ValidationRun:
    """What a validation found.

    Attributes:
        errors: By the parameter's id: its `value_error`, or its `structured_error`.
        document: The answer to Connect.
        calls: What it would have changed in Connect; a validation should change nothing.

    Examples:
        >>> class Orders(ValidationAutomation):
        ...     def validate(self, request: Fulfillment) -> None:
        ...         for param in request.asset.params:
        ...             if param.id == "plan":
        ...                 param.value_error = "Sold out."
        >>> done = run(Orders, purchase(status="draft"))
        >>> done.errors, done.document["status"]
        ({'plan': 'Sold out.'}, 'draft')
    """

    errors: Mapping[str, JSON]
    document: JSON = field(repr=False)
    calls: tuple[Call, ...] = ()


def dry_validation(
    validation: type[Validation[Any]] | Validation[Any],
    document: JSON,
    *,
    config: Config,
    reads: Transport,
    answers: Mapping[str, JSON] | None = None,
) -> ValidationRun:
    """Run a validation for a request, and send nothing to Connect.

    Args:
        validation: The class, or an instance, whose own account is used then.
        document: The request.
        config: The account that the class is made for.
        reads: Answers what the validation reads.
        answers: Answers that are given instead of asking `reads`, by path.

    Raises:
        RegistrationError: The class can't be made, or declares what is not possible.
        Exception: What the validation raised.
    """
    if isinstance(validation, type):
        require_valid(validation)
        validation = make_validation(validation, config)
    kind = validation.kind
    transport = CapturingTransport(reads, {**documents_of(kind, document), **(answers or {})})
    transport.by = "processor"
    with using_client(validation.config, _client(validation.config, transport)):
        answer = validated(validation, document)
    return ValidationRun(errors_in(kind, answer), answer, tuple(transport.calls))


def _client(config: Config, transport: CapturingTransport) -> Client:
    return Client(config.api_url, config.api_key, pool=TransportPool(config.api_url, transport))


def dry_run(
    automation: type[Automation[Any]] | Automation[Any],
    document: JSON,
    *,
    config: Config,
    reads: Transport,
    answers: Mapping[str, JSON] | None = None,
    steps: Mapping[str, JSON] | None = None,
    clock: Callable[[], float] | None = None,
) -> DryRun:
    """Run a processor for a request, and send nothing to Connect.

    What the processor does in other systems, it really does.

    Args:
        automation: The class, or an instance, whose own account is used then.
        document: The request.
        config: The account that the class is made for.
        reads: Answers what the processor reads.
        answers: Answers that are given instead of asking `reads`, by path.
        steps: The results that an earlier attempt has journaled, by name, in their order.
        clock: Seconds since the epoch; the machine's by default.

    Raises:
        RegistrationError: The class can't be made.
    """
    config = automation.config if isinstance(automation, Automation) else config
    processor, products = _processor(automation, config)
    transport = CapturingTransport(
        reads, {**documents_of(processor.kind, document), **(answers or {})}
    )
    client = _client(config, transport)
    observed = _ObservedProcessor(processor, transport)
    account = account_name(config)
    ledger = MemoryLedger(account=account, clock=clock or time.time)
    with using_client(config, client):
        runtime = local_runtime(
            observed, name=str(processor), connect=client, ledger=ledger, products=products
        )
        pending = processor.pending_request(document, now=ledger.now())
        ledger.register([pending], seen_at=ledger.now(), requeue_seconds=runtime.requeue_seconds)
        if steps:
            _journal(ledger, pending.ref, steps)
        result = run_job(runtime, pending.ref)
    record = ledger.get_record(pending.ref)
    assert record is not None  # noqa: S101 - it was registered
    return DryRun(
        result.text,
        record.state,
        tuple(transport.calls),
        {step.name: step.result for step in own_steps(record.steps)},
        observed.error,
        observed.decided,
    )


def _journal(ledger: MemoryLedger, ref: RequestKey, steps: Mapping[str, JSON]) -> None:
    """Journal steps, as an attempt does that breaks off after them."""
    claim = ledger.claim(ref, owner="an earlier run", lease_seconds=60)
    assert isinstance(claim, Claim)  # noqa: S101 - it was registered
    for number, (name, result) in enumerate(steps.items(), start=1):
        ledger.record_step(claim, entry_name(number, name), as_json(name, result))
    ledger.reschedule(claim, State.RETRY, delay_seconds=0, attempt_used=False)


def _processor(
    automation: type[Automation[Any]] | Automation[Any], config: Config
) -> tuple[AutomationProcessor, list[str]]:
    if isinstance(automation, Automation):
        made = AutomationProcessor(automation.kind, lambda: automation, config)
        return made, automation.product_ids
    made = processor_of(automation, config)
    return made, made.automation.product_ids


class _ObservedProcessor:
    """Keeps a processor's error and decision, and marks the calls that it makes as its own."""

    def __init__(self, processor: AutomationProcessor, transport: CapturingTransport) -> None:
        self._processor = processor
        self._transport = transport
        self.error: Exception | None = None
        self.decided: Outcome | None = None

    @property
    def kind(self) -> RequestKind:
        """The kind of request that it processes."""
        return self._processor.kind

    @property
    def rules(self) -> ErrorRules:
        """What it declares about errors, retries and its time limit."""
        return self._processor.rules

    def awaits(self, document: JSON) -> bool:
        """Whether the document is in a status that the processor asks for."""
        return self._processor.awaits(document)

    def list_pending(
        self,
        connect: Connect,
        *,
        now: float,
        request_id: str = "",
        rejected: Callable[[str], None] | None = None,
    ) -> Iterator[PendingRequest]:
        """List the requests that are pending for it, or the one with this id."""
        return self._processor.list_pending(
            connect, now=now, request_id=request_id, rejected=rejected
        )

    def pending_request(self, document: JSON, *, now: float) -> PendingRequest:
        """Name the request and its cycle."""
        return self._processor.pending_request(document, now=now)

    def run(self, document: JSON, job: Job) -> Outcome:
        """Process one request."""
        self._transport.by = "processor"
        try:
            # With its passwords, which the ledger does not store.
            self.decided = self._processor.run(document, job)
        except Exception as error:
            self.error = error
            raise
        finally:
            self._transport.by = "decision"
        return self.decided

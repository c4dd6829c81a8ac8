"""The parts that the engine works with, put together once per process and passed to its functions.

`Registry` finds the processor of a request by kind and product. `Runtime` is a bag of ports and
numbers, with the two calls that need more than one port: reading a request, and waking the next one
in a slot queue.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

from connect_worker.domain.kinds import document_fault, path_of
from connect_worker.domain.outcomes import Outcome
from connect_worker.domain.retry import ErrorRules, RetryPolicy
from connect_worker.domain.states import (
    JSON,
    NO_LIMITS,
    OWN_QUEUE,
    Limit,
    Limits,
    PendingRequest,
    RequestKey,
    RequestKind,
    Route,
    Routes,
)
from connect_worker.engine.job import Job
from connect_worker.engine.lease import LeaseKeeper
from connect_worker.engine.metrics import CallMetrics
from connect_worker.engine.ports import Connect, Ledger, ProcessKiller, Publisher
from connect_worker.engine.rate_limiter import BreakerCache
from connect_worker.exceptions import (
    InvalidDocument,
    LedgerUnavailable,
    NotFound,
    RegistrationError,
    Retryable,
)
from connect_worker.logger import LogEvent, logger
from connect_worker.settings.model import DEFAULTS

# ---- which processor is for which request

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Registration(Generic[T]):
    """One automation and the requests that it is for."""

    kind: RequestKind
    #: The ids of its products; None for all that no other automation names.
    products: frozenset[str] | None
    #: Its import path, such as `my_vendor.orders.Purchases`.
    name: str
    automation: T
    #: How many of its requests may be in its processor at once; None for no limit.
    max_concurrency: int | None = None
    #: The queue and priority of messages about its requests.
    route: Route = OWN_QUEUE

    @property
    def limit(self) -> Limit | None:
        """Its limit, under its name."""
        return Limit(self.name, self.max_concurrency) if self.max_concurrency else None


class Registry(Generic[T]):
    """The automations of one worker; immutable."""

    def __init__(self, registrations: Iterable[Registration[T]]) -> None:
        """Add the registrations.

        Raises:
            RegistrationError: Two are for the same kind and product; names both.
        """
        self._by_product: dict[tuple[RequestKind, str | None], Registration[T]] = {}
        self._all: list[Registration[T]] = []
        for registration in registrations:
            self._add(registration)
        self._limits = {
            kind: {
                product or "": entry.limit
                for (of, product), entry in self._by_product.items()
                if of is kind
            }
            for kind in {entry.kind for entry in self._all if entry.limit}
        }

    @property
    def routes(self) -> Routes:
        """The routes by kind and product, of the kinds with a route to another queue."""
        kinds = {entry.kind for entry in self._all if entry.route != OWN_QUEUE}
        return {
            (kind, product or ""): entry.route
            for (kind, product), entry in self._by_product.items()
            if kind in kinds
        }

    def require_queues(self, known: Collection[str]) -> None:
        """Return if the deployment has each queue that an automation names.

        Raises:
            RegistrationError: A queue is missing: its messages would be lost.
        """
        for entry in self._all:
            if entry.route.queue and entry.route.queue not in known:
                raise RegistrationError(
                    f"{entry.name} has queue = {entry.route.queue!r}, which is not in "
                    "CONNECT_QUEUES: add it there, for all workers, beat and the exporter"
                )

    def find(self, kind: RequestKind, product: str) -> T | None:
        """Return the automation for a request; one that names the product takes precedence."""
        registration = self._by_product.get((kind, product)) or self._by_product.get((kind, None))
        return registration.automation if registration else None

    def limits(self, kind: RequestKind) -> Limits:
        """Return the concurrency limits of a kind's requests."""
        return self._limits.get(kind, NO_LIMITS)

    def of_kind(self, kind: RequestKind) -> list[T]:
        """Return the automations of a kind, in the order of their registration."""
        return [entry.automation for entry in self._all if entry.kind is kind]

    @property
    def registrations(self) -> list[Registration[T]]:
        """All of them, in order."""
        return list(self._all)

    @property
    def products(self) -> list[str]:
        """The products that automations name, sorted."""
        return sorted({product for entry in self._all for product in entry.products or ()})

    @property
    def coverage(self) -> Mapping[RequestKind, list[str]]:
        """The automations' names by kind."""
        return {kind: [e.name for e in self._all if e.kind is kind] for kind in RequestKind}

    def _add(self, registration: Registration[T]) -> None:
        products: Iterable[str | None] = registration.products or (None,)
        for product in products:
            slot = (registration.kind, product)
            other = self._by_product.setdefault(slot, registration)
            if other is not registration:
                what = f"product {product}" if product else "all products"
                raise RegistrationError(
                    f"{other.name} and {registration.name} both claim {registration.kind} "
                    f"requests of {what}: keep one, or give each its own `products`"
                )
        self._all.append(registration)


# ---- the parts of a process

#: The kinds whose objects users of Connect can delete; all other requests stay for ever.
_DELETABLE = (RequestKind.USAGE_FILE, RequestKind.USAGE)
_POLICY: Final = RetryPolicy(
    max_attempts=DEFAULTS.max_attempts,
    base_seconds=DEFAULTS.retry_base_seconds,
    max_seconds=DEFAULTS.retry_max_seconds,
)


class Processor(Protocol):
    """The user's code for one kind and some products, as the engine sees it."""

    @property
    def kind(self) -> RequestKind:
        """The kind of request that it processes."""

    @property
    def rules(self) -> ErrorRules:
        """What it declares about errors, retries and its time limit."""

    def awaits(self, document: JSON) -> bool:
        """Whether the document is in a status that the processor asks for."""

    def list_pending(
        self,
        connect: Connect,
        *,
        now: float,
        request_id: str = "",
        rejected: Callable[[str], None] | None = None,
    ) -> Iterable[PendingRequest]:
        """List the pending requests for this processor, all pages, or only the one with this id.

        `now` is the ledger's clock, in seconds. `rejected` is called for each row that can't become
        a request, with what is wrong with it.
        """

    def run(self, document: JSON, job: Job) -> Outcome:
        """Process one request and return the outcome; nothing of it is stored or posted yet.

        Raises:
            Exception: Whatever the user's code raises that is not an outcome.
        """


class RequestUnavailable(Retryable):
    """Connect, or a gateway before it, answers 404 for a request that can't be deleted."""


class NullProcessKiller:
    """The process killer where no process can be killed: threads, greenlets, the local runner."""

    def arm(self, seconds: float) -> None:
        """Do nothing."""

    def disarm(self) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """The ports and the numbers of one account."""

    ledger: Ledger
    connect: Connect
    publisher: Publisher
    registry: Registry[Processor]
    leases: LeaseKeeper
    #: The account's name: part of every idempotency key.
    account: str
    #: The name of this process in the ledger: host and process id.
    worker: str
    #: What this process knows of the account's breaker; the rate limiter has the same object.
    breaker_cache: BreakerCache = field(default_factory=BreakerCache)
    policy: RetryPolicy = _POLICY
    lease_seconds: float = DEFAULTS.lease_seconds
    skip_seconds: float = DEFAULTS.skip_seconds
    retention_seconds: float = DEFAULTS.keep_days * 86_400.0
    #: Whether to post a message to the request's conversation after an approval.
    post_activation_message: bool = DEFAULTS.say_activated
    #: How often each kind is polled; two polls are at least half of it apart. None: no limit.
    poll_seconds: Mapping[RequestKind, float] = field(default_factory=dict)
    #: How many rows of its lists one poll reads.
    max_list_rows: int = DEFAULTS.max_list_rows
    #: The products that the settings or the automations name.
    products: tuple[str, ...] = ()

    #: Whether the ledger outlives the process, so that an operator can rerun what was parked.
    is_lasting: bool = True
    #: What this process counts; the ledger's buffer is the same object.
    metrics: CallMetrics = field(default_factory=CallMetrics)
    #: Kills the process of a run that exceeds its time limit.
    process_killer: ProcessKiller = field(default_factory=NullProcessKiller)

    @property
    def requeue_seconds(self) -> float:
        """Seconds after which a message that no worker has answered counts as lost."""
        return self.lease_seconds

    def fetch(self, ref: RequestKey) -> JSON:
        """Return the request as Connect shows it now; a deleted one has the status `deleted`.

        Only Connect's own error document counts as deleted: a gateway's 404 must not end a cycle.

        Raises:
            RequestUnavailable: Connect does not show the request now; it may do so later.
            InvalidDocument: The document can't be processed, for a reason that the error names.
            Message: No answer, or none that is a document.
        """
        try:
            document = self.connect.get(path_of(ref.kind, ref.request_id))
        except NotFound as error:
            if ref.kind in _DELETABLE and error.error_code:
                return {"id": ref.request_id, "status": "deleted"}
            raise RequestUnavailable(f"{ref.request_id} can't be read: {error}") from error
        if isinstance(document, list):
            # A double in a vendor's test answers each GET with the same list, as the SDK took it.
            named = (row for row in document if isinstance(row, dict))
            document = next((row for row in named if row.get("id") == ref.request_id), document)
        if fault := document_fault(ref, document):
            raise InvalidDocument(ref.request_id, dict([fault]))
        return document

    def wake_slot_queue(self, limit: str) -> None:
        """Publish the next request that waits for a slot of a concurrency limit; "" is no limit.

        When the call or its message is lost, the next sweep finds the free slot.
        """
        if not limit:
            return
        try:
            refs = self.ledger.take_from_slot_queue(limit, requeue_seconds=self.requeue_seconds)
        except LedgerUnavailable as error:
            logger.warning(LogEvent("slot_queue.wake_failed", limit=limit, error=error))
            return
        self.publisher.publish(refs)

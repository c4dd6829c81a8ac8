"""The engine's parts, put together once per process and passed to every function of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from connect_worker.domain.retry import RetryPolicy
from connect_worker.domain.routing import Registry
from connect_worker.domain.states import JSON, PendingRequest, RequestKind
from connect_worker.engine.job import Job
from connect_worker.engine.lease import LeaseKeeper
from connect_worker.engine.ports import Connect, Ledger, ProcessKiller, Publisher
from connect_worker.engine.rate_limiter import BreakerCache
from connect_worker.settings.model import DEFAULTS

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

    def awaits(self, document: JSON) -> bool:
        """Whether the document is in a status that the processor wants to see."""

    def list_pending(
        self, connect: Connect, *, now: float, request_id: str = ""
    ) -> Iterable[PendingRequest]:
        """List the requests that wait for it, all pages, or the one with this id if it does.

        `now` is the ledger's clock, in seconds.
        """

    def run(self, document: JSON, job: Job) -> None:
        """Process one request; what it decides is stored with `job.decide`."""


class NullProcessKiller:
    """A reaper where no process can be ended: threads, greenlets, the single-process loop."""

    def arm(self, seconds: float) -> None:
        """Do nothing."""

    def disarm(self) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """The ports and the numbers."""

    ledger: Ledger
    connect: Connect
    publisher: Publisher
    registry: Registry[Processor]
    leases: LeaseKeeper
    #: The account's name: part of every idempotency key.
    account: str
    #: Names this process in the ledger, for people: host and process id.
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
    #: The products that the settings or the automations name.
    products: tuple[str, ...] = ()

    #: Ends the process of a run that takes longer than its `time_limit`.
    process_killer: ProcessKiller = field(default_factory=NullProcessKiller)

    @property
    def requeue_seconds(self) -> float:
        """After how long an unanswered message counts as lost."""
        return self.lease_seconds

"""Requests and their states, and the other values that the ledger takes and returns.

A *cycle* is one stay of a request in `pending`. A cycle goes through these states::

    queued ──┐
    retry ───┼─ claim ─> running ─ decide ─> posting ──> completed
    snoozed ─┘              │                │     ^
                            │                │     └─ claim ─ decided
                            │                │
                            │                ├─> decided   (not posted, or the worker died)
                            ├─> retry        │             (an error, or the worker died)
                            ├─> snoozed      ├─> snoozed   ("not yet", or a skip)
                            ├─> parked       ├─> parked    (no further attempt)
                            └─> superseded   └─> superseded (somebody else decided)

    parked ──> queued (rerun), decided (repost), discarded (discard)
    discarded ──> queued (rerun)
    parked ──> superseded (a poll finds it decided in Connect)

A request that is `queued`, in `retry`, `snoozed` or `decided` stays in the ledger until it is due.
One worker owns a `running` or `posting` request, under a lease and a fence. `completed`,
`superseded` and `discarded` end the cycle; a `parked` request waits for an operator.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Any, Final

JSON = Any
"""A JSON document: what `json.loads` returns."""


class RequestKind(StrEnum):
    """The four kinds of request; the value is also the name of the Celery queue.

    Examples:
        >>> [kind.value for kind in RequestKind]
        ['fulfillment', 'tier-config', 'usage-file', 'usage']
    """

    FULFILLMENT = "fulfillment"
    TIER_CONFIG = "tier-config"
    USAGE_FILE = "usage-file"
    USAGE = "usage"


class State(StrEnum):
    """Where a cycle stands.

    Examples:
        >>> State.PARKED.is_final, State.COMPLETED.is_final
        (False, True)
    """

    #: Registered; a message is (or was) on its way to a worker.
    QUEUED = "queued"
    #: A worker runs the processor, under a lease.
    RUNNING = "running"
    #: The last attempt failed; the processor runs again when the request is due.
    RETRY = "retry"
    #: The processor skipped or snoozed the request; it runs again when due, no attempt is used.
    SNOOZED = "snoozed"
    #: The decision is stored and not completely posted; a worker posts it when it is due.
    DECIDED = "decided"
    #: A worker is posting the stored decision, under a lease.
    POSTING = "posting"
    #: Every step of the decision was accepted by Connect.
    COMPLETED = "completed"
    #: Connect shows a decision from elsewhere; nothing was overwritten.
    SUPERSEDED = "superseded"
    #: Stopped with an error, until an operator acts.
    PARKED = "parked"
    #: An operator decided that nothing is to be done.
    DISCARDED = "discarded"

    @property
    def is_final(self) -> bool:
        """Whether the cycle has ended."""
        return self in FINAL_STATES

    @property
    def is_leased(self) -> bool:
        """Whether a worker owns the request now."""
        return self in (State.RUNNING, State.POSTING)


FINAL_STATES = frozenset({State.COMPLETED, State.SUPERSEDED, State.DISCARDED})


@dataclass(frozen=True, slots=True)
class RequestKey:
    """The name of one request in the ledger.

    Examples:
        >>> str(RequestKey(RequestKind.FULFILLMENT, "PR-5852-1608-0000"))
        'fulfillment:PR-5852-1608-0000'
        >>> RequestKey(RequestKind.USAGE, "LST-066-644-910@2026-11").request_id
        'LST-066-644-910'
    """

    kind: RequestKind
    #: Connect's id, such as `PR-5852-1608-0000`. A usage listing has its period too,
    #: `LST-066-644-910@2026-11`: the reports of two periods are two requests.
    id: str

    @property
    def request_id(self) -> str:
        """Connect's id alone, for paths."""
        return self.id.partition("@")[0]

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"

    @classmethod
    def parse(cls, text: str) -> RequestKey:
        """Read `kind:id` back; ValueError when the kind is unknown."""
        kind, _, request_id = text.partition(":")
        return cls(RequestKind(kind), request_id)


def idempotency_key(account: str, ref: RequestKey, cycle: str) -> str:
    """Return a cycle's idempotency key: it survives retries, crashes and rescues.

    32 hexadecimal characters: a hash of the account, the kind, the id and the cycle.
    """
    text = "\n".join((account, ref.kind, ref.id, cycle))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """One pending request, as a poll found it."""

    ref: RequestKey
    #: The cycle, if Connect names it (`events.pended.at`, a status, a period); `None` if only the
    #: ledger can count the cycles (fulfillment requests).
    cycle: str | None = None
    #: The product's id, for operators; "" when the document names none.
    product: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on one cycle, until the lease ends or a higher fence exists."""

    ref: RequestKey
    cycle: str
    #: Grows with every claim of the request; a write with an older fence is refused.
    fence: int
    #: Unique to this claim: the worker's name and a random part.
    owner: str
    #: 1 for the first run of the processor in this cycle.
    attempt: int
    lease_seconds: float
    product: str = ""
    #: The stored decision, when an earlier run of this cycle got that far.
    decision: JSON = None
    #: Results of the steps that are done, by step name.
    steps: dict[str, JSON] = field(default_factory=dict)
    #: True while the circuit breaker has recorded failures; if this job succeeds, the caller must
    #: reset the breaker.
    is_half_open_probe: bool = False
    #: The concurrency limit in which it has a slot; "" when it needs none.
    limit: str = ""
    #: Why its encrypted decision or steps can't be read here; "" when they can.
    decrypt_error: str = ""
    #: What is wrong with its stored decision or steps; "" when nothing is.
    corrupt: str = ""
    #: The name of its product in metrics.
    metric_product: str = ""
    #: When the processor first snoozed the request in this cycle; 0 when it did not.
    snoozed_since: float = 0.0


class ClaimDenied(Enum):
    """Why a claim was denied; each reason is normal and ends the job.

    The value is what `claim.lua` answers; `str` gives it in words, for people.

    Examples:
        >>> str(ClaimDenied.NOT_DUE)
        'not due'
    """

    #: The ledger does not know the request (Redis was flushed); the next poll registers it again.
    UNKNOWN = "unknown"
    #: Another worker has a lease, or died and no sweep has rescued the request yet.
    BUSY = "busy"
    #: The request is not due yet.
    NOT_DUE = "not_due"
    #: The cycle has ended, or is parked.
    ENDED = "ended"
    #: The account's circuit breaker is open (429, a refused key, Connect down).
    BREAKER_OPEN = "breaker_open"
    #: The automation's concurrency limit is reached; the request is in the slot queue.
    CONCURRENCY_LIMIT = "concurrency_limit"
    #: An operator paused its processor; `resume` makes the request due.
    OPERATOR_PAUSE = "paused"

    def __str__(self) -> str:
        return self.value.replace("_", " ")


@dataclass(frozen=True, slots=True)
class DueBatch:
    """The requests that one sweep found due."""

    #: Publish a message for each.
    publish: list[RequestKey] = field(default_factory=list)
    #: The lease expired: the worker died. Each is also in `publish` (runs again) or `parked` (no
    #: attempt left).
    expired: list[RequestKey] = field(default_factory=list)
    #: No attempt is left after the worker died.
    parked: list[RequestKey] = field(default_factory=list)
    #: Parked because their records are corrupt.
    corrupt: list[RequestKey] = field(default_factory=list)
    #: How many records were due, including those whose message is assumed to be in its queue.
    looked_at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class BreakerState:
    """The account's circuit breaker: while it is open, no worker calls Connect."""

    #: Until when it is open, in seconds of Redis' clock; 0 or in the past when it is closed or
    #: half-open.
    open_until: float = 0.0
    reason: str = ""
    #: Failures in a row, counted also below the number that opens it; 0 when only a 429 tripped it.
    failures: int = 0
    #: Failures opened it: after `open_until` it is half-open, and one claim at a time passes.
    needs_probe: bool = False


@dataclass(frozen=True, slots=True)
class RateLimitResult:
    """Whether and when another call to Connect may be sent."""

    #: Seconds until the breaker is half-open; 0 when it is not open.
    breaker_seconds: float = 0.0
    reason: str = ""
    #: Seconds until the rate limit allows the call; 0 without a rate limit.
    wait_seconds: float = 0.0


#: The name of the pause of everything; other pauses have the name of a kind or a product.
ALL = "all"


@dataclass(frozen=True, slots=True)
class Pause:
    """An operator's pause of processors."""

    since: float
    reason: str = ""
    #: How many requests wait for its end, of those that a worker has tried to claim.
    held: int = 0


class PollProblem(StrEnum):
    """Why a poll did not read everything that is pending; falsy when it did.

    Examples:
        >>> bool(PollProblem.NONE), PollProblem.UNDER_WAY.value
        (False, 'under way')
    """

    NONE = ""
    #: These workers have no processor for the kind: nothing was read.
    NO_PROCESSOR = "no processor"
    #: The circuit breaker of the account is open.
    BREAKER_OPEN = "breaker open"
    #: Another poll of the kind ended a moment ago.
    TOO_SOON = "too soon"
    #: Another worker polls the kind at this moment.
    UNDER_WAY = "under way"
    #: The list of at least one processor raised an error; the other lists were read.
    LIST_REJECTED = "list rejected"
    #: A list has too many rows or took too long: the next poll reads it again.
    INCOMPLETE = "incomplete"
    #: Some rows have no usable id; all others were read.
    ROWS_REJECTED = "rows rejected"
    #: Connect did not answer, or refused.
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PollReport:
    """How the last poll of a kind ended."""

    #: When, by the ledger's clock.
    at: float = 0.0
    seconds: float = 0.0
    seen: int = 0
    new: int = 0
    problem: PollProblem = PollProblem.NONE
    #: What is wrong, for people; "" when nothing is.
    detail: str = ""


@dataclass(frozen=True, slots=True)
class StateChange:
    """One change of a cycle's state."""

    at: float
    state: State
    #: The worker that claimed it then, host and process id; "" when none did.
    worker: str = ""


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """All that the ledger stores of one request; times are seconds of Redis' clock."""

    ref: RequestKey
    state: State
    cycle: str
    fence: int
    attempt: int
    product: str = ""
    owner: str = ""
    #: When the lease ends, or when it is or was due; 0 in a state without either.
    due: float = 0.0
    decision: JSON = None
    steps: dict[str, JSON] = field(default_factory=dict)
    #: When each of the processor's own steps was done.
    step_times: dict[str, float] = field(default_factory=dict)
    #: How it ended (`approved`, `failed`, …), once completed.
    outcome: str = ""
    error: str = ""
    #: When this cycle began.
    first_seen: float = 0.0
    #: The last change of state.
    changed: float = 0.0
    #: Names of the cycles before this one, if Connect names them; the last 20.
    earlier: tuple[str, ...] = ()
    #: This cycle's last changes of state, oldest first; the last 24.
    history: tuple[StateChange, ...] = ()
    #: When the processor first snoozed the request in this cycle; 0 when it did not.
    snoozed_since: float = 0.0
    #: The operator's pause that it waits for; "" for none.
    paused_by: str = ""
    #: Why its encrypted decision, steps or error can't be read here; "" when they can.
    decrypt_error: str = ""
    #: What is wrong with the record; "" when nothing is. It is shown as parked if its state can't
    #: be read, and the scripts park it as soon as they meet it.
    corrupt: str = ""


# ---- concurrency limits: how many requests of an automation may be in its processor at once, over
# all workers


@dataclass(frozen=True, slots=True)
class Limit:
    """A number of slots that the requests of one automation share."""

    #: The automation's registered name.
    name: str
    max_concurrent: int


#: The limits of a kind by product, None for a product without one; "" stands for all others.
Limits = Mapping[str, Limit | None]

NO_LIMITS: Limits = MappingProxyType({})


def limit_for(limits: Limits, product: str) -> Limit | None:
    """Return the limit of a product's requests; None without one."""
    return limits[product] if product in limits else limits.get("")


# ---- routes: the queue and the priority of messages about an automation's requests

#: Redis has ten; 0 comes first.
PRIORITIES: Final = range(10)


@dataclass(frozen=True, slots=True)
class Route:
    """A queue, and a priority in it."""

    #: "" for the kind's own queue.
    queue: str = ""
    priority: int = 0


OWN_QUEUE: Final = Route()

#: Routes by kind and product; "" stands for all other products of the kind. Only kinds where an
#: automation has a route; for those, every named product has an entry.
Routes = Mapping[tuple[RequestKind, str], Route]

NO_ROUTES: Final[Routes] = MappingProxyType({})


def route_for(routes: Routes, kind: RequestKind, product: str) -> Route:
    """Return the route of a product's requests."""
    return routes.get((kind, product)) or routes.get((kind, "")) or OWN_QUEUE


@dataclass(frozen=True, slots=True)
class Backlog:
    """Which requests may have a message in a queue that no worker has taken yet."""

    #: The kinds, except products with their own entry.
    kinds: Collection[RequestKind] = ()
    #: By kind and product, if the product has its own queue.
    products: Mapping[tuple[RequestKind, str], bool] = field(default_factory=dict)

    def holds(self, kind: RequestKind, product: str) -> bool:
        """Whether a queue may hold messages about such a request."""
        return self.products.get((kind, product), kind in self.kinds)

    def __bool__(self) -> bool:
        return bool(self.kinds) or any(self.products.values())


NO_BACKLOG: Final = Backlog()

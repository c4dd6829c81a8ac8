"""What the ledger remembers of one request, as values.

A request's stay in `pending` is a *cycle*. One cycle goes through these states::

    queued ──> running ──> decided ──> posting ──> settled
      ^           │            ^           │
      │           ├─> retry    └───────────┤ reply lost, API down, 429
      │           ├─> waiting              ├─> superseded
      └───────────┴─> parked <─────────────┘

`queued`, `retry`, `waiting` and `decided` wait in the ledger until their time has come;
`running` and `posting` are owned by one worker under a lease and a fence. `settled`,
`superseded` and `discarded` end the cycle; `parked` waits for a person.
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
    """The four kinds of work Connect has for a vendor; the value names the Celery queue too.

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

    #: Seen pending; a message is (or was) on its way to a worker.
    QUEUED = "queued"
    #: A worker is inside the processor, under a lease.
    RUNNING = "running"
    #: The last attempt failed; runs again when it is due.
    RETRY = "retry"
    #: The processor said "not now" (a skip) or "not yet"; runs again when due, no attempt used.
    SNOOZED = "snoozed"
    #: The decision is stored and not wholly posted; a worker posts it when it is due.
    DECIDED = "decided"
    #: A worker is posting the stored decision, under a lease.
    POSTING = "posting"
    #: Every step of the decision was accepted by Connect.
    COMPLETED = "completed"
    #: Connect shows a status that somebody else decided; nothing was overwritten.
    SUPERSEDED = "superseded"
    #: Stopped for a person, with the error.
    PARKED = "parked"
    #: A person said that nothing is to be done.
    DISCARDED = "discarded"

    @property
    def is_final(self) -> bool:
        """Whether the cycle has ended."""
        return self in FINAL_STATES

    @property
    def is_leased(self) -> bool:
        """Whether one worker owns the request right now."""
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
    #: Connect's id, such as `PR-5852-1608-0000`; of a usage listing with the period to report,
    #: `LST-066-644-910@2026-11`: a late report of one period and the next period's are two things.
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
    """Return the key: the same over every retry, crash and rescue of a cycle, new for the next one.

    32 hexadecimal characters: a hash of the account, the kind, the id and the cycle.
    """
    text = "\n".join((account, ref.kind, ref.id, cycle))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """One request that a poll saw waiting."""

    ref: RequestKey
    #: The cycle where Connect tells it (`events.pended.at`, a status, a period); `None` where
    #: only the ledger can count the stays in `pending` (fulfillment requests).
    cycle: str | None = None
    #: The product's id, for the people who look; "" when the document names none.
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
    #: Whether failures of the account are counted: a success of this claim is worth telling.
    is_half_open_probe: bool = False
    #: The limit of which it holds a slot; "" when it needs none.
    limit: str = ""
    #: Why its decision or steps can't be read here: they are encrypted. "" when they can.
    decrypt_error: str = ""
    #: The name under which its product is counted.
    counted_as: str = ""
    #: When the processor said "not yet" for the first time in this cycle; 0 when it did not.
    snoozed_since: float = 0.0


class ClaimDenied(Enum):
    """Why a claim was not given; each is normal and ends the job quietly.

    The value is what `claim.lua` answers; `str` gives it in words, for people.

    Examples:
        >>> str(ClaimDenied.NOT_DUE)
        'not due'
    """

    #: The ledger does not know the request (it was flushed); the next poll finds it again.
    UNKNOWN = "unknown"
    #: Another worker holds it under a lease, or died and no sweep has seen it yet.
    BUSY = "busy"
    #: It waits for its time.
    NOT_DUE = "not_due"
    #: The cycle has ended, or waits for a person.
    ENDED = "ended"
    #: The account's circuit breaker is open (429, a refused key, Connect down).
    BREAKER_OPEN = "breaker_open"
    #: All slots of its concurrency limit are taken; it waits in the slot queue.
    CONCURRENCY_LIMIT = "concurrency_limit"
    #: An operator paused its processor; `resume` makes the request due.
    OPERATOR_PAUSE = "paused"

    def __str__(self) -> str:
        return self.value.replace("_", " ")


@dataclass(frozen=True, slots=True)
class DueBatch:
    """What one sweep of the ledger found due."""

    #: Publish a message for each.
    publish: list[RequestKey] = field(default_factory=list)
    #: Their lease ended without a word: the worker died. They are in `publish` or `parked` too.
    expired: list[RequestKey] = field(default_factory=list)
    #: Used up their attempts by dying.
    parked: list[RequestKey] = field(default_factory=list)
    #: How many records were due, those included whose message is taken to be in its queue still.
    looked_at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class BreakerState:
    """The account's shared pause: while closed, no worker calls Connect."""

    #: Seconds (Redis time) until which it is closed; 0 when it is open, and in the past while
    #: failures are counted.
    open_until: float = 0.0
    reason: str = ""
    #: Failed probes in a row; 0 when it is open or was closed by a 429.
    failures: int = 0


@dataclass(frozen=True, slots=True)
class RateLimitResult:
    """Whether, and when, one more call to Connect may be sent."""

    #: Seconds until the account's pause ends; 0 when there is none.
    breaker_seconds: float = 0.0
    reason: str = ""
    #: Seconds until the call's turn in the shared rate; 0 without a rate.
    wait_seconds: float = 0.0


#: The name of the pause that holds everything back; others are named by a kind or a product.
ALL = "all"


@dataclass(frozen=True, slots=True)
class Pause:
    """Since when, and why, a person holds processors back."""

    since: float
    reason: str = ""
    #: How many requests wait for its end, as far as a worker has tried them.
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
    #: The worker that claimed it then, host and process id; "" when nobody did.
    worker: str = ""


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """All that the ledger holds of one request; times are seconds of the Redis clock."""

    ref: RequestKey
    state: State
    cycle: str
    fence: int
    attempt: int
    product: str = ""
    owner: str = ""
    #: Leased: when the lease ends. Waiting states: when it is, or was, due. Else 0.
    due: float = 0.0
    decision: JSON = None
    steps: dict[str, JSON] = field(default_factory=dict)
    #: When each of the processor's own was done.
    step_times: dict[str, float] = field(default_factory=dict)
    #: How it ended (`approved`, `failed`, …) once settled.
    outcome: str = ""
    error: str = ""
    #: When this cycle began.
    first_seen: float = 0.0
    #: The last change of state.
    changed: float = 0.0
    #: Names of the cycles before this one, where Connect tells them; the last 20.
    earlier: tuple[str, ...] = ()
    #: This cycle's last changes of state, oldest first; the last 24.
    history: tuple[StateChange, ...] = ()
    #: When the processor said "not yet" for the first time in this cycle; 0 when it did not.
    snoozed_since: float = 0.0
    #: The pause for whose end it waits; "" for none.
    paused_by: str = ""
    #: Why its decision, steps or error can't be read here: they are encrypted. "" when they can.
    decrypt_error: str = ""


# How many requests of an automation may be inside its processor at once, over all workers.


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
    """Return the limit of a product's requests, if they have one."""
    return limits[product] if product in limits else limits.get("")


# Where messages about an automation's requests wait: in which queue, behind which others.

#: Redis has so many; 0 is taken first.
PRIORITIES: Final = range(10)


@dataclass(frozen=True, slots=True)
class Route:
    """A queue, and a priority in it."""

    #: "" for the kind's own queue.
    queue: str = ""
    priority: int = 0


OWN_QUEUE: Final = Route()

#: Routes by kind and product; "" stands for all other products of the kind. A kind is there when
#: one of its automations has a route, and then with each product that an automation names.
Routes = Mapping[tuple[RequestKind, str], Route]

NO_ROUTES: Final[Routes] = MappingProxyType({})


def route_for(routes: Routes, kind: RequestKind, product: str) -> Route:
    """Return the route of a product's requests."""
    return routes.get((kind, product)) or routes.get((kind, "")) or OWN_QUEUE


@dataclass(frozen=True, slots=True)
class Backlog:
    """Of whose requests messages wait that no worker has taken yet."""

    #: The kinds, products that have an entry of their own aside.
    kinds: Collection[RequestKind] = ()
    #: By kind and product, where the queue is not that of the kind's other products.
    products: Mapping[tuple[RequestKind, str], bool] = field(default_factory=dict)

    def holds(self, kind: RequestKind, product: str) -> bool:
        """Whether messages about such a request may wait."""
        return self.products.get((kind, product), kind in self.kinds)

    def __bool__(self) -> bool:
        return bool(self.kinds) or any(self.products.values())


NO_BACKLOG: Final = Backlog()

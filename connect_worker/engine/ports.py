"""What the engine needs of the world, as protocols: a ledger, Connect, a publisher, processors.

The adapters live elsewhere (`ledger/`, `api/`, `tasks/`, `resources/`); the engine imports
none of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from connect_worker.domain.kinds import ChangeHint, HintResult
from connect_worker.domain.metrics import HourlyCompletions
from connect_worker.domain.states import (
    JSON,
    NO_BACKLOG,
    NO_LIMITS,
    Backlog,
    BreakerState,
    Claim,
    ClaimDenied,
    DueBatch,
    Limits,
    Pause,
    PendingRequest,
    PollReport,
    RateLimitResult,
    RequestKey,
    RequestKind,
    RequestRecord,
    State,
)


class Ledger(Protocol):
    """The memory of every cycle; each method is one atomic change.

    Every method that takes a claim may be called twice with the same claim (a client that lost
    the reply repeats it) and then answers the same. With a claim that is no longer the current one
    it changes nothing and raises `LeaseLost`. When the store can't be reached, or refuses to
    write, every method raises `LedgerUnavailable`.

    All times are the store's own clock. Set forward, it may end a lease early: the cycle is run
    again under the same key, and the first run's writes are refused. Set back (a failover, NTP), it
    makes leases, delays and pauses longer by as much, and lets nobody in early; but a page asked
    for before that may begin a cycle, by count, of a request that ended after it. The job's own
    look at Connect, before the processor runs, ends that cycle.
    """

    def now(self) -> float:
        """Return the store's clock, in seconds since the epoch."""

    def register(
        self, sightings: Sequence[PendingRequest], *, seen_at: float, requeue_seconds: float
    ) -> list[RequestKey]:
        """Take note of requests seen waiting; return those that need a message.

        A request without a record, or whose cycle has ended *before* `seen_at` (the ledger's clock
        before the page was asked for), starts a new cycle as `queued`: attempt 0, no decision, no
        steps. A record whose cycle ended after `seen_at` is left alone: the page is older than the
        end. So is a discarded one while it goes on being pending; `rerun` takes it back.
        Where the sighting names its cycle, the same name never starts again (the last 20 are
        remembered), and another name starts a new cycle, unless a worker holds the request under a
        live lease or the record changed after `seen_at`. A cycle replaced before its end counts as
        superseded. The cycles of one request are all named or all counted.
        A queued record is looked at by `wake` after `requeue_seconds`. An ended record that is
        sighted is kept for another `keep_seconds`.
        """

    def claim(
        self, ref: RequestKey, *, owner: str, lease_seconds: float, limits: Limits = NO_LIMITS
    ) -> Claim | ClaimDenied:
        """Take the request for one run: fence + 1, and attempt + 1 unless a decision is stored.

        Given for `queued`, and for `retry`, `waiting` and `decided` that are due; never
        while a lease lives or the gate is closed. With a stored decision the state becomes
        `posting`, else `running`. The same owner asking again gets the same claim, its lease from
        then on. An ended lease keeps all others out until `wake` has seen it. A closed gate
        moves the request's time to the gate's end and answers `PAUSED`; of a gate that was closed
        for failures and whose time is over, one claim passes until `open_gate` or `close_gate` is
        called or its lease ends. While failures are counted, each claim says so (`probe=True`).

        Where the product's requests have a limit, a claim without a stored decision takes a slot of
        it, and gives it back with the next change of state (`decide` too) or when the lease ends.
        While all are taken the answer is `FULL`: the request gets in line, no attempt is used.

        While a person has paused its processor, by kind, product or for all, a claim without a
        stored decision is `HELD`: no attempt is used, and `resume` wakes the request.
        """

    def renew_lease(self, claim: Claim) -> bool:
        """Renew the lease (a heartbeat); False when the claim is no longer the current one."""

    def decide(self, claim: Claim, decision: JSON) -> None:
        """Store the decision, once and for the cycle; the claim goes on as `posting`.

        A second, different decision for the cycle is refused with `LeaseLost`. Documents are
        compared, and come back, with sorted keys.

        Raises:
            ValueError: The decision is null, or no JSON.
        """

    def record_step(self, claim: Claim, step: str, result: JSON) -> None:
        """Journal one step as done; a step's first result stays, and of a processor's its time."""

    def complete(self, claim: Claim, outcome: str, *, keep_seconds: float) -> None:
        """End the cycle as `settled`; the record is kept for `keep_seconds`."""

    def supersede(self, claim: Claim, status: str, *, keep_seconds: float) -> None:
        """End the cycle as `superseded`, with the status that Connect shows as its outcome."""

    def reschedule(
        self,
        claim: Claim,
        state: State,
        *,
        delay_seconds: float,
        error: str = "",
        attempt_used: bool = True,
        cause: str = "",
        not_yet: bool = False,
    ) -> None:
        """Give the claim up; due again after the delay. With a cause it counts as a retry for it.

        `retry` and `waiting` drop a stored decision (done steps stay); `decided` keeps it.
        `attempt_used=False` gives back the attempt that the claim counted (never below 0; a claim
        of a stored decision counted none). The time of a cycle's first `not_yet` is remembered.

        Raises:
            ValueError: Another state than these three, or `decided` without a stored decision.
        """

    def park(self, claim: Claim, error: str) -> None:
        """Give the claim up for a person to look at; a stored decision is kept."""

    def take_due(
        self,
        *,
        limit: int,
        requeue_seconds: float,
        max_attempts: int,
        backlogged: Backlog = NO_BACKLOG,
    ) -> DueBatch:
        """Find what is due: what to publish, whose worker died, what is parked for it.

        An ended lease of a `running` request makes it `retry` (or `parked` at `max_attempts`), of a
        `posting` one `decided`; both are published at once. A published record is looked at, and
        published again, each `requeue_seconds` until somebody claims it; one in line for a slot
        ever more rarely, up to once an hour.
        Of a kind or product in `backlogged` an unanswered message is taken to be in the queue
        still, and only each 64th look publishes another one. So a message that a dead worker took
        along is replaced
        as soon as the queue is empty.
        """

    def take_from_slot_queue(self, limit: str = "", *, requeue_seconds: float) -> list[RequestKey]:
        """Let as many out of line as the limit has room for; return them, to be published.

        Of all limits when none is named; the cycles that began first come first. They hold no slot:
        the claim takes it. `wake` looks at them after `requeue_seconds`. None while the account
        pauses.
        """

    def mark_decided_elsewhere(
        self, ref: RequestKey, status: str, *, seen_at: float, keep_seconds: float
    ) -> bool:
        """End a cycle that nobody holds because the request was seen with another status.

        True when the record was changed; untouched when leased, ended, or changed after `seen_at`.
        `decided` is untouched too: the status may be the decision's own, whose reply was lost, and
        the worker that takes it up compares them.
        """

    def rerun(self, ref: RequestKey, *, forget_steps: bool = False) -> bool:
        """Parked or discarded → queued, same cycle: attempts anew, no decision, steps stay.

        `forget_steps` drops the results of the processor's own steps; those of the engine stay.
        """

    def repost(self, ref: RequestKey) -> bool:
        """Parked with a decision → decided, due now."""

    def discard(self, ref: RequestKey, *, keep_seconds: float) -> bool:
        """Parked → discarded: the cycle ends and nothing is posted."""

    def pause(self, name: str, *, reason: str = "") -> None:
        """Hold processors back: `all`, those of a kind, or those of a product; until `resume`.

        What runs already ends, and stored decisions are posted. Polls go on: what they see waits.
        """

    def resume(self, name: str) -> int:
        """End a pause and have those woken that it held; return how many they are.

        A request that another pause holds too waits for the end of that one. After a lost reply the
        number may be too small.
        """

    def pauses(self) -> Mapping[str, Pause]:
        """Return the pauses in force, by name."""

    def breaker(self) -> BreakerState:
        """Return the account's shared pause."""

    def trip_breaker(
        self, *, seconds: float, reason: str, failed: bool, asked: bool = False
    ) -> BreakerState:
        """Pause the account for all workers, at least for `seconds`; never shortens a pause.

        `failed` counts one more failure in a row (for the caller's backoff), unless the gate is
        closed for failures already; a 429 is none. With 0 seconds nothing is closed, only counted.
        A pause that Connect `asked` for lasts until its end, whoever opens the gate meanwhile.
        """

    def reset_breaker(self, *, forget: bool = True) -> None:
        """End the pause, and forget its failures unless told otherwise.

        What Connect asked for stays: the call that succeeded was sent before. With the failures
        kept, the next one closes the gate for longer.
        """

    def acquire_call(self, *, calls_per_second: float | None = None) -> RateLimitResult:
        """Tell whether one more call to Connect may be sent, and take its turn in a shared rate.

        The turns of all callers are evenly spaced, with no credit for a time without calls. While
        the account pauses, none is taken. A call repeated for a lost reply wastes a turn, no more.
        """

    def lock(self, name: str, *, owner: str, seconds: float) -> bool:
        """Take or renew a named lock for a while; False while somebody else holds it."""

    def unlock(self, name: str, *, owner: str) -> None:
        """Give a named lock back, when it is still the owner's."""

    def add_hint(
        self, notice: ChangeHint, *, digest: str, remember_seconds: float, requeue_seconds: float
    ) -> tuple[HintResult, ChangeHint]:
        """Note a notification down; tell whether a worker has to be told, and of what.

        A digest that is remembered is `REPLAYED`, and nothing is changed. A notice that nobody has
        followed yet is `KNOWN`: its message is on its way, or `unanswered` will name it. Of more
        than a thousand notices only the kind is kept: what comes back is then the whole kind's.
        """

    def hint_mark(self, notice: ChangeHint) -> str:
        """Return the mark of its last notification; "" when nobody has to look."""

    def acknowledge_hint(self, notice: ChangeHint, mark: str) -> bool:
        """Say that somebody has looked, and had this mark before.

        False when another notification has come since: what it tells of may have been missed.
        """

    def defer_hint(self, notice: ChangeHint, *, seconds: float) -> None:
        """Have `unanswered` name it after so many seconds; one that was answered stays so."""

    def stale_hints(self, *, limit: int, requeue_seconds: float) -> list[ChangeHint]:
        """Return notices whose message nobody has answered for `requeue_seconds`, oldest first.

        Each is named again after another `requeue_seconds`.
        """

    def record_poll(self, kind: RequestKind, poll: PollReport) -> None:
        """Note down how a kind's poll has ended; its time is the ledger's."""

    def polls(self) -> Mapping[RequestKind, PollReport]:
        """Return how the last poll of each kind ended that was polled yet."""

    def products(self, refs: Sequence[RequestKey]) -> list[str]:
        """Return the product of each request; "" where none is known."""

    def get_record(self, ref: RequestKey) -> RequestRecord | None:
        """Return the record of one request, or None."""

    def iter_records(
        self, *, kind: RequestKind | None = None, states: Collection[State] = (), prefix: str = ""
    ) -> Iterator[RequestRecord]:
        """Yield the records of a kind, in some states, whose ids begin so; all without a filter.

        Read in pages, in no order. A record that is there throughout is given once; one that comes,
        goes or changes its state meanwhile, perhaps. Records of ended cycles are there for
        `keep_seconds`; unless `states` leaves them out, the whole store is walked through.
        """

    def oldest(self) -> Mapping[RequestKind, float | None]:
        """Return when the longest waiting cycle of each kind began; parked ones do not wait."""

    def parked(self, kind: RequestKind | None = None) -> list[RequestKey]:
        """Return the parked requests of one kind, or of all, longest parked first."""

    def get_records(self, refs: Sequence[RequestKey]) -> list[RequestRecord]:
        """Return the records of several requests, in their order, without those not there."""

    def counts(self) -> Mapping[RequestKind, Mapping[State, int]]:
        """Return how many requests are in each state now; final states count since the start.

        Every kind and state is there, with 0 where it has none.
        """

    def outcomes(self) -> Mapping[RequestKind, Mapping[str, int]]:
        """Return how many cycles ended with each outcome (`approved`, …) since the start.

        A superseded cycle counts with Connect's status. Every kind is there.
        """

    def outcomes_today(self) -> Mapping[RequestKind, Mapping[str, int]]:
        """Return the same since midnight, UTC, by the ledger's clock."""

    def completed_by_hour(self, hours: int) -> list[HourlyCompletions]:
        """Return what was settled in so many hours, 48 at most; the last one still goes on.

        Oldest first; every hour and every kind is there. How long a cycle took is counted from its
        first sight to its end.
        """


class Publisher(Protocol):
    """Sends wake-up calls; losing one is harmless."""

    def publish(self, refs: Iterable[RequestKey]) -> None:
        """Send one message per request to its kind's queue."""

    def publish_hints(self, notices: Iterable[ChangeHint]) -> None:
        """Send one message per notice to the queue of polls and sweeps."""

    def backlogged(self) -> Backlog:
        """Tell of whose requests messages wait that no worker has taken yet."""


class ProcessKiller(Protocol):
    """Ends the process of a run that takes too long, where it has one of its own."""

    def arm(self, seconds: float) -> None:
        """End it some time after so many seconds, even if it lets no thread of its own in."""

    def disarm(self) -> None:
        """Forget what `arm` was told."""

    def end(self) -> None:
        """End it now."""


class Connect(Protocol):
    """Connect's REST API, as JSON; `connect_worker.api.Client` is the adapter.

    Errors are those of `connect_worker.exceptions`: `RateLimited`, `Unauthorized`, `ApiError`, …
    """

    def get(self, path: str, params: Mapping[str, str] | None = None) -> JSON:
        """Return the JSON document at the path."""

    def get_all(self, path: str, query: str | Mapping[str, object] | None = None) -> Iterable[JSON]:
        """Return every row of a collection, all pages."""

    def send(self, method: str, path: str, json: JSON, *, key: str) -> JSON:
        """Change something, with the cycle's idempotency key; never repeated by the client."""

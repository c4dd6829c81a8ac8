"""What the engine needs of the world, as protocols: a ledger, Connect, a publisher, processors.

The adapters live elsewhere (`ledger/`, `api/`, `tasks/`, `resources/`); the engine imports
none of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from connect_worker.domain.kinds import ChangeHint, HintResult
from connect_worker.domain.metrics import HourlyCompletions, MetricCounts, WorkerLoad
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

# ---- the ledger: seven ports of one concern each, and all of them together


class LedgerClock(Protocol):
    """The ledger's clock, of which all times in the ledger are.

    It follows the store's clock. When that is set back (a failover, NTP), the ledger's clock stands
    still, and goes on from there a tenth slower until both agree. When it is set forward, delays
    and open breakers end early. That looks like a time in which no one called the ledger:
    no lease could be renewed then, so that leases lose only `MAX_GAP_MS` of it.
    """

    def now(self) -> float:
        """Return the ledger's clock, in seconds since the epoch."""


class RequestRecords(LedgerClock, Protocol):
    """The life of a cycle, from register to its end; each method is one atomic change.

    Every method that takes a claim may be called twice with the same claim (a client that lost
    the reply repeats the call) and then answers the same. With a claim that is no longer the
    current one it changes nothing and raises `LeaseLost`.
    """

    def register(
        self, pending: Sequence[PendingRequest], *, seen_at: float, requeue_seconds: float
    ) -> list[RequestKey]:
        """Register pending requests; return those that need a message.

        A request without a record, or whose cycle has ended *before* `seen_at` (the ledger's clock
        before the page was requested), starts a new cycle as `queued`: attempt 0, no decision, no
        steps. A record whose cycle ended after `seen_at` stays as it is: the page is older than the
        end. So does a discarded one while it goes on being pending; `rerun` takes it back.
        Where the pending request names its cycle, the same name never starts again (the last 20 are
        remembered), and another name starts a new cycle, unless a worker holds the request under a
        live lease or the record changed after `seen_at`. A cycle replaced before its end counts as
        superseded. The cycles of one request are all named or all counted.
        `take_due` checks a queued record after `requeue_seconds`. An ended record that is still
        pending is kept for another `keep_seconds`.
        """

    def claim(
        self, ref: RequestKey, *, owner: str, lease_seconds: float, limits: Limits = NO_LIMITS
    ) -> Claim | ClaimDenied:
        """Take the request for one run: fence + 1, and attempt + 1 unless a decision is stored.

        Given for `queued`, and for `retry`, `snoozed` and `decided` that are due; never
        while a lease lives or the circuit breaker is open. With a stored decision the state becomes
        `posting`, else `running`. The same owner asking again gets the same claim, its lease from
        then on. A lease that has ended keeps all others out until `take_due` has found it. An open
        breaker moves the request's time to the breaker's end and denies the claim with
        `BREAKER_OPEN`. A breaker that was opened for failures and whose time is over is half-open:
        one claim passes until `reset_breaker` or `trip_breaker` is called or its lease ends. While
        failures are counted, each claim says so (`is_half_open_probe`).

        Where the product's requests have a limit, a claim without a stored decision takes a slot of
        it, and gives it back with the next change of state (`decide` too) or when the lease ends.
        While all are taken the claim is denied with `CONCURRENCY_LIMIT`: the request joins the slot
        queue, no attempt is used.

        While an operator has paused its processor, by kind, product or for all, a claim without a
        stored decision is denied with `OPERATOR_PAUSE`: no attempt is used, and `resume` makes the
        request due.
        """

    def renew_lease(self, claim: Claim) -> bool:
        """Renew the lease; False when the claim is no longer the current one."""

    def decide(self, claim: Claim, decision: JSON) -> None:
        """Store the decision, once and for the cycle; the claim goes on as `posting`.

        A second, different decision for the cycle is refused with `LeaseLost`. Documents are
        compared, and come back, with sorted keys.

        Raises:
            ValueError: The decision is null, or not JSON.
        """

    def record_step(self, claim: Claim, step: str, result: JSON) -> None:
        """Record one step in the journal as done; its first result stays.

        Of a processor's own step the time is recorded, too.
        """

    def complete(self, claim: Claim, outcome: str, *, keep_seconds: float, error: str = "") -> None:
        """End the cycle as `completed`; the record is kept for `keep_seconds`, with the error."""

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
        """Release the claim; the request is due again after the delay.

        With a cause it counts as a retry for it. `retry` and `snoozed` drop a stored decision (done
        steps stay); `decided` keeps it. `attempt_used=False` gives back the attempt that the claim
        counted (never below 0; a claim of a stored decision counted none). The time of a cycle's
        first `not_yet` is remembered.

        Raises:
            ValueError: Another state than these three, or `decided` without a stored decision.
        """

    def park(self, claim: Claim, error: str) -> None:
        """Release the claim and stop the request for an operator; a stored decision is kept."""

    def take_due(
        self,
        *,
        limit: int,
        requeue_seconds: float,
        max_attempts: int,
        backlogged: Backlog = NO_BACKLOG,
        rescue_seconds: tuple[float, float] = (0.0, 0.0),
    ) -> DueBatch:
        """Find the requests that are due, that lost their worker, or that were parked for that.

        When the lease of a `running` request has expired, the request becomes `retry` (or `parked`
        at `max_attempts`); a `posting` request becomes `decided`. Both are published at once, but
        a `running` one waits from its second death on: at first up to the first of
        `rescue_seconds`, then twice as long each time, up to the second. Half of the delay differs
        from request to request, so that those that died together do not run together again.
        A published record is checked, and published again, every `requeue_seconds` until a worker
        answers the message; in a slot queue the interval grows, up to an hour.
        For a kind or product in `backlogged` an unanswered message is assumed to be in the queue
        still, and only each 64th check publishes another one. So a message that a dead worker took
        along is replaced as soon as the queue is empty.
        """

    def take_from_slot_queue(self, limit: str = "", *, requeue_seconds: float) -> list[RequestKey]:
        """Take as many requests from the slot queue as the limit has free slots; return them.

        The caller publishes them. Of all limits when none is named; the cycles that began first
        come first. They hold no slot: the claim takes it. `take_due` checks them after
        `requeue_seconds`. None while the circuit breaker is open.
        """

    def mark_decided_elsewhere(
        self, ref: RequestKey, status: str, *, seen_at: float, keep_seconds: float
    ) -> bool:
        """End a cycle that no worker holds because the request was seen with another status.

        True when the record was changed; untouched when leased, ended, or changed after `seen_at`.
        `decided` is untouched too: the status may be the decision's own, whose reply was lost, and
        the worker that claims it compares them.
        """


class RecordReader(Protocol):
    """Reads the records of requests."""

    def get_record(self, ref: RequestKey) -> RequestRecord | None:
        """Return the record of one request, or None."""

    def get_records(self, refs: Sequence[RequestKey]) -> list[RequestRecord]:
        """Return the records of several requests, in their order, without those not there."""

    def iter_records(
        self, *, kind: RequestKind | None = None, states: Collection[State] = (), prefix: str = ""
    ) -> Iterator[RequestRecord]:
        """Yield the records of a kind, in some states, whose ids begin so; all without a filter.

        Read in pages, in no order. A record that exists during the whole scan is yielded once; one
        that is added, removed or changed during the scan may be missing. Records of ended cycles
        stay for `keep_seconds`; unless `states` leaves them out, the whole store is scanned.
        """

    def products(self, refs: Sequence[RequestKey]) -> list[str]:
        """Return the product of each request; "" where none is known."""

    def parked(self, kind: RequestKind | None = None) -> list[RequestKey]:
        """Return the parked requests of one kind, or of all, longest parked first."""


class OperatorActions(Protocol):
    """What an operator changes by hand."""

    def rerun(self, ref: RequestKey, *, forget_steps: bool = False) -> bool:
        """Parked or discarded → queued, same cycle: attempt 0 again, no decision, steps stay.

        `forget_steps` drops the results of the processor's own steps; those of the engine stay.
        """

    def repost(self, ref: RequestKey) -> bool:
        """Parked with a decision → decided, due now."""

    def discard(self, ref: RequestKey, *, keep_seconds: float) -> bool:
        """Parked → discarded: the cycle ends and nothing is posted."""

    def pause(self, name: str, *, reason: str = "") -> None:
        """Pause processors until `resume`: `all`, those of a kind, or those of a product.

        What runs already ends, and stored decisions are posted. Polls go on: what they register
        waits.
        """

    def resume(self, name: str) -> int:
        """End a pause and make the requests due that wait for its end; return how many they are.

        A request to which another pause applies waits for the end of that one. After a lost reply
        the number may be too small.
        """

    def pauses(self) -> Mapping[str, Pause]:
        """Return the pauses in force, by name."""


class CircuitBreaker(Protocol):
    """Whether, and how often, the workers of an account may call Connect."""

    def breaker(self) -> BreakerState:
        """Return the state of the account's circuit breaker."""

    def trip_breaker(
        self, *, seconds: float, reason: str, failed: bool, asked: bool = False
    ) -> BreakerState:
        """Open the breaker for all workers, at least for `seconds`; never shortens its time.

        `failed` counts one more failure in a row (for the caller's backoff), unless the breaker is
        open for failures already; a 429 is not a failure. With 0 seconds the breaker does not open,
        and only the failure is counted. A pause that Connect itself `asked` for lasts until its
        end, even if an operator resets the breaker.
        """

    def reset_breaker(self, *, forget: bool = True) -> None:
        """Close the breaker; forget its failures, unless `forget` is false.

        A pause that Connect asked for stays: the call that succeeded was sent before. With the
        failures kept, the next one opens the breaker for longer.
        """

    def acquire_call(self, *, calls_per_second: float | None = None) -> RateLimitResult:
        """Say when one more call to Connect may be sent, and reserve its place in the shared rate.

        The places of all callers are evenly spaced; a time without calls gives no credit. While the
        breaker is open, none is reserved. A call repeated for a lost reply wastes one place.
        """


class Locks(Protocol):
    """Named locks that end by themselves."""

    def lock(self, name: str, *, owner: str, seconds: float) -> bool:
        """Take or renew a named lock for a while; False while another owner has it."""

    def unlock(self, name: str, *, owner: str) -> None:
        """Give a named lock back, when it is still the owner's."""


class ChangeHints(Protocol):
    """The change hints of notifications, kept until a worker has asked Connect."""

    def add_hint(
        self, hint: ChangeHint, *, digest: str, remember_seconds: float, requeue_seconds: float
    ) -> tuple[HintResult, ChangeHint]:
        """Store the hint of a notification; say whether a message must be sent, and of which hint.

        A digest that is remembered is `REPLAYED`, and nothing is changed. A hint that no worker has
        acknowledged yet is `KNOWN`: its message is on its way, or `stale_hints` will name it. Of
        more than a thousand hints only the kind is kept: what comes back is then the whole kind's.
        """

    def hint_mark(self, hint: ChangeHint) -> str:
        """Return the mark of its last notification; "" when no hint is stored."""

    def acknowledge_hint(self, hint: ChangeHint, mark: str) -> bool:
        """Remove a hint after a refresh that began when its mark was this one.

        False when another notification has come since: the refresh may have missed its change.
        """

    def defer_hint(self, hint: ChangeHint, *, seconds: float) -> None:
        """Have `stale_hints` return the hint after `seconds`, unless it was acknowledged."""

    def stale_hints(self, *, limit: int, requeue_seconds: float) -> list[ChangeHint]:
        """Return hints that no worker has acknowledged for `requeue_seconds`, oldest first.

        Each is returned again after another `requeue_seconds`.
        """


class Counters(LedgerClock, Protocol):
    """What is counted of an account, for people and dashboards; and how its polls ended."""

    def record_poll(self, kind: RequestKind, poll: PollReport) -> None:
        """Store how a kind's poll ended; its time is the ledger's."""

    def polls(self) -> Mapping[RequestKind, PollReport]:
        """Return how the last poll of each kind ended that was polled yet."""

    def counts(self) -> Mapping[RequestKind, Mapping[State, int]]:
        """Return how many requests are in each state now; final states count since the start.

        Every kind and state is there, with 0 where it has none.
        """

    def counts_by_product(self) -> Mapping[tuple[RequestKind, str], Mapping[State, int]]:
        """Return the same by kind and product, without zeros."""

    def outcomes(self) -> Mapping[RequestKind, Mapping[str, int]]:
        """Return how many cycles ended with each outcome (`approved`, …) since the start.

        A superseded cycle counts with Connect's status. Every kind is there.
        """

    def outcomes_by_product(self) -> Mapping[tuple[RequestKind, str], Mapping[str, int]]:
        """Return the same by kind and product."""

    def outcomes_today(self) -> Mapping[RequestKind, Mapping[str, int]]:
        """Return the outcomes since midnight, UTC, by the ledger's clock."""

    def completed_by_hour(self, hours: int) -> list[HourlyCompletions]:
        """Return the completions of the last `hours`, 48 at most; the last hour is not over yet.

        Oldest first; every hour and every kind is there. How long a cycle took is counted from its
        registration to its end.
        """

    def oldest(self) -> Mapping[RequestKind, float | None]:
        """Return when the oldest unfinished cycle of each kind began; parked ones do not count."""

    def oldest_by_product(self) -> Mapping[tuple[RequestKind, str], float]:
        """Return the same by kind and product; behind a long backlog, an upper bound of the age."""

    def metrics(self) -> MetricCounts:
        """Return what was counted in addition to states and outcomes, since the start."""

    def record_worker(self, name: str, load: WorkerLoad) -> None:
        """Store what a worker does now; it is forgotten after `WORKER_SECONDS`."""

    def workers(self) -> Mapping[str, WorkerLoad]:
        """Return what each worker does that has reported lately, by its name."""


class Ledger(
    RequestRecords,
    RecordReader,
    OperatorActions,
    CircuitBreaker,
    Locks,
    ChangeHints,
    Counters,
    Protocol,
):
    """The memory of every cycle of an account.

    When the store can't be reached, or refuses to write, every method raises `LedgerUnavailable`.
    A function that needs less takes the smallest of these ports.
    """


class Publisher(Protocol):
    """Sends wake-up calls; losing one is harmless."""

    def publish(self, refs: Iterable[RequestKey]) -> None:
        """Send one message per request to its kind's queue."""

    def publish_hints(self, notices: Iterable[ChangeHint]) -> None:
        """Send one message per hint to the queue of polls and sweeps."""

    def backlogged(self) -> Backlog:
        """Return the kinds and products whose messages no worker has taken yet."""


class ProcessKiller(Protocol):
    """Kills the process of a run that exceeds its time limit, where it has its own process."""

    def arm(self, seconds: float) -> None:
        """Kill it shortly after `seconds`, even if it lets none of its threads run."""

    def disarm(self) -> None:
        """Cancel the last `arm`."""

    def end(self) -> None:
        """Kill it now."""


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

"""The ledger in Redis: each method is one Lua script, or one read.

What a method promises is said in `connect_worker.engine.ports.Ledger`; how it is stored, in
`lua/_prelude.lua`. Safe to share between threads, and over a fork.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Self, TypeVar
from uuid import uuid4

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from connect_worker.domain.kinds import ChangeHint, HintResult
from connect_worker.domain.metrics import MetricBuffer, NullMetricBuffer
from connect_worker.domain.states import (
    FINAL_STATES,
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
from connect_worker.domain.steps import OWN, is_own
from connect_worker.exceptions import LeaseLost
from connect_worker.ledger.codec import (
    clip,
    flat_backlog,
    flat_limits,
    flat_measures,
    microseconds_between,
    milliseconds,
    poll_to_text,
    to_claim,
    to_entry,
    to_poll,
    to_text,
)
from connect_worker.ledger.encryption import cipher_for, opened
from connect_worker.ledger.scripts import Scripts, escaped
from connect_worker.ledger.statistics import Numbers

# Notices in Redis: what notifications have said, until somebody has looked.

#: So many notices are kept by request; of more, only the kinds.
MOST: Final = 1000


class Notices:
    """The part of `RedisLedger` that receivers of notifications use."""

    _scripts: Scripts

    def add_hint(
        self, notice: ChangeHint, *, digest: str, remember_seconds: float, requeue_seconds: float
    ) -> tuple[HintResult, ChangeHint]:
        """Note a notification down."""
        times = max(1, milliseconds(remember_seconds)), milliseconds(requeue_seconds)
        call = uuid4().hex[:16]
        said, name = self._scripts.run(
            "add_hint", str(notice), notice.kind, call, *times, MOST, key=f"notification:{digest}"
        )
        return HintResult(said), ChangeHint.parse(name)

    def hint_mark(self, notice: ChangeHint) -> str:
        """Return the mark of the last notification that nobody has followed."""
        mark: str = self._scripts.run("hint_mark", str(notice))
        return mark

    def acknowledge_hint(self, notice: ChangeHint, mark: str) -> bool:
        """Say that somebody has looked since the notification with this mark."""
        return bool(self._scripts.run("acknowledge_hint", str(notice), mark))

    def defer_hint(self, notice: ChangeHint, *, seconds: float) -> None:
        """Have another message sent about it after a while."""
        self._scripts.run("defer_hint", str(notice), milliseconds(seconds))

    def stale_hints(self, *, limit: int, requeue_seconds: float) -> list[ChangeHint]:
        """Return the notices that nobody has followed for too long."""
        names = self._scripts.run("stale_hints", limit, milliseconds(requeue_seconds))
        return [ChangeHint.parse(name) for name in names]


T = TypeVar("T")

#: Redis does nothing else while a script runs: so many requests take it a few milliseconds.
BATCH = 500


def connect(url: str, *, timeout_seconds: float = 5.0) -> redis.Redis:
    """Return a client as the ledger needs it; nothing is sent yet.

    A command whose reply was lost is sent again, up to 3 times within about a second beside the
    timeouts; each script recognises its repetition. READONLY is repeated too, on a new
    connection: after a failover the name leads to the new primary.

    Raises:
        ValueError: The URL is none that Redis clients know.
    """
    return redis.Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        health_check_interval=30,
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), retries=3),
        retry_on_error=[redis.ReadOnlyError],
    )


class RedisLedger(Numbers, Notices):
    """Remembers every cycle of one account; the truth that all workers share.

    Args:
        client: From `connect`, or any client with `decode_responses=True`.
        account: Separates the accounts that share a Redis; a text without braces.
        keys: To encrypt decisions, results of steps and errors with; see `ledger/encryption.py`.
        tally: What this process counts; told to the ledger with the end of a job or poll.
        clock: As `Scripts` takes it.

    Raises:
        SettingsError: A key can't be used.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        account: str,
        keys: Sequence[str] = (),
        tally: MetricBuffer | None = None,
        clock: str | None = None,
    ) -> None:
        super().__init__(Scripts(client, account=account, clock=clock))
        self._cipher = cipher_for(keys)
        self._tally = tally or NullMetricBuffer()

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        account: str,
        keys: Sequence[str] = (),
        tally: MetricBuffer | None = None,
        timeout_seconds: float = 5.0,
    ) -> Self:
        """Return a ledger with a client of its own; nothing is sent yet."""
        client = connect(url, timeout_seconds=timeout_seconds)
        return cls(client, account=account, keys=keys, tally=tally)

    # ---- the way of a request

    def register(
        self, sightings: Sequence[PendingRequest], *, seen_at: float, requeue_seconds: float
    ) -> list[RequestKey]:
        """Take note of requests seen waiting; return those that need a message.

        After a crash between two batches the poll simply comes again.
        """
        times = milliseconds(seen_at), milliseconds(requeue_seconds)
        begun: list[RequestKey] = []
        for batch in _batches(sightings):
            rows = [[str(item.ref), item.cycle or "", item.product] for item in batch]
            positions = self._scripts.run("register", *times, to_text(rows))
            begun += [batch[position].ref for position in positions]
        return begun

    def claim(
        self, ref: RequestKey, *, owner: str, lease_seconds: float, limits: Limits = NO_LIMITS
    ) -> Claim | ClaimDenied:
        """Take the request for one run, in one round trip."""
        lease, flat = milliseconds(lease_seconds), flat_limits(limits)
        verdict, *given = self._scripts.run("claim", str(ref), owner, lease, *flat)
        if verdict != "ok":
            return ClaimDenied(verdict)
        probe, pairs = given
        stored = dict(zip(pairs[::2], pairs[1::2], strict=True))
        fields, sealed = opened(stored, self._cipher)
        return to_claim(ref, fields, lease_seconds=lease_seconds, probe=probe == 1, sealed=sealed)

    def renew_lease(self, claim: Claim) -> bool:
        """Renew the lease; False when the claim is no longer the current one."""
        return self._by_claim("renew_lease", claim, milliseconds(claim.lease_seconds)) == "ok"

    def decide(self, claim: Claim, decision: JSON) -> None:
        """Store the decision, once and for the cycle."""
        if decision is None:
            raise ValueError("null is no decision: it could not be told from none")
        text = to_text(decision)
        verdict = self._by_claim("decide", claim, self._cipher.seal(text))
        if verdict == "other" and not self._has_decided(claim.ref, text):
            raise LeaseLost(f"{claim.ref}: another decision is stored for cycle {claim.cycle}")
        _demand("ok" if verdict == "other" else verdict, claim)

    def _has_decided(self, ref: RequestKey, text: str) -> bool:
        """Compare decisions that are never equal when they are encrypted; a stored one stays."""
        entry = self.get_record(ref)
        return entry is not None and not entry.decrypt_error and to_text(entry.decision) == text

    def record_step(self, claim: Claim, step: str, result: JSON) -> None:
        """Journal one step as done; a step's first result stays."""
        text, with_time = self._cipher.seal(to_text(result)), int(is_own(step))
        _demand(self._by_claim("record_step", claim, step, text, with_time), claim)

    def complete(self, claim: Claim, outcome: str, *, keep_seconds: float) -> None:
        """End the cycle as `settled`."""
        self._give_up("complete", claim, outcome, _span(keep_seconds))

    def supersede(self, claim: Claim, status: str, *, keep_seconds: float) -> None:
        """End the cycle as `superseded`."""
        self._give_up("supersede", claim, status, _span(keep_seconds))

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
        """Give the claim up; due again after the delay."""
        if state not in (State.RETRY, State.SNOOZED, State.DECIDED):
            raise ValueError(f"a claim is put back to retry, waiting or decided, not to {state}")
        delay, text = milliseconds(delay_seconds), self._error(error)
        flags = int(attempt_used), cause, int(not_yet)
        verdict = self._give_up("reschedule", claim, state, delay, text, *flags)
        if verdict == "undecided":
            raise ValueError(f"{claim.ref} has no decision to be put back with")

    def park(self, claim: Claim, error: str) -> None:
        """Give the claim up for a person to look at."""
        self._give_up("park", claim, self._error(error))

    def _error(self, error: str) -> str:
        return self._cipher.seal(clip(error)) if error else ""

    # ---- the sweep, and what polls see beside it

    def take_due(
        self,
        *,
        limit: int,
        requeue_seconds: float,
        max_attempts: int,
        backlogged: Backlog = NO_BACKLOG,
    ) -> DueBatch:
        """Find what is due; in batches, so that Redis serves others in between."""
        requeue, waiting = milliseconds(requeue_seconds), flat_backlog(backlogged)
        publish: list[RequestKey] = []
        expired: list[RequestKey] = []
        parked: list[RequestKey] = []
        total = 0
        while total < limit:
            size = min(limit - total, BATCH)
            looked, *found = self._scripts.run("take_due", size, requeue, max_attempts, waiting)
            for refs, texts in zip((publish, expired, parked), found, strict=True):
                refs += map(RequestKey.parse, texts)
            total += looked
            if looked < size:
                break
        return DueBatch(publish, expired, parked, total)

    def take_from_slot_queue(self, limit: str = "", *, requeue_seconds: float) -> list[RequestKey]:
        """Let as many out of each line as their limit has room for."""
        refs = self._scripts.run("take_from_slot_queue", milliseconds(requeue_seconds), limit)
        return [RequestKey.parse(ref) for ref in refs]

    def mark_decided_elsewhere(
        self, ref: RequestKey, status: str, *, seen_at: float, keep_seconds: float
    ) -> bool:
        """End a cycle that nobody holds because the request was seen with another status."""
        times = milliseconds(seen_at), _span(keep_seconds)
        return self._changed("mark_decided_elsewhere", str(ref), status, *times, _token())

    # ---- a person's word

    def rerun(self, ref: RequestKey, *, forget_steps: bool = False) -> bool:
        """Parked or discarded → queued, same cycle."""
        return self._changed("rerun", str(ref), _token(), OWN if forget_steps else "")

    def repost(self, ref: RequestKey) -> bool:
        """Parked with a decision → decided, due now."""
        return self._changed("repost", str(ref), _token())

    def discard(self, ref: RequestKey, *, keep_seconds: float) -> bool:
        """Parked → discarded."""
        return self._changed("discard", str(ref), _span(keep_seconds), _token())

    def pause(self, name: str, *, reason: str = "") -> None:
        """Hold processors back: `all`, those of a kind, or those of a product."""
        self._scripts.run("pause", name, clip(reason))

    def resume(self, name: str) -> int:
        """End a pause; in batches, so that Redis serves others in between."""
        total, going = 0, BATCH
        while going == BATCH:
            going = self._scripts.run("resume", name, BATCH)
            total += going
        return total

    def pauses(self) -> Mapping[str, Pause]:
        """Return the pauses in force, by name."""
        found = {}
        for name, text in self._scripts.hash("paused").items():
            since, _, reason = text.partition(" ")
            found[name] = Pause(
                int(since) / 1000, reason, self._scripts.size(f"paused_requests:{name}")
            )
        return found

    # ---- what all workers share

    def breaker(self) -> BreakerState:
        """Return the account's shared pause."""
        return _gate(self._scripts.run("breaker"))

    def trip_breaker(
        self, *, seconds: float, reason: str, failed: bool, asked: bool = False
    ) -> BreakerState:
        """Pause the account for all workers, at least for `seconds`."""
        pause, text = milliseconds(seconds), clip(reason)
        flags = int(failed), _token(), int(asked)
        return _gate(self._scripts.run("trip_breaker", pause, text, *flags))

    def reset_breaker(self, *, forget: bool = True) -> None:
        """End the pause, and forget its failures unless told otherwise."""
        self._scripts.run("reset_breaker", int(forget))

    def acquire_call(self, *, calls_per_second: float | None = None) -> RateLimitResult:
        """Tell whether one more call to Connect may be sent, and take its turn."""
        interval = microseconds_between(calls_per_second)
        paused, reason, wait = self._scripts.run("acquire_call", interval, key="rate_limit")
        return RateLimitResult(paused / 1000, reason, wait / 1_000_000)

    def lock(self, name: str, *, owner: str, seconds: float) -> bool:
        """Take a named lock for a while; its owner asking again renews it."""
        return bool(self._scripts.run("lock", owner, _span(seconds), key=f"lock:{name}"))

    def unlock(self, name: str, *, owner: str) -> None:
        """Give a named lock back, when it is still the owner's."""
        self._scripts.run("unlock", owner, key=f"lock:{name}")

    # ---- for people and dashboards

    def products(self, refs: Sequence[RequestKey]) -> list[str]:
        """Return the product of each request, in one round trip."""
        found: list[str] = []
        for batch in _batches(refs):
            found += self._scripts.values((f"request:{ref}" for ref in batch), "p")
        return found

    def get_record(self, ref: RequestKey) -> RequestRecord | None:
        """Return the record of one request, or None."""
        fields = self._scripts.hash(f"request:{ref}")
        return self._entry(ref, fields) if fields else None

    def _entry(self, ref: RequestKey, stored: Mapping[str, str]) -> RequestRecord:
        fields, sealed = opened(stored, self._cipher)
        return to_entry(ref, fields, sealed=sealed)

    def record_poll(self, kind: RequestKind, poll: PollReport) -> None:
        """Note down how a kind's poll has ended."""
        with self._telling() as measures:
            self._scripts.run("record_poll", kind, poll_to_text(poll), *measures)

    def polls(self) -> Mapping[RequestKind, PollReport]:
        """Return how the last poll of each kind ended."""
        return {
            RequestKind(kind): to_poll(text) for kind, text in self._scripts.hash("polls").items()
        }

    def iter_records(
        self, *, kind: RequestKind | None = None, states: Collection[State] = (), prefix: str = ""
    ) -> Iterator[RequestRecord]:
        """Yield the records that match, read in pages."""
        known: set[str] = set()
        for page in self._walk(kind, frozenset(states), prefix):
            names = [name for name in dict.fromkeys(page) if name not in known]
            known.update(names)
            for batch in _batches(names):
                found = self._scripts.hashes(f"request:{name}" for name in batch)
                for name, fields in zip(batch, found, strict=True):
                    ref = RequestKey.parse(name)
                    # One that ended meanwhile may be forgotten by now.
                    if not fields or (states and fields["s"] not in states):
                        continue
                    if kind in (None, ref.kind) and ref.id.startswith(prefix):
                        yield self._entry(ref, fields)

    def _walk(
        self, kind: RequestKind | None, states: frozenset[State], prefix: str
    ) -> Iterator[list[str]]:
        """Yield the names of all that may match; what has not ended is known by sorted sets."""
        if not states or states & FINAL_STATES:
            yield from self._scripts.walk_names("request:", f"{kind or '*'}:{escaped(prefix)}*")
            return
        if State.PARKED in states:
            yield from self._scripts.walk_members("parked")
        if states - {State.PARKED}:
            for item in [kind] if kind else RequestKind:
                yield from self._scripts.walk_members(f"unfinished:{item}")

    def oldest(self) -> Mapping[RequestKind, float | None]:
        """Return when the longest waiting cycle of each kind began."""
        began = {kind: self._scripts.lowest(f"unfinished:{kind}") for kind in RequestKind}
        return {kind: None if at is None else at / 1000 for kind, at in began.items()}

    def parked(self, kind: RequestKind | None = None) -> list[RequestKey]:
        """Return the parked requests of one kind, or of all, longest parked first."""
        refs = map(RequestKey.parse, self._scripts.members("parked"))
        return [ref for ref in refs if kind in (None, ref.kind)]

    def get_records(self, refs: Sequence[RequestKey]) -> list[RequestRecord]:
        """Return the records of several requests, in batches; without those that are not there."""
        found = []
        for batch in _batches(refs):
            fields = self._scripts.hashes(f"request:{ref}" for ref in batch)
            found += [
                self._entry(ref, item) for ref, item in zip(batch, fields, strict=True) if item
            ]
        return found

    def _changed(self, name: str, *args: str | int) -> bool:
        return bool(self._scripts.run(name, *args))

    def _give_up(self, name: str, claim: Claim, *args: str | int) -> str:
        """Run a script that ends a claim; it takes along what this process has counted."""
        with self._telling() as measures:
            verdict = self._by_claim(name, claim, *args, *measures)
            _demand(verdict, claim)
        return verdict

    @contextmanager
    def _telling(self) -> Iterator[list[str | int]]:
        """Lend what was counted; it is counted again when the ledger did not take it."""
        taken = self._tally.take()
        try:
            yield list(flat_measures(taken))
        except BaseException:
            self._tally.give_back(taken)
            raise

    def _by_claim(self, name: str, claim: Claim, *args: str | int) -> str:
        verdict: str = self._scripts.run(name, str(claim.ref), claim.fence, claim.owner, *args)
        return verdict


def _demand(verdict: str, claim: Claim) -> None:
    if verdict == "lost":
        raise LeaseLost(
            f"{claim.ref}: the claim with fence {claim.fence} is no longer the current one"
        )


def _gate(reply: tuple[int, int, int, str]) -> BreakerState:
    now, until, failures, reason = reply
    if until <= now and failures == 0:
        return BreakerState()
    return BreakerState(open_until=until / 1000, reason=reason, failures=failures)


def _span(seconds: float) -> int:
    # An expiry of 0 would delete a record at once, and with it the answer to a repeated call.
    return max(1, milliseconds(seconds))


def _token() -> str:
    """Mark one call, so that its repetition is recognised."""
    return uuid4().hex[:16]


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]

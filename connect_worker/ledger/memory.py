"""The ledger in memory: the whole life of a cycle in plain Python.

For the single-process loop and for tests of processors. It does what `RedisLedger` does (one
contract suite runs on both), so this is also the place to read how the states work. Nothing
survives the process.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from hashlib import sha1
from threading import RLock
from uuid import uuid4

from connect_worker.domain.kinds import ChangeHint, HintResult
from connect_worker.domain.metrics import ATTEMPTS, RETRIES, WORKER_DIED, MetricBuffer
from connect_worker.domain.states import (
    ALL,
    JSON,
    NO_BACKLOG,
    NO_LIMITS,
    Backlog,
    BreakerState,
    Claim,
    ClaimDenied,
    DueBatch,
    Limit,
    Limits,
    Pause,
    PendingRequest,
    PollReport,
    RateLimitResult,
    RequestKey,
    RequestKind,
    RequestRecord,
    State,
    limit_for,
)
from connect_worker.domain.steps import is_own
from connect_worker.exceptions import LeaseLost
from connect_worker.ledger.codec import (
    clip,
    microseconds_between,
    milliseconds,
    poll_to_text,
    to_poll,
    to_text,
)
from connect_worker.ledger.memory_records import GateRecord, MemoryNumbers, Record, atomic
from connect_worker.ledger.redis import MOST

# Notices in memory; it does what `ledger/redis.py` does.


class MemoryNotices(ABC):
    """The part of `MemoryLedger` that receivers of notifications use."""

    _lock: RLock

    def __init__(self) -> None:
        #: By name, the mark of the last notification, and when another message is due.
        self._notices: dict[ChangeHint, tuple[str, int]] = {}
        #: Until when each notification is remembered.
        self._heard: dict[str, int] = {}

    @abstractmethod
    def _now(self) -> int:
        """Return the clock, in milliseconds."""

    def add_hint(
        self, notice: ChangeHint, *, digest: str, remember_seconds: float, requeue_seconds: float
    ) -> tuple[HintResult, ChangeHint]:
        """Note a notification down."""
        with self._lock:
            now, mark = self._now(), uuid4().hex[:16]
            self._heard = {item: until for item, until in self._heard.items() if until > now}
            if digest in self._heard:
                return HintResult.REPLAYED, notice
            self._heard[digest] = now + max(1, milliseconds(remember_seconds))
            if notice not in self._notices and len(self._notices) >= MOST:
                notice = notice.whole
            if notice in self._notices:
                self._notices[notice] = mark, self._notices[notice][1]
                return HintResult.KNOWN, notice
            self._notices[notice] = mark, now + milliseconds(requeue_seconds)
            return HintResult.NEW, notice

    def hint_mark(self, notice: ChangeHint) -> str:
        """Return the mark of the last notification that nobody has followed."""
        with self._lock:
            return self._notices.get(notice, ("", 0))[0]

    def acknowledge_hint(self, notice: ChangeHint, mark: str) -> bool:
        """Say that somebody has looked since the notification with this mark."""
        with self._lock:
            if notice in self._notices and self._notices[notice][0] != mark:
                return False
            self._notices.pop(notice, None)
            return True

    def defer_hint(self, notice: ChangeHint, *, seconds: float) -> None:
        """Have another message sent about it after a while."""
        with self._lock:
            if notice in self._notices:
                due = self._now() + milliseconds(seconds)
                self._notices[notice] = self._notices[notice][0], due

    def stale_hints(self, *, limit: int, requeue_seconds: float) -> list[ChangeHint]:
        """Return the notices that nobody has followed for too long."""
        with self._lock:
            now = self._now()
            due = sorted(
                (at, str(item), item) for item, (_, at) in self._notices.items() if at <= now
            )
            found = [item for _, _, item in due[:limit]]
            for item in found:
                self._notices[item] = self._notices[item][0], now + milliseconds(requeue_seconds)
            return found


MAX_WAIT_MS = 3_600_000
MAX_NAMES = 20
SPREAD_MS = 2000
PROBE_WAIT_MS = 2000
#: From one message about a request of a backlogged kind to the next, in looks at it.
PATIENCE = 64
#: More callers do not wait: whoever finds so many turns taken finds a clock that was set back.
MOST_TURNS = 10_000


class MemoryLedger(MemoryNumbers, MemoryNotices):
    """Remembers every cycle, in this process.

    Args:
        account: As `RedisLedger` takes it; it separates nothing here.
        clock: Seconds since the epoch; a test may step it.
        tally: As `RedisLedger` takes it.
    """

    def __init__(
        self,
        *,
        account: str = "memory",
        clock: Callable[[], float] = time.time,
        tally: MetricBuffer | None = None,
    ) -> None:
        MemoryNumbers.__init__(self, clock=clock, tally=tally)
        MemoryNotices.__init__(self)
        self.account = account
        self._polls: dict[RequestKind, PollReport] = {}
        self._pause = GateRecord()
        #: A person's pauses: since when, and why.
        self._paused: dict[str, tuple[int, str]] = {}
        #: How many may be inside, as last claimed with.
        self._limits: dict[str, int] = {}
        #: When the next call to Connect may be sent, in microseconds.
        self._next_turn = 0
        self._holders: dict[str, tuple[str, int]] = {}

    # ---- the way of a request

    @atomic
    def register(
        self, sightings: Sequence[PendingRequest], *, seen_at: float, requeue_seconds: float
    ) -> list[RequestKey]:
        """Take note of requests seen waiting; return those that need a message."""
        seen, requeue = milliseconds(seen_at), milliseconds(requeue_seconds)
        begun = []
        for sighting in sightings:
            old = self._find(sighting.ref)
            if old is None or self._begins_anew(old, sighting.cycle, seen):
                self._records[sighting.ref] = self._begin(sighting, old, requeue)
                begun.append(sighting.ref)
            elif old.state.is_final:
                # Still listed: were it forgotten now, an ended cycle would begin again.
                old.expires = self._now() + old.keep
        return begun

    def _begins_anew(self, old: Record, cycle: str | None, seen: int) -> bool:
        if not cycle:
            # A discarded request is still pending at Connect: a person said to leave it so.
            over = old.state.is_final and old.state is not State.DISCARDED
            return over and old.changed < seen
        if cycle == old.cycle or cycle in old.names or old.changed > seen:
            return False
        return not old.is_held(self._now())

    def _begin(self, sighting: PendingRequest, old: Record | None, requeue: int) -> Record:
        now = self._now()
        # A kind's cycles are all counted or all named: the last one's name is the count.
        count = int(old.cycle) if old is not None and old.cycle.isdecimal() else 0
        new = Record(
            cycle=sighting.cycle or str(count + 1),
            product=sighting.product,
            first_seen=now,
            changed=now,
            due=now,
            look=now + requeue,
            unanswered=1,
        )
        if old is not None:
            # The fence goes on growing, and the last call of the old cycle can be repeated.
            new.fence, new.owner = old.fence, old.owner
            new.given_up_by, new.product = old.given_up_by, sighting.product or old.product
            new.names = [*old.names, old.cycle][-MAX_NAMES:] if sighting.cycle else old.names
            if not old.state.is_final:
                ended_as = sighting.ref.kind, State.SUPERSEDED, self._label_of(old.product)
                self._ended[ended_as] += 1
        new.remember(State.QUEUED, now=now)
        self._label_of(new.product)
        return new

    @atomic
    def claim(
        self, ref: RequestKey, *, owner: str, lease_seconds: float, limits: Limits = NO_LIMITS
    ) -> Claim | ClaimDenied:
        """Take the request for one run."""
        now, lease = self._now(), milliseconds(lease_seconds)
        record = self._find(ref)
        if record is None:
            return ClaimDenied.UNKNOWN
        if record.state.is_final or record.state is State.PARKED:
            return ClaimDenied.ENDED
        if record.state.is_leased:
            if record.owner != owner or not record.is_held(now):
                return ClaimDenied.BUSY
            self._renew(record, now + lease)
            return self._to_claim(ref, record, lease_seconds)
        if record.state is not State.QUEUED and record.due > now:
            return ClaimDenied.NOT_DUE
        if record.decision is None and (name := self._pause_of(ref.kind, record.product)):
            # `resume` wakes it; should that get lost, `wake` does.
            record.limit, record.paused_by, record.unanswered = "", name, 0
            record.look = now + MAX_WAIT_MS
            return ClaimDenied.OPERATOR_PAUSE
        paused_until = self._paused_until(ref, record, lease)
        if paused_until:
            record.due = record.look = paused_until
            record.unanswered = 0
            return ClaimDenied.BREAKER_OPEN
        limit = None if record.decision else limit_for(limits, record.product)
        if limit and self._is_full(limit):
            record.limit, record.paused_by = limit.name, ""
            return ClaimDenied.CONCURRENCY_LIMIT
        if self._pause.strict:
            self._pause.probe, self._pause.probe_until = owner, now + lease
        self._grant(ref, record, owner, lease)
        record.limit = limit.name if limit else ""
        return self._to_claim(ref, record, lease_seconds)

    def _to_claim(self, ref: RequestKey, record: Record, lease_seconds: float) -> Claim:
        label, probe = self._label_of(record.product), self._pause.failures > 0
        return record.to_claim(ref, lease_seconds, probe=probe, counted_as=label)

    def _is_full(self, limit: Limit) -> bool:
        self._limits[limit.name] = limit.max_concurrent
        return self._inside(limit.name) >= limit.max_concurrent

    def _inside(self, limit: str) -> int:
        """Count who is inside the processor under a live lease."""
        now = self._now()
        return sum(
            record.limit == limit and record.is_held(now) for record in self._records.values()
        )

    def _pause_of(self, kind: RequestKind, product: str) -> str:
        """Return the name of the person's pause that holds the processor back; "" for none."""
        names = (ALL, kind.value, product)
        return next((name for name in names if name in self._paused), "")

    def _paused_until(self, ref: RequestKey, record: Record, lease: int) -> int:
        """Return when to try again while the account is paused; 0 when this claim may pass."""
        now, pause = self._now(), self._pause
        if pause.until > now:
            # Not all in one millisecond: they would all be published, and refused, together.
            name = f"{ref}{record.fence}".encode()
            spread = int(sha1(name, usedforsecurity=False).hexdigest()[:6], 16) % SPREAD_MS
            return pause.until + spread
        if pause.strict and pause.probe and pause.probe_until > now:
            return now + min(lease, PROBE_WAIT_MS)
        return 0

    def _grant(self, ref: RequestKey, record: Record, owner: str, lease: int) -> None:
        record.fence += 1
        record.owner, record.given_up_by, record.unanswered = owner, "", 0
        record.counted = record.decision is None
        if record.counted:
            record.attempt += 1
            self._measure(ATTEMPTS, ref, record)
        state = State.RUNNING if record.decision is None else State.POSTING
        self._move(record, state, due=self._now() + lease)

    @atomic
    def renew_lease(self, claim: Claim) -> bool:
        """Renew the lease; False when the claim is no longer the current one."""
        record = self._held_by(claim)
        if record is None:
            return False
        self._renew(record, self._now() + milliseconds(claim.lease_seconds))
        return True

    def _renew(self, record: Record, until: int) -> None:
        """Let a lease last until then; as long waits who asks behind a probe."""
        record.due = record.look = until
        if self._pause.probe == record.owner:
            self._pause.probe_until = until

    @atomic
    def decide(self, claim: Claim, decision: JSON) -> None:
        """Store the decision, once and for the cycle."""
        if decision is None:
            raise ValueError("null is no decision: it could not be told from none")
        record, text = self._current(claim), to_text(decision)
        if record.decision is None:
            record.decision = text
            self._move(record, State.POSTING, due=record.due)
        elif record.decision != text:
            raise LeaseLost(f"{claim.ref}: another decision is stored for cycle {claim.cycle}")

    @atomic
    def record_step(self, claim: Claim, step: str, result: JSON) -> None:
        """Journal one step as done; a step's first result stays."""
        record, text = self._current(claim), to_text(result)
        if step not in record.steps:
            record.steps[step] = text
            if is_own(step):
                record.step_times[step] = self._now()

    @atomic
    def complete(self, claim: Claim, outcome: str, *, keep_seconds: float) -> None:
        """End the cycle as `settled`."""
        if record := self._give_up(claim, f"settle:{outcome}"):
            record.error = ""
            self._end(claim.ref, record, State.COMPLETED, outcome, keep_seconds)
            self._add_measures()

    @atomic
    def supersede(self, claim: Claim, status: str, *, keep_seconds: float) -> None:
        """End the cycle as `superseded`."""
        if record := self._give_up(claim, f"supersede:{status}"):
            self._end(claim.ref, record, State.SUPERSEDED, status, keep_seconds)
            self._add_measures()

    @atomic
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
        held = self._held_by(claim)
        if state is State.DECIDED and held and held.decision is None:
            raise ValueError(f"{claim.ref} has no decision to be put back with")
        if record := self._give_up(claim, f"put_back:{state}"):
            if record.counted and not attempt_used:
                record.attempt = max(0, record.attempt - 1)
            if state is not State.DECIDED:
                record.decision = None
            if not_yet:
                record.snoozed_since = record.snoozed_since or self._now()
            record.counted, record.error = False, clip(error)
            self._move(record, state, due=self._now() + milliseconds(delay_seconds))
            if cause:
                self._measure(RETRIES, claim.ref, record, cause)
            self._add_measures()

    @atomic
    def park(self, claim: Claim, error: str) -> None:
        """Give the claim up for a person to look at."""
        if record := self._give_up(claim, "park"):
            record.counted, record.error = False, clip(error)
            self._move(record, State.PARKED)
            self._add_measures()

    # ---- the sweep, and what polls see beside it

    @atomic
    def take_due(
        self,
        *,
        limit: int,
        requeue_seconds: float,
        max_attempts: int,
        backlogged: Backlog = NO_BACKLOG,
    ) -> DueBatch:
        """Find what is due: what to publish, whose worker died, what is parked for it."""
        now, requeue = self._now(), milliseconds(requeue_seconds)
        waiting = [
            (record.look, str(ref), ref, record)
            for ref, record in self._records.items()
            if record.look is not None and record.look <= now
        ]
        woken = DueBatch(looked_at=min(len(waiting), limit))
        for _, _, ref, record in sorted(waiting, key=lambda found: found[:2])[:limit]:
            if record.state.is_leased:
                woken.expired.append(ref)
                self._rescue(ref, record, max_attempts)
            if record.state is State.PARKED:
                woken.parked.append(ref)
                continue
            # A very long backlog may hide that a message was lost: now and then comes another one.
            may_wait = backlogged.holds(ref.kind, record.product)
            if not (may_wait and record.unanswered % PATIENCE):
                woken.publish.append(ref)
            # In line for a slot, it is told by whoever frees one; and else ever more rarely.
            times = record.unanswered if record.limit else 0
            record.look = now + min(requeue * 2**times, max(requeue, MAX_WAIT_MS))
            record.unanswered += 1
        return woken

    def _rescue(self, ref: RequestKey, record: Record, max_attempts: int) -> None:
        """Take a request from a worker that let its lease end."""
        record.counted = False
        if record.state is State.POSTING or record.attempt < max_attempts:
            self._measure(RETRIES, ref, record, WORKER_DIED)
        attempts = f"{record.attempt} of {max_attempts}"
        if record.state is State.POSTING:
            record.error = "the worker died while it posted the decision"
            self._move(record, State.DECIDED, due=self._now())
        elif record.attempt < max_attempts:
            record.error = f"the worker died in attempt {attempts}"
            self._move(record, State.RETRY, due=self._now())
        else:
            record.error = f"the worker died in attempt {attempts}, the last one"
            self._move(record, State.PARKED)

    @atomic
    def take_from_slot_queue(self, limit: str = "", *, requeue_seconds: float) -> list[RequestKey]:
        """Let as many out of each line as their limit has room for."""
        if self._pause.until > self._now():
            return []
        released: list[RequestKey] = []
        for name in [limit] if limit else list(self._limits):
            room = max(0, self._limits.get(name, 0) - self._inside(name))
            released += self._line(name)[:room]
        for ref in released:
            record = self._records[ref]
            record.limit, record.unanswered = "", 1
            record.look = self._now() + milliseconds(requeue_seconds)
        return released

    def _line(self, limit: str) -> list[RequestKey]:
        """Return who waits for a slot, those whose cycles began first at the head."""
        waiting = [
            (item.first_seen, str(ref), ref)
            for ref, item in self._records.items()
            if item.limit == limit and not item.state.is_leased
        ]
        return [ref for _, _, ref in sorted(waiting, key=lambda found: found[:2])]

    @atomic
    def mark_decided_elsewhere(
        self, ref: RequestKey, status: str, *, seen_at: float, keep_seconds: float
    ) -> bool:
        """End a cycle that nobody holds because the request was seen with another status."""
        record = self._find(ref)
        if record is None or record.state.is_final or record.state.is_leased:
            return False
        # A decision on its way is left to its worker: only the comparison tells whose status
        # that is.
        if record.state is State.DECIDED or record.changed > milliseconds(seen_at):
            return False
        record.given_up_by = "leave"
        self._end(ref, record, State.SUPERSEDED, status, keep_seconds)
        return True

    # ---- a person's word

    @atomic
    def rerun(self, ref: RequestKey, *, forget_steps: bool = False) -> bool:
        """Parked or discarded → queued, same cycle."""
        record = self._find(ref)
        if record is None or record.state not in (State.PARKED, State.DISCARDED):
            return False
        if record.state is State.DISCARDED:
            # A final state counts for ever; this one is taken back.
            self._ended[ref.kind, State.DISCARDED, self._label_of(record.product)] -= 1
        record.attempt, record.decision, record.expires = 0, None, None
        record.snoozed_since = 0
        if forget_steps:
            for name in filter(is_own, list(record.steps)):
                del record.steps[name], record.step_times[name]
        record.given_up_by = "rerun"
        self._move(record, State.QUEUED, due=self._now())
        return True

    @atomic
    def repost(self, ref: RequestKey) -> bool:
        """Parked with a decision → decided, due now."""
        record = self._find(ref)
        if record is None or record.state is not State.PARKED or record.decision is None:
            return False
        record.given_up_by = "repost"
        self._move(record, State.DECIDED, due=self._now())
        return True

    @atomic
    def discard(self, ref: RequestKey, *, keep_seconds: float) -> bool:
        """Parked → discarded."""
        record = self._find(ref)
        if record is None or record.state is not State.PARKED:
            return False
        record.given_up_by = "discard"
        self._end(ref, record, State.DISCARDED, "", keep_seconds)
        return True

    @atomic
    def pause(self, name: str, *, reason: str = "") -> None:
        """Hold processors back: `all`, those of a kind, or those of a product."""
        self._paused[name] = self._now(), clip(reason)

    @atomic
    def resume(self, name: str) -> int:
        """End a pause and have those woken that it held."""
        self._paused.pop(name, None)
        held = [item for item in self._records.values() if item.paused_by == name]
        for record in held:
            record.paused_by, record.look = "", self._now()
        return len(held)

    @atomic
    def pauses(self) -> Mapping[str, Pause]:
        """Return the pauses in force, by name."""
        held = Counter(record.paused_by for record in self._records.values())
        return {
            name: Pause(since / 1000, reason, held[name])
            for name, (since, reason) in self._paused.items()
        }

    # ---- what all workers share

    @atomic
    def breaker(self) -> BreakerState:
        """Return the account's shared pause."""
        return self._pause.to_gate(self._now())

    @atomic
    def trip_breaker(
        self, *, seconds: float, reason: str, failed: bool, asked: bool = False
    ) -> BreakerState:
        """Pause the account for all workers, at least for `seconds`."""
        now, pause = self._now(), self._pause
        till = now + milliseconds(seconds)
        # Many workers fail on one outage: those that come while it is closed for a failure are
        # no new one.
        if failed and not (pause.until > now and pause.failures):
            pause.failures += 1
        pause.strict = pause.strict or (seconds > 0 and pause.failures > 0 and not asked)
        if asked and till > pause.asked_until:
            pause.asked_until, pause.asked_for = till, clip(reason)
        if till >= pause.until:
            pause.until, pause.reason = till, clip(reason)
        pause.probe, pause.probe_until = "", 0
        return pause.to_gate(now)

    @atomic
    def reset_breaker(self, *, forget: bool = True) -> None:
        """End the pause, and forget its failures unless told otherwise."""
        old, failures = self._pause, 0 if forget else self._pause.failures
        self._pause = GateRecord(failures=failures, reason=old.reason if failures else "")
        if old.asked_until > self._now():
            # The call whose success opens the gate was sent before Connect asked for the pause.
            self._pause.until, self._pause.reason = old.asked_until, old.asked_for
            self._pause.asked_until, self._pause.asked_for = old.asked_until, old.asked_for

    @atomic
    def acquire_call(self, *, calls_per_second: float | None = None) -> RateLimitResult:
        """Tell whether one more call to Connect may be sent, and take its turn."""
        paused = self._pause.until - self._now()
        if paused > 0:
            return RateLimitResult(paused / 1000, self._pause.reason)
        interval = microseconds_between(calls_per_second)
        if not interval:
            return RateLimitResult()
        now = round(self._clock() * 1_000_000)
        turn = max(self._next_turn, now)
        if turn - now > interval * MOST_TURNS:
            turn = now
        self._next_turn = turn + interval
        return RateLimitResult(wait_seconds=(turn - now) / 1_000_000)

    @atomic
    def lock(self, name: str, *, owner: str, seconds: float) -> bool:
        """Take a named lock for a while; its owner asking again renews it."""
        holder, until = self._holders.get(name, ("", 0))
        if holder != owner and until > self._now():
            return False
        self._holders[name] = owner, self._now() + milliseconds(seconds)
        return True

    @atomic
    def unlock(self, name: str, *, owner: str) -> None:
        """Give a named lock back, when it is still the owner's."""
        if self._holders.get(name, ("", 0))[0] == owner:
            del self._holders[name]

    # ---- for people and dashboards

    @atomic
    def products(self, refs: Sequence[RequestKey]) -> list[str]:
        """Return the product of each request."""
        found = map(self._find, refs)
        return [record.product if record else "" for record in found]

    @atomic
    def get_record(self, ref: RequestKey) -> RequestRecord | None:
        """Return the record of one request, or None."""
        record = self._find(ref)
        return None if record is None else record.to_entry(ref)

    @atomic
    def record_poll(self, kind: RequestKind, poll: PollReport) -> None:
        """Note down how a kind's poll has ended."""
        self._polls[kind] = to_poll(f"{self._now()} {poll_to_text(poll)}")
        self._add_measures()

    @atomic
    def polls(self) -> Mapping[RequestKind, PollReport]:
        """Return how the last poll of each kind ended."""
        return dict(self._polls)

    @atomic
    def iter_records(
        self, *, kind: RequestKind | None = None, states: Collection[State] = (), prefix: str = ""
    ) -> Iterator[RequestRecord]:
        """Yield the records that match, as they are now."""
        found = [entry for ref in list(self._records) if (entry := self.get_record(ref))]
        return iter(
            [
                entry
                for entry in found
                if kind in (None, entry.ref.kind)
                and (not states or entry.state in states)
                and entry.ref.id.startswith(prefix)
            ]
        )

    @atomic
    def oldest(self) -> Mapping[RequestKind, float | None]:
        """Return when the longest waiting cycle of each kind began."""
        began: dict[RequestKind, list[float]] = {kind: [] for kind in RequestKind}
        for ref, item in self._records.items():
            if not item.state.is_final and item.state is not State.PARKED:
                began[ref.kind].append(item.first_seen / 1000)
        return {kind: min(times, default=None) for kind, times in began.items()}

    @atomic
    def parked(self, kind: RequestKind | None = None) -> list[RequestKey]:
        """Return the parked requests of one kind, or of all, longest parked first."""
        refs = [ref for ref, item in self._records.items() if item.state is State.PARKED]
        refs.sort(key=lambda ref: (self._records[ref].changed, str(ref)))
        return [ref for ref in refs if kind in (None, ref.kind)]

    @atomic
    def get_records(self, refs: Sequence[RequestKey]) -> list[RequestRecord]:
        """Return the records of several requests, without those that are not there."""
        return [entry for ref in refs if (entry := self.get_record(ref))]

    # ---- the changes that all of the above are made of

    def _find(self, ref: RequestKey) -> Record | None:
        record = self._records.get(ref)
        if record is not None and record.expires is not None and record.expires <= self._now():
            del self._records[ref]
            return None
        return record

    def _held_by(self, claim: Claim) -> Record | None:
        """Return the record that the claim holds, or None when it does so no longer."""
        record = self._find(claim.ref)
        if record is None or not record.is_of(claim) or record.given_up_by:
            return None
        return record if record.is_held(self._now()) else None

    def _current(self, claim: Claim) -> Record:
        """Return the record that the claim holds; LeaseLost when it does so no longer."""
        if record := self._held_by(claim):
            return record
        raise LeaseLost(
            f"{claim.ref}: the claim with fence {claim.fence} is no longer the current one"
        )

    def _give_up(self, claim: Claim, call: str) -> Record | None:
        """Mark a claim as given up by this call; None when this very call did so before."""
        record = self._find(claim.ref)
        if record is not None and record.is_of(claim) and record.given_up_by == call:
            return None
        record = self._current(claim)
        record.given_up_by = call
        if self._pause.probe == claim.owner:
            # A probe that is given up leaves its place to the next claim.
            self._pause.probe, self._pause.probe_until = "", 0
        return record

    def _move(self, record: Record, state: State, *, due: int | None = None) -> None:
        """Change the state; without a time nothing is due."""
        was_running = record.state is State.RUNNING
        claimed = state is State.RUNNING or (state is State.POSTING and not was_running)
        record.remember(state, now=self._now(), claimed=claimed)
        record.state, record.changed = state, self._now()
        record.limit = record.paused_by = ""
        record.due, record.look = due or 0, due
        if not state.is_leased:
            record.unanswered = 0

    def _end(
        self, ref: RequestKey, record: Record, state: State, outcome: str, keep_seconds: float
    ) -> None:
        self._move(record, state)
        self._count_end(ref, record, state, outcome)
        record.outcome, record.counted = outcome, False
        record.keep = max(1, milliseconds(keep_seconds))
        record.expires = record.changed + record.keep

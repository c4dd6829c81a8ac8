"""The ledger in memory: the whole life of a cycle in plain Python.

For the local runner and for tests of processors. It does what `RedisLedger` does (one contract
suite runs on both), so it is also the place to read how the states work; for that it is one file,
though a long one. Nothing survives the process.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from hashlib import sha1

from connect_worker.domain.metrics import ATTEMPTS, RETRIES, WORKER_DIED, MetricBuffer
from connect_worker.domain.states import (
    ALL,
    JSON,
    NO_BACKLOG,
    NO_LIMITS,
    Backlog,
    Claim,
    ClaimDenied,
    DueBatch,
    Limit,
    Limits,
    Pause,
    PendingRequest,
    RequestKey,
    RequestKind,
    RequestRecord,
    State,
    limit_for,
)
from connect_worker.domain.steps import is_own
from connect_worker.exceptions import LeaseLost
from connect_worker.ledger.codec import (
    MAX_CHECKS_PER_MESSAGE,
    MAX_EARLIER_CYCLES,
    MAX_PROBE_WAIT_MS,
    MAX_SPREAD_MS,
    MAX_WAIT_MS,
    WORKER_LOST,
    encode_json,
    milliseconds,
    truncate_error,
)
from connect_worker.ledger.memory_account import MemoryAccount, Record, atomic


class MemoryLedger(MemoryAccount):
    """Remembers every cycle, in this process.

    Args:
        account: As `RedisLedger` takes it; it separates nothing here.
        clock: Seconds since the epoch; a test may step it.
        metric_buffer: As `RedisLedger` takes it.
    """

    def __init__(
        self,
        *,
        account: str = "memory",
        clock: Callable[[], float] = time.time,
        metric_buffer: MetricBuffer | None = None,
    ) -> None:
        super().__init__(clock=clock, metric_buffer=metric_buffer)
        self.account = account
        #: The operator's pauses: since when, and why.
        self._pauses: dict[str, tuple[int, str]] = {}
        #: How many requests may be in the processor of a limit, as last claimed with.
        self._limits: dict[str, int] = {}

    # ---- RequestRecords

    @atomic
    def register(
        self, pending: Sequence[PendingRequest], *, seen_at: float, requeue_seconds: float
    ) -> list[RequestKey]:
        """Register pending requests; return those that need a message."""
        seen, requeue = milliseconds(seen_at), milliseconds(requeue_seconds)
        begun = []
        for request in pending:
            old = self._find(request.ref)
            if old is None or self._begins(old, request.cycle, seen):
                self._records[request.ref] = self._begin(request, old, requeue)
                begun.append(request.ref)
            elif old.state.is_final:
                # Still listed: if the record expired now, a poll would begin the cycle again.
                old.expires = self._server_now() + old.keep
        return begun

    def _begins(self, old: Record, cycle: str | None, seen: int) -> bool:
        if not cycle:
            # A discarded request is still pending at Connect: an operator wants it left alone.
            has_ended = old.state.is_final and old.state is not State.DISCARDED
            return has_ended and old.changed < seen
        if cycle == old.cycle or cycle in old.earlier or old.changed > seen:
            return False
        return not old.is_held(self._now())

    def _begin(self, request: PendingRequest, old: Record | None, requeue: int) -> Record:
        now = self._now()
        # The cycles of a kind are all counted or all named: a counted cycle's name is its number.
        number = int(old.cycle) if old is not None and old.cycle.isdecimal() else 0
        new = Record(
            cycle=request.cycle or str(number + 1),
            product=request.product,
            first_seen=now,
            changed=now,
            due=now,
            check_at=now + requeue,
            unanswered=1,
        )
        if old is not None:
            # The fence goes on growing, and the last call of the old cycle can be repeated.
            new.fence, new.owner, new.released_by = old.fence, old.owner, old.released_by
            new.product = request.product or old.product
            names = [*old.earlier, old.cycle][-MAX_EARLIER_CYCLES:]
            new.earlier = names if request.cycle else old.earlier
            if not old.state.is_final:
                label = self._label_of(old.product)
                self._final_counts[request.ref.kind, State.SUPERSEDED, label] += 1
        new.append_history(State.QUEUED, now=now)
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
        if record.decision is None and (pause := self._pause_of(ref.kind, record.product)):
            # `resume` makes it due; if that is lost, `take_due` finds it.
            record.limit, record.paused_by, record.unanswered = "", pause, 0
            record.check_at = now + MAX_WAIT_MS
            return ClaimDenied.OPERATOR_PAUSE
        if denied_until := self._breaker_denies_until(ref, record, lease):
            record.due = record.check_at = denied_until
            record.unanswered = 0
            return ClaimDenied.BREAKER_OPEN
        limit = None if record.decision else limit_for(limits, record.product)
        if limit and self._is_full(limit):
            record.limit, record.paused_by = limit.name, ""
            return ClaimDenied.CONCURRENCY_LIMIT
        if self._breaker.needs_probe:
            self._breaker.probe, self._breaker.probe_until = owner, now + lease
        self._grant(ref, record, owner, lease)
        record.limit = limit.name if limit else ""
        return self._to_claim(ref, record, lease_seconds)

    def _to_claim(self, ref: RequestKey, record: Record, lease_seconds: float) -> Claim:
        return record.to_claim(
            ref,
            lease_seconds,
            is_half_open_probe=self._breaker.failures > 0,
            metric_product=self._label_of(record.product),
        )

    def _is_full(self, limit: Limit) -> bool:
        self._limits[limit.name] = limit.max_concurrent
        return self._slots_taken(limit.name) >= limit.max_concurrent

    def _slots_taken(self, limit: str) -> int:
        """Count the requests that hold a slot under a live lease."""
        now = self._now()
        return sum(
            record.limit == limit and record.is_held(now) for record in self._records.values()
        )

    def _pause_of(self, kind: RequestKind, product: str) -> str:
        """Return the name of the operator's pause that applies to the processor; "" for none."""
        names = (ALL, kind.value, product)
        return next((name for name in names if name in self._pauses), "")

    def _breaker_denies_until(self, ref: RequestKey, record: Record, lease: int) -> int:
        """Return when to ask again while the breaker is open or probed; 0 when a claim may pass."""
        now, breaker = self._now(), self._breaker
        if breaker.open_until > now:
            # Not all in one millisecond: they would all be published, and denied, together.
            name = f"{ref}{record.fence}".encode()
            spread = int(sha1(name, usedforsecurity=False).hexdigest()[:6], 16) % MAX_SPREAD_MS
            return breaker.open_until + spread
        if breaker.needs_probe and breaker.probe and breaker.probe_until > now:
            return now + min(lease, MAX_PROBE_WAIT_MS)
        return 0

    def _grant(self, ref: RequestKey, record: Record, owner: str, lease: int) -> None:
        record.fence += 1
        record.owner, record.released_by, record.unanswered = owner, "", 0
        record.attempt_counted = record.decision is None
        if record.attempt_counted:
            record.attempt += 1
            self._count_metric(ATTEMPTS, ref, record)
        state = State.RUNNING if record.decision is None else State.POSTING
        self._move(record, state, due=self._now() + lease)

    @atomic
    def renew_lease(self, claim: Claim) -> bool:
        """Renew the lease; False when the claim is no longer the current one."""
        record = self._record_held_by(claim)
        if record is None:
            return False
        self._renew(record, self._now() + milliseconds(claim.lease_seconds))
        return True

    @atomic
    def decide(self, claim: Claim, decision: JSON) -> None:
        """Store the decision, once and for the cycle."""
        if decision is None:
            raise ValueError("null is not a decision: it would look like no decision")
        record, text = self._require_lease(claim), encode_json(decision)
        if record.decision is None:
            record.decision = text
            self._move(record, State.POSTING, due=record.due)
        elif record.decision != text:
            raise LeaseLost(f"{claim.ref}: another decision is stored for cycle {claim.cycle}")

    @atomic
    def record_step(self, claim: Claim, step: str, result: JSON) -> None:
        """Record one step in the journal; a step's first result stays."""
        record, text = self._require_lease(claim), encode_json(result)
        if step not in record.steps:
            record.steps[step] = text
            if is_own(step):
                record.step_times[step] = self._now()

    @atomic
    def complete(self, claim: Claim, outcome: str, *, keep_seconds: float, error: str = "") -> None:
        """End the cycle as `completed`."""
        if record := self._release(claim, f"end:{outcome}"):
            record.error = truncate_error(error)
            self._end(claim.ref, record, State.COMPLETED, outcome, keep_seconds)
            self._add_metrics()

    @atomic
    def supersede(self, claim: Claim, status: str, *, keep_seconds: float) -> None:
        """End the cycle as `superseded`."""
        if record := self._release(claim, f"supersede:{status}"):
            self._end(claim.ref, record, State.SUPERSEDED, status, keep_seconds)
            self._add_metrics()

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
        """Release the claim; the request is due again after the delay."""
        if state not in (State.RETRY, State.SNOOZED, State.DECIDED):
            raise ValueError(f"a claim is rescheduled as retry, snoozed or decided, not as {state}")
        held = self._record_held_by(claim)
        if state is State.DECIDED and held and held.decision is None:
            raise ValueError(f"{claim.ref} has no decision: it can't be rescheduled as decided")
        if record := self._release(claim, f"delay:{state}"):
            if record.attempt_counted and not attempt_used:
                record.attempt = max(0, record.attempt - 1)
            if state is not State.DECIDED:
                record.decision = None
            if not_yet:
                record.snoozed_since = record.snoozed_since or self._now()
            record.attempt_counted, record.error = False, truncate_error(error)
            self._move(record, state, due=self._now() + milliseconds(delay_seconds))
            if cause:
                self._count_metric(RETRIES, claim.ref, record, cause)
            self._add_metrics()

    @atomic
    def park(self, claim: Claim, error: str) -> None:
        """Release the claim and stop the request for an operator."""
        if record := self._release(claim, "park"):
            record.attempt_counted, record.error = False, truncate_error(error)
            self._move(record, State.PARKED)
            self._add_metrics()

    @atomic
    def take_due(
        self,
        *,
        limit: int,
        requeue_seconds: float,
        max_attempts: int,
        backlogged: Backlog = NO_BACKLOG,
        rescue_seconds: tuple[float, float] = (0.0, 0.0),
    ) -> DueBatch:
        """Find the requests that are due, that lost their worker, or that were parked for that."""
        now, requeue = self._now(), milliseconds(requeue_seconds)
        due = sorted(
            (record.check_at, str(ref), ref)
            for ref, record in self._records.items()
            if record.check_at is not None and record.check_at <= now
        )
        batch = DueBatch(looked_at=min(len(due), limit))
        for _, _, ref in due[:limit]:
            record = self._records[ref]
            if record.state.is_leased:
                batch.expired.append(ref)
                self._rescue(ref, record, max_attempts, rescue_seconds)
            if record.state is State.PARKED:
                batch.parked.append(ref)
                continue
            if record.check_at is not None and record.check_at > now:
                continue
            # A very long backlog may hide that a message was lost: now and then another is sent.
            may_wait_in_queue = backlogged.holds(ref.kind, record.product)
            if not (may_wait_in_queue and record.unanswered % MAX_CHECKS_PER_MESSAGE):
                batch.publish.append(ref)
            # In a slot queue: the job that gives a slot back publishes the next request.
            doublings = record.unanswered if record.limit else 0
            record.check_at = now + min(requeue * 2**doublings, max(requeue, MAX_WAIT_MS))
            record.unanswered += 1
        return batch

    def _rescue(
        self,
        ref: RequestKey,
        record: Record,
        max_attempts: int,
        rescue_seconds: tuple[float, float],
    ) -> None:
        """Take a request from a worker whose lease has ended."""
        record.attempt_counted = False
        if record.state is State.POSTING or record.attempt < max_attempts:
            self._count_metric(RETRIES, ref, record, WORKER_DIED)
        attempts = f"{record.attempt} of {max_attempts}"
        if record.state is State.POSTING:
            record.error = "the worker died while it posted the decision"
            self._move(record, State.DECIDED, due=self._now())
        elif record.attempt < max_attempts:
            record.error = f"{WORKER_LOST} in attempt {attempts}"
            delay = _rescue_delay(ref, record.attempt, rescue_seconds)
            self._move(record, State.RETRY, due=self._now() + delay)
        else:
            record.error = f"{WORKER_LOST} in attempt {attempts}, the last one"
            self._move(record, State.PARKED)

    @atomic
    def take_from_slot_queue(self, limit: str = "", *, requeue_seconds: float) -> list[RequestKey]:
        """Take as many requests from each slot queue as its limit has free slots."""
        if self._breaker.open_until > self._now():
            return []
        taken: list[RequestKey] = []
        for name in [limit] if limit else list(self._limits):
            free = max(0, self._limits.get(name, 0) - self._slots_taken(name))
            taken += self._slot_queue(name)[:free]
        for ref in taken:
            record = self._records[ref]
            record.limit, record.unanswered = "", 1
            record.check_at = self._now() + milliseconds(requeue_seconds)
        return taken

    def _slot_queue(self, limit: str) -> list[RequestKey]:
        """Return the requests that wait for a slot, those whose cycles began first at the head."""
        queue = sorted(
            (record.first_seen, str(ref), ref)
            for ref, record in self._records.items()
            if record.limit == limit and not record.state.is_leased
        )
        return [ref for _, _, ref in queue]

    @atomic
    def mark_decided_elsewhere(
        self, ref: RequestKey, status: str, *, seen_at: float, keep_seconds: float
    ) -> bool:
        """End a cycle that no worker holds: the request was seen with another status."""
        record = self._find(ref)
        if record is None or record.state.is_final or record.state.is_leased:
            return False
        # A stored decision is left to a worker, which compares it with the status.
        if record.state is State.DECIDED or record.changed > milliseconds(seen_at):
            return False
        record.released_by = "mark_decided_elsewhere"
        self._end(ref, record, State.SUPERSEDED, status, keep_seconds)
        return True

    # ---- OperatorActions

    @atomic
    def rerun(self, ref: RequestKey, *, forget_steps: bool = False) -> bool:
        """Parked or discarded → queued, same cycle."""
        record = self._find(ref)
        if record is None or record.state not in (State.PARKED, State.DISCARDED):
            return False
        if record.state is State.DISCARDED:
            # Final states are counted since the start; this count is taken back.
            self._final_counts[ref.kind, State.DISCARDED, self._label_of(record.product)] -= 1
        record.attempt, record.decision, record.snoozed_since = 0, None, 0
        record.expires = None
        if forget_steps:
            for name in filter(is_own, list(record.steps)):
                del record.steps[name], record.step_times[name]
        record.released_by = "rerun"
        self._move(record, State.QUEUED, due=self._now())
        return True

    @atomic
    def repost(self, ref: RequestKey) -> bool:
        """Parked with a decision → decided, due now."""
        record = self._find(ref)
        if record is None or record.state is not State.PARKED or record.decision is None:
            return False
        record.released_by = "repost"
        self._move(record, State.DECIDED, due=self._now())
        return True

    @atomic
    def discard(self, ref: RequestKey, *, keep_seconds: float) -> bool:
        """Parked → discarded."""
        record = self._find(ref)
        if record is None or record.state is not State.PARKED:
            return False
        record.released_by = "discard"
        self._end(ref, record, State.DISCARDED, "", keep_seconds)
        return True

    @atomic
    def pause(self, name: str, *, reason: str = "") -> None:
        """Pause processors: `all`, those of a kind, or those of a product."""
        self._pauses[name] = self._now(), truncate_error(reason)

    @atomic
    def resume(self, name: str) -> int:
        """End a pause and make the requests due that wait for its end."""
        self._pauses.pop(name, None)
        waiting = [record for record in self._records.values() if record.paused_by == name]
        for record in waiting:
            record.paused_by, record.check_at = "", self._now()
        return len(waiting)

    @atomic
    def pauses(self) -> Mapping[str, Pause]:
        """Return the pauses in force, by name."""
        waiting = Counter(record.paused_by for record in self._records.values())
        return {
            name: Pause(since / 1000, reason, waiting[name])
            for name, (since, reason) in self._pauses.items()
        }

    # ---- RecordReader

    @atomic
    def products(self, refs: Sequence[RequestKey]) -> list[str]:
        """Return the product of each request."""
        return [record.product if record else "" for record in map(self._find, refs)]

    @atomic
    def get_record(self, ref: RequestKey) -> RequestRecord | None:
        """Return the record of one request, or None."""
        record = self._find(ref)
        return None if record is None else record.to_request_record(ref)

    @atomic
    def get_records(self, refs: Sequence[RequestKey]) -> list[RequestRecord]:
        """Return the records of several requests, without those that are not there."""
        return [record for ref in refs if (record := self.get_record(ref))]

    @atomic
    def iter_records(
        self, *, kind: RequestKind | None = None, states: Collection[State] = (), prefix: str = ""
    ) -> Iterator[RequestRecord]:
        """Yield the records that match, as they are now."""
        return iter(
            [
                record
                for record in self.get_records(list(self._records))
                if kind in (None, record.ref.kind)
                and (not states or record.state in states)
                and record.ref.id.startswith(prefix)
            ]
        )

    @atomic
    def parked(self, kind: RequestKind | None = None) -> list[RequestKey]:
        """Return the parked requests of one kind, or of all, longest parked first."""
        refs = [ref for ref, record in self._records.items() if record.state is State.PARKED]
        refs.sort(key=lambda ref: (self._records[ref].changed, str(ref)))
        return [ref for ref in refs if kind in (None, ref.kind)]

    # ---- the changes that all of the above are made of

    def _find(self, ref: RequestKey) -> Record | None:
        record = self._records.get(ref)
        if (
            record is not None
            and record.expires is not None
            and record.expires <= self._server_now()
        ):
            del self._records[ref]
            return None
        return record

    def _record_held_by(self, claim: Claim) -> Record | None:
        """Return the record that the claim holds; None when it is no longer the current claim."""
        record = self._find(claim.ref)
        if record is None or not record.is_of(claim) or record.released_by:
            return None
        return record if record.is_held(self._now()) else None

    def _require_lease(self, claim: Claim) -> Record:
        """Return the record that the claim holds; LeaseLost when another one is current."""
        if record := self._record_held_by(claim):
            return record
        raise LeaseLost(
            f"{claim.ref}: the claim with fence {claim.fence} is no longer the current one"
        )

    def _release(self, claim: Claim, call: str) -> Record | None:
        """Mark a claim as released by this call; None when this very call did so before."""
        record = self._find(claim.ref)
        if record is not None and record.is_of(claim) and record.released_by == call:
            return None
        record = self._require_lease(claim)
        record.released_by = call
        if self._breaker.probe == claim.owner:
            # When a half-open probe's claim is released, the next claim may be the probe.
            self._breaker.probe, self._breaker.probe_until = "", 0
        return record

    def _move(self, record: Record, state: State, *, due: int | None = None) -> None:
        """Change the state; without a time nothing is due."""
        was_running = record.state is State.RUNNING
        is_claimed = state is State.RUNNING or (state is State.POSTING and not was_running)
        record.append_history(state, now=self._now(), is_claimed=is_claimed)
        record.state, record.changed = state, self._now()
        record.limit = record.paused_by = ""
        record.due, record.check_at = due or 0, due
        if not state.is_leased:
            record.unanswered = 0

    def _end(
        self, ref: RequestKey, record: Record, state: State, outcome: str, keep_seconds: float
    ) -> None:
        self._move(record, state)
        self._count_end(ref, record, state, outcome)
        record.outcome, record.attempt_counted = outcome, False
        record.keep = max(1, milliseconds(keep_seconds))
        record.expires = self._server_now() + record.keep


def _rescue_delay(ref: RequestKey, attempt: int, rescue_seconds: tuple[float, float]) -> int:
    """Return the delay in milliseconds, as `take_due.lua` does."""
    if attempt < 2:
        return 0
    digest = sha1(f"{ref}:{attempt}".encode(), usedforsecurity=False).hexdigest()
    spread = int(digest[:6], 16) / 0xFFFFFF
    base, longest = map(milliseconds, rescue_seconds)
    return math.floor(min(longest, base * 2.0 ** min(attempt - 2, 32)) * (0.5 + 0.5 * spread))

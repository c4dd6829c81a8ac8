"""Random histories: several workers, crashes, repeated and stale calls, returns to pending.

`MemoryMachine` steps a clock through many histories. `TwinMachine` drives the memory and Redis in
lockstep and wants the same answers from both; it can't step the server's clock, so each span of
time in it is either over at once or lasts for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar
from uuid import uuid4

import redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from connect_worker.engine.ports import Ledger
from connect_worker.exceptions import LeaseLost
from connect_worker.ledger import MemoryLedger, RedisLedger, connect
from connect_worker.processing.states import (
    JSON,
    Claim,
    Entry,
    Gate,
    Kind,
    Ref,
    Sighting,
    State,
    Woken,
)

from .world import OTHER, PR, TCR, Clock, assert_consistent

REFS = (PR, OTHER, TCR)
SPAN = st.integers(0, 4)
DECISIONS = st.sampled_from([{"type": "approve"}, {"type": "fail", "reason": "x"}])
PUT_BACK = st.sampled_from([State.RETRY, State.WAITING, State.DECIDED])
#: What a job does next, and a number from which its arguments are chosen.
WORK = st.tuples(
    st.sampled_from(
        ["decide", "decide", "record", "settle", "park", "retry", "waiting", "decided"]
    ),
    st.integers(0, 9),
)
Call = Callable[[Ledger], Any]


class LedgerMachine(RuleBasedStateMachine):
    """What happens to a ledger, and what must be true of it at every moment."""

    claims = Bundle("claims")

    #: Spans of time to choose from, in seconds.
    leases: ClassVar[tuple[float, ...]]
    delays: ClassVar[tuple[float, ...]]
    keeps: ClassVar[tuple[float, ...]]

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.memory = MemoryLedger(clock=self.clock)
        self.ledgers: list[Ledger] = [self.memory]
        self.owners = 0
        #: Grows when a record is forgotten: what the ledger promises holds for one life.
        self.life = dict.fromkeys(REFS, 0)
        self.fence = dict.fromkeys(REFS, 0)
        self.newest: dict[Ref, Claim] = {}
        self.owner_of: dict[tuple[Ref, int, int], str] = {}
        self.begun: set[tuple[Ref, int, str]] = set()
        self.settled: set[tuple[Ref, int, str]] = set()
        self.decision: dict[Ref, JSON] = {}
        self.steps: dict[Ref, dict[str, JSON]] = {ref: {} for ref in REFS}
        self.ended = 0

    # ---- asking

    def ask(self, call: Call) -> Any:
        """Ask every ledger; they must agree."""
        answers = [answer(ledger, call) for ledger in self.ledgers]
        assert all(plain(one) == plain(answers[0]) for one in answers), answers
        return answers[0]

    def ask_twice(self, ref: Ref, call: Call) -> Any:
        """Ask again, as a client does that lost the reply: the same answer, and no change."""
        before = self.memory.entry(ref)
        first = self.ask(call)
        if first is LeaseLost:
            assert self.memory.entry(ref) == before, "a refused call changed something"
        after = self.memory.entry(ref), self.memory.counts(), self.memory.outcomes()
        assert self.ask(call) == first
        again = self.memory.entry(ref), self.memory.counts(), self.memory.outcomes()
        assert again == after
        return first

    def holds(self, claim: Claim) -> bool:
        """Whether the claim is the current one, told from outside."""
        entry = self.memory.entry(claim.ref)
        return (
            entry is not None
            and entry.state.is_leased
            and (entry.fence, entry.owner) == (claim.fence, claim.owner)
            and entry.due > self.clock()
        )

    # ---- what polls and sweeps do

    @initialize()
    def first_poll(self) -> None:
        self.see([Sighting(PR), Sighting(OTHER), Sighting(TCR, "a")], late=True)

    @rule(refs=st.lists(st.sampled_from((PR, OTHER)), max_size=3), late=st.booleans())
    def poll(self, refs: list[Ref], late: bool) -> None:
        self.see([Sighting(ref, product="PRD-1") for ref in refs], late=late)

    @rule(visit=st.sampled_from("abcd"), late=st.booleans())
    def poll_named(self, visit: str, late: bool) -> None:
        self.see([Sighting(TCR, visit)], late=late)

    def see(self, sightings: list[Sighting], *, late: bool) -> None:
        """Sight them on a page newer than all that is recorded, or older."""
        before = {one.ref: self.memory.entry(one.ref) for one in sightings}
        leased = {ref for ref, old in before.items() if old and self.is_held(old)}
        seen_at = self.clock() + 1000 if late else 1.0
        for ref in self.ask(
            lambda ledger: ledger.sight(sightings, seen_at=seen_at, requeue_seconds=0)
        ):
            assert ref not in leased, "a visit began under a worker's hands"
            self.visit_begins(ref, before[ref])

    def is_held(self, entry: Entry) -> bool:
        return entry.state.is_leased and entry.due > self.clock()

    def visit_begins(self, ref: Ref, old: Entry | None) -> None:
        if old is None:
            self.life[ref] += 1
            self.fence[ref] = 0
        elif not old.state.is_final:
            self.ended += 1
        new = self.memory.entry(ref)
        assert new is not None
        assert (new.state, new.attempt, new.outcome) == (State.QUEUED, 0, "")
        assert (ref, self.life[ref], new.visit) not in self.begun, "a visit began twice"
        self.begun.add((ref, self.life[ref], new.visit))
        self.decision.pop(ref, None)
        self.steps[ref] = {}

    @rule(
        span=SPAN,
        max_attempts=st.integers(1, 4),
        backlogged=st.sampled_from([(), (PR.kind,), (PR.kind, TCR.kind)]),
    )
    def sweep(self, span: int, max_attempts: int, backlogged: tuple[Kind, ...]) -> None:
        requeue = self.delays[span]
        found: Woken = self.ask(
            lambda ledger: ledger.wake(
                limit=10,
                requeue_seconds=requeue,
                max_attempts=max_attempts,
                backlogged=backlogged,
            )
        )
        assert set(found.expired) <= set(found.publish) | set(found.parked)
        for ref in found.parked:
            assert self.entry(ref).attempt >= max_attempts

    @rule(ref=st.sampled_from(REFS), late=st.booleans(), span=SPAN)
    def leave(self, ref: Ref, late: bool, span: int) -> None:
        seen_at = self.clock() + 1000 if late else 1.0
        keep = self.keeps[span]
        if self.ask(lambda ledger: ledger.leave(ref, "gone", seen_at=seen_at, keep_seconds=keep)):
            assert late
            self.ended += 1

    # ---- what workers do

    @rule(target=claims, ref=st.sampled_from(REFS), span=SPAN)
    def claim(self, ref: Ref, span: int) -> Any:
        self.owners += 1
        before = self.memory.entry(ref)
        ask = partial(self.ask_for, ref, f"worker-{self.owners}", self.leases[span])
        found = ask()
        if not isinstance(found, Claim):
            return multiple()
        assert before is not None
        assert not before.state.is_leased, "two workers hold one request"
        self.granted(found)
        if self.holds(found):
            assert ask() == found
        return found

    @rule(target=claims, ref=st.sampled_from(REFS), work=st.lists(WORK, max_size=4))
    def job(self, ref: Ref, work: list[tuple[str, int]]) -> Any:
        """Claim, and go some of the way at once: by single events few histories come far."""
        claim = self.claim(ref, span=4)
        if not isinstance(claim, Claim):
            return multiple()
        for name, number in work:
            self.go_on(claim, name, number)
        return claim

    @rule(ref=st.sampled_from(REFS), work=st.lists(WORK, min_size=1, max_size=4))
    def job_goes_on(self, ref: Ref, work: list[tuple[str, int]]) -> None:
        """Most claims in the bundle are old; this takes the newest of a request."""
        for name, number in work if ref in self.newest else ():
            self.go_on(self.newest[ref], name, number)

    def go_on(self, claim: Claim, name: str, number: int) -> None:
        span, odd = number % 5, number % 2 == 1
        match name:
            case "decide":
                self.decide(claim, {"type": "approve"} if odd else {"type": "fail"})
            case "record":
                self.record(claim, "approve", number)
            case "settle":
                self.settle(claim, "approved", span)
            case "park":
                self.park(claim)
            case _:
                self.put_back(claim, State(name), span, odd)

    def ask_for(self, ref: Ref, owner: str, lease_seconds: float) -> Any:
        return self.ask(lambda ledger: ledger.claim(ref, owner=owner, lease_seconds=lease_seconds))

    @rule(claim=claims)
    def claim_late(self, claim: Claim) -> None:
        """Let an owner ask once more; it gets what it holds, or nothing, or a new claim."""
        before = self.memory.entry(claim.ref)
        found = self.ask_for(claim.ref, claim.owner, claim.lease_seconds)
        if self.holds(claim):
            assert (found.fence, found.owner) == (claim.fence, claim.owner)
        elif isinstance(found, Claim) and before is not None and before.state.is_leased:
            assert self.owner_of[claim.ref, self.life[claim.ref], found.fence] == claim.owner
        elif isinstance(found, Claim):
            self.granted(found)

    def granted(self, claim: Claim) -> None:
        ref, life = claim.ref, self.life[claim.ref]
        assert claim.fence > self.fence[ref], "a fence did not grow"
        assert (ref, life, claim.fence) not in self.owner_of
        assert (ref, life, claim.visit) not in self.settled, "a settled visit ran again"
        assert claim.decision == self.decision.get(ref)
        assert claim.steps == self.steps[ref]
        self.fence[ref] = claim.fence
        self.newest[ref] = claim
        self.owner_of[ref, life, claim.fence] = claim.owner

    @rule(claim=claims)
    def heartbeat(self, claim: Claim) -> None:
        held = self.holds(claim)
        assert self.ask(lambda ledger: ledger.extend(claim)) == held

    @rule(claim=claims, decision=DECISIONS)
    def decide(self, claim: Claim, decision: JSON) -> None:
        held = self.holds(claim)
        done = self.ask_twice(claim.ref, lambda ledger: ledger.decide(claim, decision)) is None
        if done:
            assert held
            assert self.decision.setdefault(claim.ref, decision) == decision

    @rule(claim=claims, step=st.sampled_from(["params", "approve"]), result=st.integers(0, 3))
    def record(self, claim: Claim, step: str, result: int) -> None:
        held = self.holds(claim)
        answer = self.ask_twice(claim.ref, lambda ledger: ledger.record(claim, step, result))
        assert (answer is None) == held
        if held:
            self.steps[claim.ref].setdefault(step, result)

    @rule(claim=claims, outcome=st.sampled_from(["approved", "failed"]), span=SPAN)
    def settle(self, claim: Claim, outcome: str, span: int) -> None:
        keep = self.keeps[span]
        self.end(claim, lambda ledger: ledger.settle(claim, outcome, keep_seconds=keep))
        entry = self.memory.entry(claim.ref)
        if entry and entry.state is State.SETTLED:
            self.settled.add((claim.ref, self.life[claim.ref], entry.visit))

    @rule(claim=claims, span=SPAN)
    def supersede(self, claim: Claim, span: int) -> None:
        keep = self.keeps[span]
        self.end(claim, lambda ledger: ledger.supersede(claim, "gone", keep_seconds=keep))

    def end(self, claim: Claim, call: Call) -> None:
        held = self.holds(claim)
        answer = self.ask_twice(claim.ref, call)
        if held:
            assert answer is None
            self.ended += 1

    @rule(claim=claims, state=PUT_BACK, span=SPAN, used=st.booleans())
    def put_back(self, claim: Claim, state: State, span: int, used: bool) -> None:
        held = self.holds(claim)
        delay = self.delays[span]
        answer = self.ask_twice(
            claim.ref,
            lambda ledger: ledger.put_back(
                claim, state, delay_seconds=delay, error="e", attempt_used=used
            ),
        )
        if held and answer is None and state is not State.DECIDED:
            self.decision.pop(claim.ref, None)

    @rule(claim=claims)
    def park(self, claim: Claim) -> None:
        self.ask_twice(claim.ref, lambda ledger: ledger.park(claim, "broken"))

    # ---- what people and outages do

    @rule(ref=st.sampled_from(REFS))
    def rerun(self, ref: Ref) -> None:
        before = self.memory.entry(ref)
        if self.ask(lambda ledger: ledger.rerun(ref)):
            assert before is not None
            self.decision.pop(ref, None)
            self.ended -= before.state is State.DISCARDED

    @rule(ref=st.sampled_from(REFS))
    def repost(self, ref: Ref) -> None:
        self.ask(lambda ledger: ledger.repost(ref))

    @rule(ref=st.sampled_from(REFS), span=SPAN)
    def discard(self, ref: Ref, span: int) -> None:
        keep = self.keeps[span]
        self.ended += self.ask(lambda ledger: ledger.discard(ref, keep_seconds=keep))

    @rule(failed=st.booleans(), span=SPAN)
    def close_gate(self, failed: bool, span: int) -> None:
        seconds = self.delays[span]
        self.ask(lambda ledger: ledger.close_gate(seconds=seconds, reason="r", failed=failed))

    @rule(forget=st.booleans())
    def open_gate(self, forget: bool) -> None:
        failures = self.memory.gate().failures
        self.ask(lambda ledger: ledger.open_gate(forget=forget))
        gate = self.memory.gate()
        assert gate.closed_until <= self.clock()
        assert gate.failures == (0 if forget else failures)

    # ---- what is always true

    def entry(self, ref: Ref) -> Entry:
        entry = self.memory.entry(ref)
        assert entry is not None
        return entry

    @invariant()
    def the_ledgers_agree(self) -> None:
        for ref in REFS:
            self.ask(partial(entry_of, ref))
        self.ask(lambda ledger: ledger.counts())
        self.ask(lambda ledger: ledger.outcomes())
        self.ask(lambda ledger: ledger.gate())

    @invariant()
    def decisions_and_steps_stay(self) -> None:
        for ref in REFS:
            entry = self.memory.entry(ref)
            if entry is None:
                continue
            assert entry.decision == self.decision.get(ref)
            assert entry.steps == self.steps[ref]
            if entry.state in (State.DECIDED, State.POSTING):
                assert entry.decision is not None

    @invariant()
    def each_request_is_in_one_state(self) -> None:
        entries = [entry for ref in REFS if (entry := self.memory.entry(ref))]
        counts = self.memory.counts()
        for kind, states in counts.items():
            for state in set(State) - {one for one in State if one.is_final}:
                found = [one for one in entries if (one.ref.kind, one.state) == (kind, state)]
                assert states[state] == len(found)
        final = [states[state] for states in counts.values() for state in State if state.is_final]
        assert sum(final) == self.ended
        parked = [one.ref for one in entries if one.state is State.PARKED]
        listed = [ref for kind in counts for ref in self.memory.parked(kind)]
        assert sorted(listed, key=str) == sorted(parked, key=str)


class MemoryMachine(LedgerMachine):
    """Many histories, over which time passes in steps."""

    leases = (5, 5, 30, 30, 300)
    delays = (0, 0, 0, 3, 100)
    keeps = (5, 50, 50, 1000, 1000)

    @rule(seconds=st.sampled_from([0.001, 1, 4, 40, 400, 4000]))
    def time_passes(self, seconds: float) -> None:
        self.clock.step(seconds)

    @rule()
    def nothing_is_lost(self) -> None:
        """After an hour a sweep finds every request that is neither ended nor parked."""
        self.clock.step(3700)
        found = self.memory.wake(limit=10, requeue_seconds=1, max_attempts=100).publish
        entries = [entry for ref in REFS if (entry := self.memory.entry(ref))]
        live = [one for one in entries if not one.state.is_final and one.state != State.PARKED]
        assert sorted(map(str, found)) == sorted(str(one.ref) for one in live)


class TwinMachine(LedgerMachine):
    """The memory and Redis in lockstep; a lease, a delay or a pause is over at once, or never."""

    leases = (0, 100_000, 100_000, 100_000, 100_000)
    delays = (0, 0, 0, 0, 100_000)
    keeps = (100_000,) * 5
    client: ClassVar[redis.Redis]

    def __init__(self) -> None:
        super().__init__()
        self.account = uuid4().hex
        self.ledgers.append(RedisLedger(self.client, account=self.account))

    def ask(self, call: Call) -> Any:
        """Ask both at the same time: a refused probe waits for 2 s, which may pass."""
        seconds, microseconds = self.client.time()
        self.clock.time = seconds + microseconds // 1000 / 1000
        return super().ask(call)

    @invariant()
    def counts_due_and_parked_agree(self) -> None:
        assert_consistent(self.client, self.account)


def entry_of(ref: Ref, ledger: Ledger) -> Entry | None:
    return ledger.entry(ref)


def answer(ledger: Ledger, call: Call) -> Any:
    try:
        return call(ledger)
    except (LeaseLost, ValueError) as exc:
        return type(exc)


def plain(found: Any) -> Any:
    """Leave out times and orders, which two clocks make differ."""
    match found:
        case Entry():
            return replace(found, due=float(found.due > 0), first_seen=0, changed=0)
        case Gate():
            return replace(found, closed_until=0)
        case Woken():
            lists = found.publish, found.expired, found.parked
            return found.looked_at, [sorted(map(str, refs)) for refs in lists]
        case _:
            return found


def test_random_histories_in_memory() -> None:
    run_state_machine_as_test(
        MemoryMachine,
        settings=settings(max_examples=60, stateful_step_count=40, deadline=None),
    )


def test_random_histories_are_the_same_in_memory_and_in_redis(redis_url: str) -> None:
    with connect(redis_url) as client:
        machine = type("Twins", (TwinMachine,), {"client": client})
        run_state_machine_as_test(
            machine,
            settings=settings(max_examples=15, stateful_step_count=40, deadline=None),
        )

"""Random histories: many workers, crashes, lost replies, stale and repeated calls, clock steps.

The same machine drives the memory alone, and the scripts in a real Redis in lockstep with it. What
must be true of every history is in `promises.py` and `machine.py`. One long class, since its rules
call each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, initialize, multiple, rule, run_state_machine_as_test

from connect_worker.domain.states import (
    JSON,
    Backlog,
    Claim,
    DueBatch,
    PendingRequest,
    RequestKey,
    RequestRecord,
    State,
)
from tests.support.fake_clock import SteppedRedis, stepped_redis
from tests.support.ledger_factories import OTHER, PR, TCR

from .state_machine import REFS, Call, Ledgers

REF = st.sampled_from(REFS)
COUNTED = st.lists(st.sampled_from((PR, OTHER)), min_size=1, max_size=3)
PAUSE = st.sampled_from(["all", PR.kind.value, TCR.kind.value, "PRD-1"])
LEASE = st.sampled_from([5.0, 5.0, 30.0, 300.0])
DELAY = st.sampled_from([0.0, 0.0, 3.0, 100.0])
KEEP = st.sampled_from([5.0, 50.0, 1000.0])
DECISION = st.sampled_from([{"type": "approve"}, {"type": "fail", "reason": "x"}])
PUT_BACK = st.sampled_from([State.RETRY, State.SNOOZED, State.DECIDED])
#: What a job does next, and a number from which its arguments are chosen.
STEPS = ["decide", "decide", "record", "settle", "park", "retry", "snoozed", "decided"]
WORK = st.tuples(st.sampled_from(STEPS), st.integers(0, 9))
#: How a job goes as a rule.
COURSE = st.sampled_from(
    [
        [("decide", 1), ("record", 1), ("settle", 9)],
        [("decide", 1), ("decide", 2), ("decided", 1)],
        [("decide", 1), ("record", 1), ("snoozed", 9)],
        [("decide", 1), ("park", 1)],
        [("retry", 1)],
    ]
)
#: Longer than any lease, pause or delay, an unanswered message's hour included.
LONGEST_WAIT_SECONDS = 3700.0


@dataclass(frozen=True)
class Page:
    """A page of Connect's list: when it was asked for, and what had ended by then."""

    seen_at: float
    ends: Counter[RequestKey]


class LedgerMachine(Ledgers):
    """What polls, sweeps, workers, people and outages do to a ledger."""

    claims = Bundle("claims")
    pages = Bundle("pages")

    def __init__(self) -> None:
        super().__init__()
        self.owners = 0
        self.newest: dict[RequestKey, Claim] = {}
        #: The gate was closed for failures: one claim at a time finds out whether all is well.
        self.strict = False
        self.probe: Claim | None = None

    # ---- what polls and sweeps do

    @initialize()
    def first_poll(self) -> None:
        self.see(
            [PendingRequest(PR), PendingRequest(OTHER), PendingRequest(TCR, "a")], self.new_page()
        )

    @rule(target=pages)
    def ask_for_a_page(self) -> Page:
        return self.new_page()

    def new_page(self) -> Page:
        """Ask the ledger's clock, as a poll does before it asks Connect."""
        self.set_clock(0.001)
        page = Page(self.ledger.now(), Counter(self.promises.ends))
        self.set_clock(0.001)
        return page

    @rule(refs=COUNTED)
    def poll(self, refs: list[RequestKey]) -> None:
        self.see([PendingRequest(ref, product="PRD-1") for ref in refs], self.new_page())

    @rule(refs=COUNTED, page=pages)
    def poll_slowly(self, refs: list[RequestKey], page: Page) -> None:
        self.see([PendingRequest(ref) for ref in refs], page)

    @rule(cycle=st.sampled_from("abcd"))
    def poll_named(self, cycle: str) -> None:
        self.see([PendingRequest(TCR, cycle)], self.new_page())

    @rule(cycle=st.sampled_from("abcd"), page=pages)
    def poll_named_slowly(self, cycle: str, page: Page) -> None:
        self.see([PendingRequest(TCR, cycle)], page)

    @rule(cycle=st.sampled_from("abcd"))
    def an_earlier_cycle_is_shown_again(self, cycle: str) -> None:
        """Another page, or another server of Connect's, is behind."""
        earlier = self.sighting(TCR)
        self.see([PendingRequest(TCR, cycle)], self.new_page())
        self.see([earlier], self.new_page())

    @rule(ref=REF)
    def poll_still_shows_it(self, ref: RequestKey) -> None:
        self.see([self.sighting(ref)], self.new_page())

    @rule(ref=REF, late=st.booleans())
    def what_has_ended_is_still_listed(self, ref: RequestKey, late: bool) -> None:
        """Either the page was asked for before the end, or Connect goes on showing it."""
        early = self.new_page()
        self.job(ref, [("decide", 1), ("settle", 9)])
        self.see([self.sighting(ref)], early if late else self.new_page())

    def sighting(self, ref: RequestKey) -> PendingRequest:
        """Show a request in the cycle that the ledger has of it."""
        entry = self.ledger.get_record(ref)
        return PendingRequest(ref, (entry.cycle if entry else "a") if ref == TCR else None)

    def see(self, sightings: list[PendingRequest], page: Page) -> None:
        before, lost = self.records(), self.reply_gets_lost and self.stepped is not None
        answer = self.ask(
            "sight",
            lambda ledger: ledger.register(sightings, seen_at=page.seen_at, requeue_seconds=0),
        )
        begun = [ref for ref, new in self.records().items() if new and is_new(before[ref], new)]
        # What a lost reply named, nobody publishes: `nothing_is_lost` has the sweep do it.
        assert sorted(answer, key=str) == ([] if lost else sorted(begun, key=str))
        for ref in begun:
            if before[ref]:
                known = page.ends[ref] + (not is_final(before[ref]))
                assert known == self.promises.ends[ref], "a page older than the end began a cycle"

    @rule(
        requeue=st.sampled_from([1.0, 3.0, 100.0]),
        max_attempts=st.integers(1, 4),
        backlogged=st.sampled_from([Backlog(), Backlog((PR.kind,)), Backlog((PR.kind, TCR.kind))]),
        rescue=st.sampled_from([(0.0, 0.0), (2.0, 30.0)]),
    )
    def sweep(
        self,
        requeue: float,
        max_attempts: int,
        backlogged: Backlog,
        rescue: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        found: DueBatch = self.ask(
            "wake",
            lambda ledger: ledger.take_due(
                limit=10,
                requeue_seconds=requeue,
                max_attempts=max_attempts,
                backlogged=backlogged,
                rescue_seconds=rescue,
            ),
        )
        if rescue == (0.0, 0.0):
            assert set(found.expired) <= set(found.publish) | set(found.parked)
        for ref in found.parked:
            assert self.entry(ref).attempt >= max_attempts

    @rule()
    def nothing_is_lost(self) -> None:
        """After an hour a sweep finds every request that is neither ended nor parked.

        A clock that was set back goes on a tenth slower, and no more.
        """
        self.reply_gets_lost = False
        self.set_clock(LONGEST_WAIT_SECONDS / 0.9)
        found: DueBatch = self.ask(
            "wake", lambda ledger: ledger.take_due(limit=10, requeue_seconds=1, max_attempts=100)
        )
        live = [
            ref
            for ref, item in self.records().items()
            if item and not item.state.is_final and item.state is not State.PARKED
        ]
        assert sorted(found.publish, key=str) == sorted(live, key=str)

    @rule(ref=REF, page=pages, keep=KEEP)
    def leave(self, ref: RequestKey, page: Page, keep: float) -> None:
        self.ask(
            "leave",
            lambda ledger: ledger.mark_decided_elsewhere(
                ref, "gone", seen_at=page.seen_at, keep_seconds=keep
            ),
        )

    # ---- what workers do

    @rule(target=claims, ref=REF, lease=LEASE)
    def claim(self, ref: RequestKey, lease: float) -> Any:
        self.owners += 1
        found = self.ask_for(ref, f"worker-{self.owners}", lease)
        return found if isinstance(found, Claim) else multiple()

    def ask_for(self, ref: RequestKey, owner: str, lease: float) -> Any:
        before, gate = (
            self.entry(ref) if self.ledger.get_record(ref) else None,
            self.ledger.breaker(),
        )
        found = self.ask(
            "claim", lambda ledger: ledger.claim(ref, owner=owner, lease_seconds=lease)
        )
        if isinstance(found, Claim):
            after = self.entry(ref)
            assert self.holds(found)
            assert found.owner == owner, "a claim was given to two owners"
            assert found.cycle == after.cycle
            assert (found.decision, found.steps) == (after.decision, after.steps)
            assert found.is_half_open_probe == (gate.failures > 0)
            assert before is not None
            if not before.state.is_leased and found.decision is None:
                names = {"all", ref.kind.value, after.product}
                assert not names & set(self.ledger.pauses()), "a claim was given while held back"
            if not before.state.is_leased:
                assert gate.open_until <= self.ledger.now(), "a claim was given while paused"
                self.granted(found)
        return found

    def granted(self, claim: Claim) -> None:
        self.newest[claim.ref] = claim
        if self.strict:
            assert not (self.probe and self.holds(self.probe)), "two probes at a time"
            self.probe = claim

    @rule(ref=REF, lease=LEASE)
    def a_worker_dies_of_its_claim(self, ref: RequestKey, lease: float) -> None:
        """Redis gave it, and nobody is there any more to hear of it."""
        self.claim(ref, lease)
        self.newest.pop(ref, None)

    @rule(ref=REF, lease=LEASE)
    def two_workers_want_it(self, ref: RequestKey, lease: float) -> None:
        self.claim(ref, lease)
        self.claim(ref, lease)

    @rule(claim=claims)
    def claim_again(self, claim: Claim) -> None:
        """Let an owner ask once more; it gets what it holds, or nothing, or a new claim."""
        held = self.holds(claim)
        found = self.ask_for(claim.ref, claim.owner, claim.lease_seconds)
        if held:
            assert (found.fence, found.owner) == (claim.fence, claim.owner)

    @rule(ref=REF, course=COURSE, late=st.booleans())
    def usual_job(self, ref: RequestKey, course: list[tuple[str, int]], late: bool) -> None:
        """Claim what is due now or in a while; the lease may end just before the last step."""
        if late:
            self.set_clock(5)
        claim = self.claim(ref, 30)
        if not isinstance(claim, Claim):
            return
        for name, number in course[:-1]:
            self.go_on(claim, name, number)
        self.set_clock(31 if late else 0)
        self.go_on(claim, *course[-1])

    @rule(target=claims, ref=REF, work=st.lists(WORK, max_size=4))
    def job(self, ref: RequestKey, work: list[tuple[str, int]]) -> Any:
        """Claim, and go some of the way at once: by single events few histories come far."""
        claim = self.claim(ref, 300)
        if not isinstance(claim, Claim):
            return multiple()
        for name, number in work:
            self.go_on(claim, name, number)
        return claim

    @rule(ref=REF, work=st.lists(WORK, min_size=1, max_size=4))
    def job_goes_on(self, ref: RequestKey, work: list[tuple[str, int]]) -> None:
        """Most claims in the bundle are old; this takes the newest of a request."""
        for name, number in work if ref in self.newest else ():
            self.go_on(self.newest[ref], name, number)

    def go_on(self, claim: Claim, name: str, number: int) -> None:
        odd = number % 2 == 1
        match name:
            case "decide":
                self.decide(claim, {"type": "approve"} if odd else {"type": "fail"})
            case "record":
                self.record(claim, "approve", number)
            case "settle":
                self.settle(claim, "approved", 5 if number < 5 else 1000)
            case "park":
                self.park(claim)
            case _:
                self.put_back(claim, State(name), 0 if number < 5 else 3, odd)

    @rule(ref=REF, again=st.booleans(), work=st.lists(WORK, min_size=1, max_size=3))
    def a_frozen_worker_goes_on(
        self, ref: RequestKey, again: bool, work: list[tuple[str, int]]
    ) -> None:
        """Its lease has ended; perhaps it was rescued, and its own name has a newer claim."""
        old = self.newest.get(ref)
        if old is None:
            return
        self.set_clock(old.lease_seconds + 1)
        self.claim(ref, 30.0)
        if again:
            self.sweep(requeue=1.0, max_attempts=4, backlogged=Backlog())
            self.claim_again(old)
        for name, number in work:
            self.go_on(old, name, number)

    def by_claim(self, name: str, claim: Claim, call: Call) -> Any:
        """Only the current claim changes anything; repeated, it changes nothing more."""
        held, before = self.holds(claim), self.snapshot()
        answer = self.ask_twice(name, call)
        if not held:
            # The call that gave the claim up is known again as long as nobody claims again.
            assert self.snapshot() == before, "a claim that is over changed something"
        return answer

    @rule(claim=claims)
    def heartbeat(self, claim: Claim) -> None:
        held = self.holds(claim)
        assert self.ask_twice("extend", lambda ledger: ledger.renew_lease(claim)) == held

    @rule(claim=claims, decision=DECISION)
    def decide(self, claim: Claim, decision: JSON) -> None:
        held, stored = self.holds(claim), self.decision_of(claim.ref)
        answer = self.by_claim("decide", claim, lambda ledger: ledger.decide(claim, decision))
        assert (answer is None) == (held and stored in (None, decision))

    @rule(claim=claims, step=st.sampled_from(["params", "approve"]), result=st.integers(0, 3))
    def record(self, claim: Claim, step: str, result: int) -> None:
        held = self.holds(claim)
        answer = self.by_claim(
            "record", claim, lambda ledger: ledger.record_step(claim, step, result)
        )
        assert (answer is None) == held

    @rule(claim=claims, outcome=st.sampled_from(["approved", "failed"]), keep=KEEP)
    def settle(self, claim: Claim, outcome: str, keep: float) -> None:
        self.end(claim, lambda ledger: ledger.complete(claim, outcome, keep_seconds=keep))

    @rule(claim=claims, keep=KEEP)
    def supersede(self, claim: Claim, keep: float) -> None:
        self.end(claim, lambda ledger: ledger.supersede(claim, "gone", keep_seconds=keep))

    def end(self, claim: Claim, call: Call) -> None:
        held = self.holds(claim)
        answer = self.by_claim("end", claim, call)
        if held:
            assert answer is None
            assert self.entry(claim.ref).state.is_final

    @rule(claim=claims, state=PUT_BACK, delay=DELAY, used=st.booleans())
    def put_back(self, claim: Claim, state: State, delay: float, used: bool) -> None:
        self.by_claim(
            state.value,
            claim,
            lambda ledger: ledger.reschedule(
                claim, state, delay_seconds=delay, error="e", attempt_used=used
            ),
        )

    @rule(claim=claims)
    def park(self, claim: Claim) -> None:
        self.by_claim("park", claim, lambda ledger: ledger.park(claim, "broken"))

    # ---- what people and outages do

    @rule(ref=REF, lost=st.booleans())
    def rerun(self, ref: RequestKey, lost: bool) -> None:
        self.reply_gets_lost |= lost
        able = self.is_in(ref, State.PARKED, State.DISCARDED)
        assert self.ask("rerun", lambda ledger: ledger.rerun(ref)) == able

    @rule(ref=REF, lost=st.booleans())
    def repost(self, ref: RequestKey, lost: bool) -> None:
        self.reply_gets_lost |= lost
        able = self.is_in(ref, State.PARKED) and self.decision_of(ref) is not None
        assert self.ask("repost", lambda ledger: ledger.repost(ref)) == able

    @rule(ref=REF, keep=KEEP, lost=st.booleans())
    def discard(self, ref: RequestKey, keep: float, lost: bool) -> None:
        self.reply_gets_lost |= lost
        able = self.is_in(ref, State.PARKED)
        assert self.ask("discard", lambda ledger: ledger.discard(ref, keep_seconds=keep)) == able

    def is_in(self, ref: RequestKey, *states: State) -> bool:
        entry = self.ledger.get_record(ref)
        return entry is not None and entry.state in states

    @rule(name=PAUSE, lost=st.booleans())
    def pause(self, name: str, lost: bool) -> None:
        self.reply_gets_lost |= lost
        self.ask("pause", lambda ledger: ledger.pause(name, reason="r"))

    @rule(name=PAUSE, tried=st.booleans())
    def resume(self, name: str, tried: bool) -> None:
        """Those that it held are woken, each at once; another pause may hold them again."""
        for ref in REFS if tried else ():
            self.claim(ref, 30.0)
        held = [
            record.ref for record in self.records().values() if record and record.paused_by == name
        ]
        # The second of two calls finds nobody any more.
        lost = self.reply_gets_lost and self.stepped is not None
        answer = self.ask("resume", lambda ledger: ledger.resume(name))
        assert answer == (0 if lost else len(held))
        assert name not in self.ledger.pauses()
        found: DueBatch = self.ask(
            "wake", lambda ledger: ledger.take_due(limit=10, requeue_seconds=1, max_attempts=100)
        )
        assert set(held) <= set(found.publish)

    @rule(failed=st.booleans(), seconds=DELAY, lost=st.booleans())
    def close_gate(self, failed: bool, seconds: float, lost: bool) -> None:
        self.reply_gets_lost |= lost
        before = self.ledger.breaker()
        gate = self.ask(
            "close",
            lambda ledger: ledger.trip_breaker(seconds=seconds, reason="r", failed=failed),
        )
        assert gate.open_until >= before.open_until, "a pause was made shorter"
        assert gate.failures - before.failures in ((0, 1) if failed else (0,))
        self.strict = self.strict or (seconds > 0 and gate.failures > 0)
        self.probe = None

    @rule(lease=LEASE, probe=st.sampled_from(["works", "beats", "asks again"]))
    def an_outage_is_over(self, lease: float, probe: str) -> None:
        """All that waited come at once, and again while the probe is at work, or was."""
        self.close_gate(failed=True, seconds=3.0, lost=False)
        self.set_clock(6)
        for ref in REFS:
            self.claim(ref, lease)
        self.set_clock(4)
        if self.probe and probe == "beats":
            self.heartbeat(self.probe)
        if self.probe and probe == "asks again":
            self.claim_again(self.probe)
        self.set_clock(3)
        for ref in REFS:
            self.claim(ref, lease)

    @rule(forget=st.booleans())
    def open_gate(self, forget: bool) -> None:
        failures = self.ledger.breaker().failures
        self.ask("open", lambda ledger: ledger.reset_breaker(forget=forget))
        gate = self.ledger.breaker()
        assert gate.open_until <= self.ledger.now()
        assert gate.failures == (0 if forget else failures)
        self.strict, self.probe = False, None


def is_new(old: RequestRecord | None, new: RequestRecord) -> bool:
    return old is None or old.cycle != new.cycle


def is_final(entry: RequestRecord | None) -> bool:
    return entry is not None and entry.state.is_final


@pytest.fixture(scope="module")
def stepped(redis_url: str) -> Iterator[SteppedRedis]:
    with stepped_redis(redis_url) as stepped:
        yield stepped


def run(*, examples: int, **ledgers: Any) -> None:
    machine = type("Machine", (LedgerMachine,), ledgers)
    chosen = settings(max_examples=examples, stateful_step_count=40, deadline=None)
    run_state_machine_as_test(machine, settings=chosen)


FEW_OR_MANY = pytest.mark.parametrize("examples", [15, pytest.param(150, marks=pytest.mark.long)])


@FEW_OR_MANY
def test_the_memory_keeps_its_promises(examples: int) -> None:
    run(examples=2 * examples, in_memory=True)


@FEW_OR_MANY
def test_the_scripts_keep_their_promises_and_answer_as_the_memory_does(
    stepped: SteppedRedis, examples: int
) -> None:
    run(examples=examples, in_memory=True, stepped=stepped)

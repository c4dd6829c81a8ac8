"""One or two ledgers under one stepped clock, and what is true of them after every event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from connect_worker.domain.states import (
    JSON,
    Claim,
    ClaimDenied,
    DueBatch,
    RequestKey,
    RequestRecord,
    State,
)
from connect_worker.engine.ports import Ledger
from connect_worker.exceptions import LeaseLost
from connect_worker.ledger.codec import MAX_GAP_MS
from connect_worker.ledger.memory import MemoryLedger
from tests.support.fake_clock import SteppedRedis
from tests.support.ledger_factories import OTHER, PR, TCR, Clock

from .invariants import Invariants, Records, is_current

REFS = (PR, OTHER, TCR)
Call = Callable[[Ledger], Any]


class Ledgers(RuleBasedStateMachine):
    """The ledgers of one history: all answer the same, and one is judged."""

    in_memory: ClassVar[bool] = False
    stepped: ClassVar[SteppedRedis | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.ledgers: list[Ledger] = []
        if self.in_memory:
            self.ledgers.append(MemoryLedger(clock=self.clock))
        if self.stepped:
            self.ledgers.append(self.stepped.renew())
            self.clock.observers.append(self.stepped.set_clock)
        self.clock.calls += [ledger.now for ledger in self.ledgers]
        #: The one that is judged; where there are two, the other must agree with it.
        self.ledger = self.ledgers[-1]
        self.promises = Invariants("account")
        self.reply_gets_lost = False
        self.clock.set(self.clock())

    # ---- time

    def set_clock(self, step: float) -> None:
        before = self.records()
        self.clock.step(step)
        self.promises.saw(before, self.records(), now=self.ledger.now(), call="clock")

    @rule(seconds=st.sampled_from([0.001, 1, 4, 40, 400, 4000]))
    def time_passes(self, seconds: float) -> None:
        self.set_clock(seconds)

    @rule(seconds=st.sampled_from([0.002, 3, 20, 7200]))
    def the_clock_is_set_back(self, seconds: float) -> None:
        """A failover to a server whose clock is behind, or a correction by NTP."""
        before, now = self.records(), self.ledger.now()
        self.clock.set(self.clock() - seconds)
        assert now - 1 <= self.ledger.now() <= now
        assert self.records() == before

    @rule(seconds=st.sampled_from([2, 30, 3600]))
    def the_clock_is_set_forward(self, seconds: float) -> None:
        """Or no call reached the ledger for so long. No lease loses more than its share of it."""
        before, now = self.records(), self.ledger.now()
        self.clock.set(self.clock() + seconds)
        assert now <= self.ledger.now() <= now + seconds
        for ref, old in before.items():
            if old and old.state.is_leased and old.due > now:
                new = self.entry(ref)
                assert new.due - self.ledger.now() >= old.due - now - MAX_GAP_MS / 1000 - 0.001
                assert replace(new, due=old.due) == old
        self.promises.saw(before, self.records(), now=self.ledger.now(), call="clock")

    # ---- asking

    def records(self) -> Records:
        if self.stepped:
            self.stepped.take_over_expiry(REFS)
        return {ref: self.ledger.get_record(ref) for ref in REFS}

    def ask(self, name: str, call: Call) -> Any:
        """Ask every ledger; they must agree, and keep every promise."""
        before = self.records()
        lost, self.reply_gets_lost = self.reply_gets_lost and self.stepped is not None, False
        if lost and self.stepped:
            self.stepped.lose_next_reply()
        answers = [answer(ledger, call) for ledger in self.ledgers]
        if lost and self.stepped:
            self.stepped.assert_reply_was_lost()
            answers = [repeated(found) for found in answers]
        assert all(found == answers[0] for found in answers), answers
        self.promises.saw(before, self.records(), now=self.ledger.now(), call=name)
        return answers[-1]

    @rule()
    def the_next_reply_gets_lost(self) -> None:
        """The call has its effect, the client hears nothing and sends the same call again."""
        self.reply_gets_lost = True

    def ask_twice(self, name: str, call: Call) -> Any:
        """Ask again with the same claim: the same answer, and no change."""
        before = self.snapshot()
        first = self.ask(name, call)
        after = self.snapshot()
        if first is LeaseLost:
            assert after == before, "a refused call changed something"
        assert self.ask("again", call) == first
        assert self.snapshot() == after, "a repeated call changed something"
        return first

    def snapshot(self) -> Any:
        counts, outcomes = self.ledger.counts(), self.ledger.outcomes()
        return self.records(), counts, outcomes, self.ledger.breaker()

    def holds(self, claim: Claim) -> bool:
        return is_current(claim, self.ledger.get_record(claim.ref), self.ledger.now())

    # ---- what is always true

    def entry(self, ref: RequestKey) -> RequestRecord:
        entry = self.ledger.get_record(ref)
        assert entry is not None
        return entry

    def decision_of(self, ref: RequestKey) -> JSON:
        entry = self.ledger.get_record(ref)
        return entry.decision if entry else None

    @invariant()
    def the_ledgers_agree(self) -> None:
        found = [
            (
                *(ledger.get_record(ref) for ref in REFS),
                *(ledger.counts(), ledger.outcomes(), ledger.breaker(), ledger.now()),
                *(ledger.oldest(), ledger.outcomes_today(), ledger.pauses()),
                ledger.completed_by_hour(3),
            )
            for ledger in self.ledgers
        ]
        assert all(item == found[0] for item in found), found

    @invariant()
    def each_request_is_in_one_state(self) -> None:
        """Counts, due and parked agree with the records."""
        entries = [entry for entry in self.records().values() if entry]
        counts = self.ledger.counts()
        for kind, states in counts.items():
            for state in (item for item in State if not item.is_final):
                found = [item for item in entries if (item.ref.kind, item.state) == (kind, state)]
                assert states[state] == len(found)
        final = [states[state] for states in counts.values() for state in State if state.is_final]
        assert sum(final) == self.promises.ended
        parked = [item.ref for item in entries if item.state is State.PARKED]
        listed = [ref for kind in counts for ref in self.ledger.parked(kind)]
        assert sorted(listed, key=str) == sorted(parked, key=str)
        if self.stepped:
            self.stepped.assert_consistent()


def answer(ledger: Ledger, call: Call) -> Any:
    try:
        return call(ledger)
    except (LeaseLost, ValueError) as exc:
        return type(exc)


def repeated(found: Any) -> Any:
    """Leave out what a call that was sent twice is allowed to answer differently.

    A poll or a sweep finds nothing the second time. A claim that was refused at a closed gate is
    not due yet when it is asked again.
    """
    match found:
        case DueBatch():
            return DueBatch()
        case list():
            return []
        case int() if not isinstance(found, bool):
            return 0
        case ClaimDenied.BREAKER_OPEN:
            return ClaimDenied.NOT_DUE
        case _:
            return found

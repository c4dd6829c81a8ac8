"""Random histories of requests that share limits: nobody too many inside, nobody forgotten in line.

As in `test_stateful`: the memory alone with a clock that steps, and the memory and Redis in
lockstep, where a lease is over at once or lasts for ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar
from uuid import uuid4

import pytest
import redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from connect_worker.domain.states import (
    Claim,
    ClaimDenied,
    Limit,
    Limits,
    PendingRequest,
    RequestKey,
    RequestKind,
    State,
    limit_for,
)
from connect_worker.engine.ports import Ledger
from connect_worker.exceptions import LeaseLost
from connect_worker.ledger.memory import MemoryLedger
from connect_worker.ledger.redis import RedisLedger, connect
from tests.support.ledger_factories import APPROVE, LONG, Clock, assert_consistent

LIMITS: Limits = {"PRD-1": Limit("two", 2), "PRD-2": None, "": Limit("one", 1)}
#: Those with a limit come more often.
PRODUCTS = st.sampled_from(["PRD-1", "PRD-1", "PRD-1", "PRD-2", "PRD-3"])
ANY = st.integers(0, 1_000)
Call = Callable[[Ledger], Any]


class SlotsMachine(RuleBasedStateMachine):
    """Requests arrive, claims are asked for, jobs go on, die, and are swept."""

    leases: ClassVar[tuple[float, ...]] = (5, 30, 300)

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.memory = MemoryLedger(clock=self.clock)
        self.clock.calls.append(self.memory.now)
        self.ledgers: list[Ledger] = [self.memory]
        self.product: dict[RequestKey, str] = {}
        self.claims: list[Claim] = []
        self.owners = 0
        self.cycles = 0
        #: Who was refused for want of a slot and has not been called since.
        self.in_line: set[RequestKey] = set()

    def ask(self, call: Call) -> Any:
        answers = [answer(ledger, call) for ledger in self.ledgers]
        assert all(item == answers[0] for item in answers), answers
        return answers[0]

    def gap(self) -> None:
        """Let a moment pass, so that no two cycles begin in the same millisecond."""
        self.clock.step(0.002)

    # ---- what happens

    @initialize()
    def first(self) -> None:
        for number, product in enumerate(("PRD-1", "PRD-1", "PRD-1", "PRD-3", "PRD-3")):
            self.arrive(product, number)

    @rule(product=PRODUCTS, number=ANY)
    def arrive(self, product: str, number: int) -> None:
        self.gap()
        # Of tier configs Connect names the cycles: one can be replaced while it waits in line.
        kind = RequestKind.TIER_CONFIG if number % 2 else RequestKind.FULFILLMENT
        ref = RequestKey(kind, f"{len(self.product):04d}")
        self.product[ref] = product
        self.see(ref)

    @rule(number=ANY)
    def arrive_again(self, number: int) -> None:
        self.gap()
        self.see(list(self.product)[number % len(self.product)])

    def see(self, ref: RequestKey) -> None:
        self.cycles += 1
        cycle = f"cycle-{self.cycles}" if ref.kind is RequestKind.TIER_CONFIG else None
        sighting = PendingRequest(ref, cycle, self.product[ref])
        if self.ask(lambda ledger: begun(ledger, sighting)):
            self.in_line.discard(ref)

    @rule(number=ANY, span=st.integers(0, 2))
    def claim(self, number: int, span: int) -> None:
        self.take(list(self.product)[number % len(self.product)], self.leases[span])

    def take(self, ref: RequestKey, lease_seconds: float) -> Claim | ClaimDenied:
        self.owners += 1
        owner = f"worker-{self.owners}"
        found: Claim | ClaimDenied = self.ask(
            lambda ledger: ledger.claim(
                ref, owner=owner, lease_seconds=lease_seconds, limits=LIMITS
            )
        )
        if isinstance(found, Claim):
            self.claims.append(found)
            self.in_line.discard(ref)
            if found.decision is None:
                limit = limit_for(LIMITS, self.product[ref])
                assert found.limit == (limit.name if limit else "")
        elif found is ClaimDenied.CONCURRENCY_LIMIT:
            limit = limit_for(LIMITS, self.product[ref])
            assert limit is not None
            assert self.inside(limit) == limit.max_concurrent, "refused, and there was room"
            self.in_line.add(ref)
        return found

    @precondition(lambda self: self.claims)
    @rule(number=ANY, what=st.sampled_from(["decide", "settle", "park", "retry", "snoozed"]))
    def go_on(self, number: int, what: str) -> None:
        self.do(self.claims[-1 - number % min(len(self.claims), 4)], what)

    def do(self, claim: Claim, what: str) -> None:
        match what:
            case "decide":
                self.ask(lambda ledger: ledger.decide(claim, APPROVE))
            case "settle":
                self.ask(lambda ledger: ledger.complete(claim, "approved", keep_seconds=LONG))
            case "park":
                self.ask(lambda ledger: ledger.park(claim, "broken"))
            case _:
                state = State(what)
                self.ask(lambda ledger: ledger.reschedule(claim, state, delay_seconds=0))

    @precondition(lambda self: self.claims)
    @rule(number=ANY)
    def heartbeat(self, number: int) -> None:
        claim = self.claims[-1 - number % min(len(self.claims), 4)]
        self.ask(lambda ledger: ledger.renew_lease(claim))

    @rule(number=ANY)
    def decided_elsewhere(self, number: int) -> None:
        ref = list(self.product)[number % len(self.product)]
        late = self.memory.now() + 1000
        if self.ask(
            lambda ledger: ledger.mark_decided_elsewhere(
                ref, "gone", seen_at=late, keep_seconds=LONG
            )
        ):
            self.in_line.discard(ref)

    @rule(number=ANY)
    def rerun(self, number: int) -> None:
        ref = list(self.product)[number % len(self.product)]
        self.ask(lambda ledger: ledger.rerun(ref))

    @rule(limit=st.sampled_from(["two", "one"]))
    def slot_is_handed_on(self, limit: str) -> None:
        self.release(limit)

    @rule()
    def sweep(self) -> None:
        self.ask(
            lambda ledger: sorted(
                map(str, ledger.take_due(limit=99, requeue_seconds=LONG, max_attempts=5).publish)
            )
        )
        self.release("")

    def release(self, name: str) -> list[RequestKey]:
        refs: list[RequestKey] = self.ask(
            lambda ledger: sorted(ledger.take_from_slot_queue(name, requeue_seconds=LONG), key=str)
        )
        assert set(refs) <= self.in_line, "released, and was in no line"
        self.in_line -= set(refs)
        return refs

    @rule()
    def everybody_in_line_gets_in(self) -> None:
        """When those inside end one after the other, hand-overs alone reach all in line."""
        waiting = set(self.in_line)
        self.end_all()
        served = set()
        while refs := self.release(""):
            for ref in refs:
                claim = self.take(ref, LONG * 100)
                assert isinstance(claim, Claim), "the room it was called for is gone"
                self.do(claim, "park")
                served.add(ref)
        assert served == waiting
        assert not self.in_line

    def end_all(self) -> None:
        for claim in self.claims:
            self.do(claim, "park")
        for limit in filter(None, LIMITS.values()):
            assert self.inside(limit) == 0, "a slot was not freed"

    # ---- what is always true

    def inside(self, limit: Limit) -> int:
        """Count, from outside, who runs under a live lease."""
        return sum(
            entry.state is State.RUNNING and entry.due > self.memory.now()
            for ref in self.product
            if limit_for(LIMITS, self.product[ref]) == limit
            if (entry := self.memory.get_record(ref)) is not None
        )

    @invariant()
    def never_more_than_the_limit(self) -> None:
        for limit in filter(None, LIMITS.values()):
            assert self.inside(limit) <= limit.max_concurrent


class MemoryMachine(SlotsMachine):
    """Many histories, over which time passes in steps."""

    @rule(seconds=st.sampled_from([1, 4, 40, 400]))
    def time_passes(self, seconds: float) -> None:
        self.clock.step(seconds)


class TwinMachine(SlotsMachine):
    """The memory and Redis in lockstep."""

    leases = (0, LONG * 100, LONG * 100)
    client: ClassVar[redis.Redis]

    def __init__(self) -> None:
        super().__init__()
        self.account = uuid4().hex
        self.ledgers.append(RedisLedger(self.client, account=self.account))

    def ask(self, call: Call) -> Any:
        seconds, microseconds = self.client.time()
        self.clock.time = seconds + microseconds // 1000 / 1000
        return super().ask(call)

    def gap(self) -> None:
        time.sleep(0.003)

    @invariant()
    def slots_and_lines_agree(self) -> None:
        assert_consistent(self.client, self.account)


def begun(ledger: Ledger, sighting: PendingRequest) -> list[RequestKey]:
    return ledger.register([sighting], seen_at=ledger.now() + 1000, requeue_seconds=0)


def answer(ledger: Ledger, call: Call) -> Any:
    try:
        return call(ledger)
    except LeaseLost:
        return LeaseLost


@pytest.mark.parametrize("examples", [20, pytest.param(200, marks=pytest.mark.long)])
def test_random_histories_in_memory(examples: int) -> None:
    run_state_machine_as_test(
        MemoryMachine,
        settings=settings(max_examples=examples, stateful_step_count=40, deadline=None),
    )


@pytest.mark.parametrize("examples", [6, pytest.param(60, marks=pytest.mark.long)])
def test_random_histories_are_the_same_in_memory_and_in_redis(
    redis_url: str, examples: int
) -> None:
    with connect(redis_url) as client:
        machine = type("Twins", (TwinMachine,), {"client": client})
        run_state_machine_as_test(
            machine,
            settings=settings(max_examples=examples, stateful_step_count=40, deadline=None),
        )

"""Short words for what the tests say again and again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

import redis

from connect_worker.domain.states import (
    Claim,
    PendingRequest,
    RequestKey,
    RequestKind,
    RequestRecord,
    State,
)
from connect_worker.engine.ports import Ledger
from connect_worker.ledger.codec import MAX_GAP_MS

PR = RequestKey(RequestKind.FULFILLMENT, "PR-5852-1608-0000")
OTHER = RequestKey(RequestKind.FULFILLMENT, "PR-5852-1608-0001")
TCR = RequestKey(RequestKind.TIER_CONFIG, "TCR-000-000-000")
APPROVE = {"type": "approve", "template_id": "TL-000-000-000"}
#: Long enough for every test to end before it.
LONG = 3600.0
#: In so many parts passes time that is longer than any lease.
MAX_PARTS = 250


@dataclass
class Clock:
    """A clock that stands still; a test lets time pass, or sets it."""

    time: float = 1_700_000_000.0
    #: They hear of each change.
    observers: list[Callable[[float], None]] = field(default_factory=list)
    #: What is called after each change, as sweeps call a ledger all the time.
    calls: list[Callable[[], object]] = field(default_factory=list)

    def __call__(self) -> float:
        return self.time

    def step(self, seconds: float) -> None:
        """Let time pass, with calls in between; a negative number sets the clock back."""
        parts = 1 + min(MAX_PARTS, int(seconds * 1000 // MAX_GAP_MS)) if seconds > 0 else 1
        began = self.time
        for part in range(1, parts + 1):
            self.set(round(began + seconds * part / parts, 3))

    def set(self, time: float) -> None:
        """Set the clock, as NTP does."""
        self.time = time
        for tell in self.observers:
            tell(self.time)
        for call in self.calls:
            call()


def register(
    ledger: Ledger,
    *refs: RequestKey,
    cycle: str | None = None,
    product: str = "",
    seen_at: float | None = None,
    requeue_seconds: float = LONG,
) -> list[RequestKey]:
    """Register requests (`PR` when none is named) as a poll that asked just now."""
    return ledger.register(
        [PendingRequest(ref, cycle, product) for ref in refs or (PR,)],
        seen_at=ledger.now() if seen_at is None else seen_at,
        requeue_seconds=requeue_seconds,
    )


def claim_of(
    ledger: Ledger, ref: RequestKey = PR, *, owner: str = "w1", lease_seconds: float = LONG
) -> Claim:
    """Claim a request that must be claimable."""
    claim = ledger.claim(ref, owner=owner, lease_seconds=lease_seconds)
    assert isinstance(claim, Claim), claim
    return claim


def running(ledger: Ledger, ref: RequestKey = PR, *, lease_seconds: float = LONG) -> Claim:
    """Register a request and claim it."""
    register(ledger, ref)
    return claim_of(ledger, ref, lease_seconds=lease_seconds)


def posting(ledger: Ledger, ref: RequestKey = PR, *, lease_seconds: float = LONG) -> Claim:
    """Register, claim, decide."""
    claim = running(ledger, ref, lease_seconds=lease_seconds)
    ledger.decide(claim, APPROVE)
    return claim


def record_of(ledger: Ledger, ref: RequestKey = PR) -> RequestRecord:
    """Return a record that must exist."""
    entry = ledger.get_record(ref)
    assert entry is not None
    return entry


def take_due(ledger: Ledger, *, max_attempts: int = 8) -> list[RequestKey]:
    """Return what a sweep publishes now."""
    found = ledger.take_due(limit=1000, requeue_seconds=LONG, max_attempts=max_attempts)
    return found.publish


def assert_consistent(client: redis.Redis, account: str, *, expiring: bool = True) -> None:
    """Compare counts, due, parked, waiting, slots, lines and held with every record there is.

    `expiring=False` where the test itself sees to it that ended records are forgotten.
    """
    prefix = f"connect-worker:{{{account}}}:"
    live: Counter[str] = Counter()
    waiting: dict[State, set[str]] = defaultdict(set)
    listed: dict[str, dict[str, float]] = defaultdict(dict)
    now = to_milliseconds(client)
    for key in map(str, client.scan_iter(match=f"{prefix}request:*", count=1000)):
        ref = key.removeprefix(f"{prefix}request:")
        record = cast("dict[str, str]", client.hgetall(key))
        state = State(record["s"])
        expires = expiring and state.is_final
        assert (client.pttl(key) > 0) == expires, f"{ref} is {state}: does it expire?"
        if state.is_leased:
            assert client.zscore(prefix + "due", ref) == float(record["r"])
        for place, score in places(ref, record, now).items():
            listed[place][ref] = score
        if not state.is_final:
            live[f"{RequestKey.parse(ref).kind}:{state}:{record.get('p', '')}"] += 1
            waiting[state].add(ref)
    parked = waiting.pop(State.PARKED, set())
    counts = cast("dict[str, str]", client.hgetall(prefix + "counts"))
    final = tuple(f":{state}:" for state in State if state.is_final)
    counted = {
        name: int(n) for name, n in counts.items() if not any(item in name for item in final)
    }
    assert {name: n for name, n in counted.items() if n} == live
    assert set(client.zrange(prefix + "due", 0, -1)) == set().union(*waiting.values())
    assert set(client.zrange(prefix + "parked", 0, -1)) == parked
    for name in ("unfinished", "slots", "slot_queue", "paused_requests"):
        for key in map(str, client.scan_iter(match=f"{prefix}{name}:*", count=1000)):
            # Who let its lease end may be among the members still: it does not count.
            since = now if name == "slots" else "-inf"
            found = client.zrange(key, f"({since}", "+inf", byscore=True, withscores=True)
            members = dict(cast("list[tuple[str, float]]", found))
            assert members == listed.pop(key.removeprefix(prefix), {})
    assert not listed


def places(ref: str, record: Mapping[str, str], now: float) -> dict[str, float]:
    """Return the sorted sets that a record must be in beside `due` and `parked`, and its scores."""
    state, began, found = State(record["s"]), float(record["b"]), {}
    if not state.is_final and state is not State.PARKED:
        found[f"unfinished:{RequestKey.parse(ref).kind}"] = began
    if "n" in record or ("l" in record and not state.is_leased):
        assert state in (State.QUEUED, State.RETRY, State.SNOOZED)
        found[
            f"paused_requests:{record['n']}" if "n" in record else f"slot_queue:{record['l']}"
        ] = began
        assert not ("n" in record and "l" in record)
    elif "l" in record and float(record["r"]) > now:
        assert state is State.RUNNING
        found[f"slots:{record['l']}"] = float(record["r"])
    return found


def to_milliseconds(client: redis.Redis) -> float:
    """Return the server's clock as the scripts read it."""
    seconds, microseconds = client.time()
    return float(seconds * 1000 + microseconds // 1000)

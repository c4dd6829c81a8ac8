"""What a ledger promises of each request, checked over every change that a history makes.

`Promises` sees the records before and after each call. It knows nothing of how a ledger works.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from connect_worker.domain.states import Claim, RequestKey, RequestRecord, State, idempotency_key

Records = Mapping[RequestKey, RequestRecord | None]

#: The calls that drop a stored decision: a person's, and a holder's who looks again later.
UNDECIDING = {"rerun", "retry", "snoozed"}


class Invariants:
    """One history's past: whose fence, which keys, how many ends."""

    def __init__(self, account: str) -> None:
        self._account = account
        #: Grows when a record is forgotten: a ledger's memory is one life long.
        self._life: Counter[RequestKey] = Counter()
        self._owner_of: dict[tuple[RequestKey, int, int], str] = {}
        self._keys: set[tuple[RequestKey, int, str]] = set()
        #: How many cycles of each request have ended.
        self.ends: Counter[RequestKey] = Counter()

    @property
    def ended(self) -> int:
        """How many cycles are counted as ended."""
        return sum(self.ends.values())

    def saw(self, before: Records, after: Records, *, now: float, call: str) -> None:
        """Check what a call, or a step of the clock, has made of the records."""
        for ref, new in after.items():
            old = before[ref]
            if new is None:
                assert old is None or old.state.is_final, "a cycle was forgotten before its end"
            elif old is None:
                self._life[ref] += 1
                assert new.fence == 0
                self._begins(ref, new)
            elif new.cycle != old.cycle:
                assert not is_held(old, now), "a cycle began under a worker's hands"
                self.ends[ref] += not old.state.is_final
                self._begins(ref, new)
            else:
                self._goes_on(ref, old, new, call)
            if old and new:
                self._one_owner_per_fence(ref, old, new)

    def _begins(self, ref: RequestKey, new: RequestRecord) -> None:
        key = ref, self._life[ref], idempotency_key(self._account, ref, new.cycle)
        assert key not in self._keys, "an idempotency key was used by two cycles"
        self._keys.add(key)
        assert new.state is State.QUEUED
        assert (new.attempt, new.decision, new.steps, new.outcome) == (0, None, {}, "")

    def _goes_on(self, ref: RequestKey, old: RequestRecord, new: RequestRecord, call: str) -> None:
        assert new.steps.items() >= old.steps.items(), "a journaled step changed"
        if old.decision is not None and new.decision != old.decision:
            assert new.decision is None, "a decision changed within its cycle"
            assert call in UNDECIDING, "a decision was dropped"
        if old.state is State.COMPLETED:
            assert new.state is State.COMPLETED, "a completed cycle ran again"
        elif old.state is State.DISCARDED and new.state is not old.state:
            assert call == "rerun", "a discarded cycle ran again"
            self.ends[ref] -= 1
        elif old.state.is_final:
            assert new.state is old.state, "an ended cycle went on"
        self.ends[ref] += new.state.is_final and not old.state.is_final
        if new.state in (State.DECIDED, State.POSTING):
            assert new.decision is not None, "posted without a decision"

    def _one_owner_per_fence(self, ref: RequestKey, old: RequestRecord, new: RequestRecord) -> None:
        assert new.fence - old.fence in (0, 1), "a fence did not grow by one"
        if not new.state.is_leased:
            return
        key = ref, self._life[ref], new.fence
        assert self._owner_of.setdefault(key, new.owner) == new.owner, "a fence has two owners"
        if old.state.is_leased:
            assert old.fence == new.fence, "a claim was given while a worker held the request"
        else:
            assert new.fence == old.fence + 1, "a claim was given without a new fence"


def is_held(entry: RequestRecord | None, now: float) -> bool:
    """Whether a worker holds the request under a live lease."""
    return entry is not None and entry.state.is_leased and entry.due > now


def is_current(claim: Claim, entry: RequestRecord | None, now: float) -> bool:
    """Whether the claim is the one that holds the request, seen from outside."""
    return (
        entry is not None
        and is_held(entry, now)
        and (entry.fence, entry.owner) == (claim.fence, claim.owner)
    )

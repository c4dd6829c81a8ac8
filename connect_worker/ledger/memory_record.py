"""What `MemoryLedger` holds of one request, and of the account's pause; times in milliseconds."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from connect_worker.ledger.wire import worker_of
from connect_worker.processing.states import JSON, Claim, Entry, Gate, Moment, Ref, State

#: How many changes of state a record remembers.
MAX_MOMENTS = 24


@dataclass(slots=True)
class Record:
    """One request, from the first sighting until it is forgotten."""

    visit: str
    first_seen: int
    #: The last change of state.
    changed: int
    #: Leased: the lease's end. Waiting: the time from which it may be claimed. Else 0.
    due: int
    #: When `wake` must look at it; None for parked and ended ones.
    look: int | None
    state: State = State.QUEUED
    #: Named visits before this one.
    names: list[str] = field(default_factory=list)
    product: str = ""
    fence: int = 0
    #: Of the last claim, given up or not.
    owner: str = ""
    attempt: int = 0
    #: Whether the claim counted an attempt, which can be given back.
    counted: bool = False
    #: Messages published since somebody last answered one.
    unanswered: int = 0
    #: JSON text, so that a caller who changes the document does not change the decision.
    decision: str | None = None
    steps: dict[str, str] = field(default_factory=dict)
    step_times: dict[str, int] = field(default_factory=dict)
    #: The limit in whose slots (while running) or line (else) it is.
    limit: str = ""
    #: The processor's first "not yet"; 0 for none.
    not_yet_since: int = 0
    error: str = ""
    outcome: str = ""
    #: The call that took it out of the last owner's hands; repeated, that call changes nothing.
    given_up_by: str = ""
    #: How long to remember it once the visit has ended, and until when.
    keep: int = 0
    expires: int | None = None
    #: The visit's last changes of state.
    history: list[Moment] = field(default_factory=list)
    #: The pause for whose end it waits.
    held_by: str = ""

    def remember(self, state: State, *, now: int, claimed: bool = False) -> None:
        """Add a change of state to the visit's past; of too many the oldest goes."""
        moment = Moment(now / 1000, state, worker_of(self.owner) if claimed else "")
        self.history = [*self.history, moment][-MAX_MOMENTS:]

    def is_held(self, now: int) -> bool:
        """Whether a worker holds it under a live lease."""
        return self.state.is_leased and self.due > now

    def is_of(self, claim: Claim) -> bool:
        """Whether the claim is the last one given."""
        return self.fence == claim.fence and self.owner == claim.owner

    def to_claim(self, ref: Ref, lease_seconds: float, *, probe: bool, counted_as: str) -> Claim:
        """Return the claim that holds it."""
        return Claim(
            ref=ref,
            visit=self.visit,
            fence=self.fence,
            owner=self.owner,
            attempt=self.attempt,
            lease_seconds=lease_seconds,
            product=self.product,
            decision=self._decision(),
            steps=self._steps(),
            probe=probe,
            limit=self.limit,
            counted_as=counted_as,
            not_yet_since=self.not_yet_since / 1000,
        )

    def to_entry(self, ref: Ref) -> Entry:
        """Return all of it, for people to look at."""
        return Entry(
            ref=ref,
            state=self.state,
            visit=self.visit,
            fence=self.fence,
            attempt=self.attempt,
            product=self.product,
            owner=self.owner if self.state.is_leased else "",
            due=self.due / 1000,
            decision=self._decision(),
            steps=self._steps(),
            step_times={name: at / 1000 for name, at in self.step_times.items()},
            outcome=self.outcome,
            error=self.error,
            first_seen=self.first_seen / 1000,
            changed=self.changed / 1000,
            earlier=tuple(self.names),
            history=tuple(self.history),
            not_yet_since=self.not_yet_since / 1000,
            held_by=self.held_by,
        )

    def _decision(self) -> JSON:
        return None if self.decision is None else json.loads(self.decision)

    def _steps(self) -> dict[str, JSON]:
        return {name: json.loads(result) for name, result in self.steps.items()}


@dataclass(slots=True)
class GateRecord:
    """The account's pause."""

    until: int = 0
    reason: str = ""
    failures: int = 0
    #: The owner whose claim finds out whether the account works again.
    probe: str = ""
    probe_until: int = 0
    #: Closed for failures: it opens with one probe.
    strict: bool = False
    #: Until when Connect itself asked for it, and the reason.
    asked_until: int = 0
    asked_for: str = ""

    def to_gate(self, now: int) -> Gate:
        """Return it as everybody sees it; a pause that ended without failures is none."""
        if self.until <= now and not self.failures:
            return Gate()
        return Gate(closed_until=self.until / 1000, reason=self.reason, failures=self.failures)

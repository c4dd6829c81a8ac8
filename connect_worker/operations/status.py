"""How the work stands, kind by kind: read from the ledger, and drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from connect_worker.domain.states import (
    FINAL_STATES,
    BreakerState,
    Pause,
    PollProblem,
    PollReport,
    RequestKind,
    State,
)
from connect_worker.engine.ports import Counters, Ledger
from connect_worker.operations.formatting import clean, span, stamp
from connect_worker.operations.request_details import document_of_poll, documents_of_pauses

# The requests of each kind, by what is happening to them.

#: The board's words → the states that they count; all of them wait or run.
GROUPS: Final[Mapping[str, frozenset[State]]] = MappingProxyType(
    {
        "parked": frozenset({State.PARKED}),
        "pending": frozenset({State.QUEUED}),
        "running": frozenset({State.RUNNING, State.POSTING}),
        "retrying": frozenset({State.RETRY, State.DECIDED}),
        "waiting": frozenset({State.SNOOZED}),
    }
)


@dataclass(frozen=True, slots=True)
class KindCounts:
    """The requests of one kind, by what is happening to them."""

    pending: int = 0
    running: int = 0
    #: Waits for another attempt, or to post its decision once more.
    retrying: int = 0
    #: The processor said "not now".
    waiting: int = 0
    parked: int = 0
    settled: int = 0
    #: `settled` by outcome: approved, failed, …
    outcomes: Mapping[str, int] = field(default_factory=dict)

    @property
    def active(self) -> int:
        """How many somebody will still work on."""
        return self.pending + self.running + self.retrying + self.waiting

    def __add__(self, other: KindCounts) -> KindCounts:
        return KindCounts(
            self.pending + other.pending,
            self.running + other.running,
            self.retrying + other.retrying,
            self.waiting + other.waiting,
            self.parked + other.parked,
            self.settled + other.settled,
        )


def count_by_kind(ledger: Counters) -> dict[RequestKind, KindCounts]:
    """Read the ledger's counters.

    Raises:
        LedgerUnavailable: The ledger does not answer.
    """
    outcomes = ledger.outcomes()
    return {kind: _row(states, outcomes[kind]) for kind, states in ledger.counts().items()}


def _row(states: Mapping[State, int], outcomes: Mapping[str, int]) -> KindCounts:
    return KindCounts(
        **{word: sum(states[state] for state in group) for word, group in GROUPS.items()},
        settled=sum(states[state] for state in FINAL_STATES),
        outcomes=outcomes,
    )


#: A poll is late after so many intervals, and not before this many seconds.
LATE_INTERVALS = 3
LATE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Workers:
    """The workers that answered just now."""

    names: tuple[str, ...] = ()
    #: Why they can't be asked; "" when they were.
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing that needs a person."""

    said: str
    #: What to do, or why it is so.
    remedy: str = ""
    #: The kind whose parked requests it is about.
    parked: RequestKind | None = None


@dataclass(frozen=True, slots=True)
class StatusReport:
    """All kinds at one moment."""

    #: The ledger's clock.
    at: float
    rows: Mapping[RequestKind, KindCounts]
    #: Cycles that ended since midnight, UTC, by outcome.
    today: Mapping[RequestKind, Mapping[str, int]]
    oldest: Mapping[RequestKind, float | None]
    polls: Mapping[RequestKind, PollReport]
    gate: BreakerState
    #: What a person holds back, by name.
    pauses: Mapping[str, Pause]
    #: Seconds between two polls of a kind.
    poll_seconds: Mapping[RequestKind, float]
    max_calls_per_second: float | None = None
    #: None when they were not asked for.
    workers: Workers | None = None

    @property
    def is_paused(self) -> bool:
        """Whether no worker calls Connect."""
        return self.gate.open_until > self.at

    def is_covered(self, kind: RequestKind) -> bool:
        """Whether the workers have a processor for the kind, as far as is known."""
        poll = self.polls.get(kind)
        return poll is None or poll.problem is not PollProblem.NO_PROCESSOR

    def is_late(self, kind: RequestKind) -> bool:
        """Whether no poll of the kind has ended for longer than the schedule explains."""
        poll = self.polls.get(kind)
        patience = max(LATE_SECONDS, LATE_INTERVALS * self.poll_seconds.get(kind, 0.0))
        return poll is None or self.at - poll.at > patience

    def problems(self) -> list[str]:
        """Return what needs a person, a sentence each with what to do."""
        return [
            f"{trouble.said}: {trouble.remedy}" if trouble.remedy else trouble.said
            for trouble in self.troubles()
        ]

    def troubles(self) -> Iterator[Issue]:
        """Give the same in its parts."""
        if self.gate.failures and self.is_paused:
            yield Issue(self.account_line(), "connect-worker doctor says what is wrong")
        if self.workers and self.workers.problem:
            yield Issue(self.workers.problem)
        elif self.workers and not self.workers.names:
            yield Issue("No worker answers", "start one, or look at its log")
        for kind, row in self.rows.items():
            yield from self._troubles_of(kind, row)

    def _troubles_of(self, kind: RequestKind, row: KindCounts) -> Iterator[Issue]:
        if row.parked:
            what = "request is" if row.parked == 1 else "requests are"
            command = f"connect-worker list --state parked --kind {kind}"
            yield Issue(f"{row.parked} {kind} {what} parked", command, parked=kind)
        poll = self.polls.get(kind)
        asked = "does beat run, and a worker that takes `control`?"
        if poll is None:
            yield Issue(f"{kind} was not polled yet", asked)
        elif self.is_late(kind):
            yield Issue(f"{kind} was polled {span(self.at - poll.at)} ago", asked)
        elif poll.problem and self.is_covered(kind) and not self.is_paused:
            yield Issue(f"The last poll of {kind} broke off", clean(poll.detail))

    def account_line(self) -> str:
        """Say whether Connect may be called, and why not."""
        left, reason = span(self.gate.open_until - self.at), clean(self.gate.reason)
        failures = f"{self.gate.failures} failure{'' if self.gate.failures == 1 else 's'}"
        if self.is_paused and self.gate.failures:
            return f"Paused for {left} after {failures} ({reason})"
        if self.is_paused:
            return f"Paused for {left} ({reason})"
        if self.gate.failures:
            return f"Trying again after {failures} ({reason})"
        return "Open"

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "at": stamp(self.at),
            "kinds": {kind.value: self._document_of(kind, row) for kind, row in self.rows.items()},
            "account": {
                "paused": self.is_paused,
                "paused_until": stamp(self.gate.open_until) if self.is_paused else None,
                "reason": clean(self.gate.reason),
                "failures": self.gate.failures,
                "max_calls_per_second": self.max_calls_per_second,
            },
            "paused": documents_of_pauses(self.pauses),
            "workers": list(self.workers.names) if self.workers else None,
            "problems": self.problems(),
        }

    def _document_of(self, kind: RequestKind, row: KindCounts) -> dict[str, Any]:
        oldest, poll = self.oldest[kind], self.polls.get(kind)
        return {
            "pending": row.pending,
            "running": row.running,
            "retrying": row.retrying,
            "snoozed": row.waiting,
            "parked": row.parked,
            "completed_today": sum(self.today[kind].values()),
            "outcomes_today": dict(self.today[kind]),
            "completed": row.settled,
            "outcomes": dict(row.outcomes),
            "oldest_pending": stamp(oldest) if oldest is not None else None,
            "oldest_pending_seconds": round(self.at - oldest, 3) if oldest is not None else None,
            "last_poll": document_of_poll(poll) if poll else None,
        }


def read_status(
    ledger: Ledger,
    *,
    poll_seconds: Mapping[str, float],
    max_calls_per_second: float | None = None,
) -> StatusReport:
    """Read the ledger.

    Raises:
        LedgerUnavailable: It does not answer.
    """
    return StatusReport(
        at=ledger.now(),
        rows=count_by_kind(ledger),
        today=ledger.outcomes_today(),
        oldest=ledger.oldest(),
        polls=ledger.polls(),
        gate=ledger.breaker(),
        pauses=ledger.pauses(),
        poll_seconds={RequestKind(kind): seconds for kind, seconds in poll_seconds.items()},
        max_calls_per_second=max_calls_per_second,
    )

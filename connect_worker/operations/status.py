"""The status of an account: counts, polls, circuit breaker, and what needs attention."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
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
from connect_worker.observability.output import (
    format_count,
    format_duration,
    iso_timestamp,
    local_time,
    sanitize,
)
from connect_worker.operations.requests import ACTIVE_STATES, pause_documents, poll_document

#: The states of a cycle that has not ended, in the order in which they are shown.
OPEN_STATES: Final = tuple(state for state in State if state not in FINAL_STATES)


@dataclass(frozen=True, slots=True)
class KindCounts:
    """The requests of one kind, by state."""

    #: Requests that are in the state now; for a final state, cycles since the ledger began.
    states: Mapping[State, int] = field(default_factory=dict)
    #: Cycles that ended, by outcome: approved, failed, …
    outcomes: Mapping[str, int] = field(default_factory=dict)

    def __getitem__(self, state: State) -> int:
        return self.states.get(state, 0)

    @property
    def active(self) -> int:
        """How many requests the workers go on with: not ended and not parked."""
        return sum(self[state] for state in ACTIVE_STATES)

    @property
    def parked(self) -> int:
        """How many requests wait for an operator."""
        return self[State.PARKED]

    @property
    def ended(self) -> int:
        """How many cycles ended: completed, superseded or discarded."""
        return sum(self[state] for state in FINAL_STATES)

    def __add__(self, other: KindCounts) -> KindCounts:
        return KindCounts(
            Counter(self.states) + Counter(other.states),
            Counter(self.outcomes) + Counter(other.outcomes),
        )


def count_by_kind(ledger: Counters) -> dict[RequestKind, KindCounts]:
    """Read the ledger's counters.

    Raises:
        LedgerUnavailable: The ledger does not answer.
    """
    outcomes = ledger.outcomes()
    return {
        kind: KindCounts({state: n for state, n in states.items() if n}, outcomes[kind])
        for kind, states in ledger.counts().items()
    }


class BreakerPosition(StrEnum):
    """The three positions of a circuit breaker."""

    #: Workers call Connect. A few failures may be counted already.
    CLOSED = "closed"
    #: No worker calls Connect.
    OPEN = "open"
    #: Its time is over: one job at a time finds out whether Connect works again.
    HALF_OPEN = "half-open"


def breaker_position(breaker: BreakerState, now: float) -> BreakerPosition:
    """Return the position of an account's circuit breaker at a time of the ledger's clock."""
    if breaker.open_until > now:
        return BreakerPosition.OPEN
    return BreakerPosition.HALF_OPEN if breaker.needs_probe else BreakerPosition.CLOSED


#: A poll is late after this many intervals, and after this many seconds at the earliest.
LATE_INTERVALS: Final = 3
LATE_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Workers:
    """The workers that answered just now."""

    names: tuple[str, ...] = ()
    #: Why they could not be asked; "" when they were asked.
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Issue:
    """Something that needs an operator."""

    text: str
    #: What to do, or the cause.
    remedy: str = ""
    #: The kind, when the issue is its parked requests.
    parked: RequestKind | None = None

    def __str__(self) -> str:
        return f"{self.text}: {self.remedy}" if self.remedy else self.text


@dataclass(frozen=True, slots=True)
class StatusReport:
    """All kinds of an account at one moment."""

    #: The ledger's clock.
    at: float
    counts: Mapping[RequestKind, KindCounts]
    #: Cycles that ended since midnight UTC, by outcome.
    today: Mapping[RequestKind, Mapping[str, int]]
    #: When the longest waiting cycle began; None when no request waits.
    oldest: Mapping[RequestKind, float | None]
    polls: Mapping[RequestKind, PollReport]
    breaker: BreakerState
    #: What operators paused, by name.
    pauses: Mapping[str, Pause]
    #: Seconds between two polls of a kind.
    poll_seconds: Mapping[RequestKind, float]
    max_calls_per_second: float | None = None
    #: None when the workers were not asked.
    workers: Workers | None = None
    #: Why Redis refuses to store anything, with the remedy; "" when it does not, or was not asked.
    write_problem: str = ""

    @property
    def breaker_position(self) -> BreakerPosition:
        """The position of the circuit breaker."""
        return breaker_position(self.breaker, self.at)

    @property
    def is_breaker_open(self) -> bool:
        """Whether no worker calls Connect."""
        return self.breaker_position is BreakerPosition.OPEN

    def has_processor(self, kind: RequestKind) -> bool:
        """Whether the workers have a processor for the kind; true before the first poll."""
        poll = self.polls.get(kind)
        return poll is None or poll.problem is not PollProblem.NO_PROCESSOR

    def is_late(self, kind: RequestKind) -> bool:
        """Whether the last poll of the kind is older than its schedule allows."""
        poll = self.polls.get(kind)
        limit = max(LATE_SECONDS, LATE_INTERVALS * self.poll_seconds.get(kind, 0.0))
        return poll is None or self.at - poll.at > limit

    def problems(self) -> list[str]:
        """Return what needs an operator, one sentence each with what to do."""
        return [str(issue) for issue in self.issues()]

    def issues(self) -> Iterator[Issue]:
        """Yield what needs an operator."""
        if self.write_problem:
            yield Issue(sanitize(self.write_problem))
        if self.breaker.failures and self.is_breaker_open:
            left = format_duration(self.breaker.open_until - self.at)
            text = f"The circuit breaker is open for {left} {self._cause()}"
            yield Issue(text, "run connect-worker doctor")
        if self.workers and self.workers.problem:
            # Where Redis is the broker too, it refuses both in the same words.
            what = self.write_problem.partition(" (")[0]
            if not what or not self.workers.problem.startswith(what):
                yield Issue(self.workers.problem)
        elif self.workers and not self.workers.names:
            yield Issue("No worker answers", "start a worker, or read its log")
        for kind, counts in self.counts.items():
            yield from self._issues_of(kind, counts)

    def _issues_of(self, kind: RequestKind, counts: KindCounts) -> Iterator[Issue]:
        if counts.parked:
            what = "request is" if counts.parked == 1 else "requests are"
            command = f"connect-worker list --state parked --kind {kind}"
            yield Issue(f"{counts.parked} {kind} {what} parked", command, parked=kind)
        poll = self.polls.get(kind)
        remedy = "check that beat runs and that a worker consumes the `control` queue"
        if poll is None:
            yield Issue(f"{kind} has never been polled", remedy)
        elif self.is_late(kind):
            yield Issue(f"{kind} was last polled {format_duration(self.at - poll.at)} ago", remedy)
        elif poll.problem and self.has_processor(kind) and not self.is_breaker_open:
            is_partial = poll.problem is PollProblem.ROWS_REJECTED
            text = "could not use every row" if is_partial else "failed"
            yield Issue(f"The last poll of {kind} {text}", sanitize(poll.detail))

    def breaker_text(self, *, format_time: Callable[[float], str] = local_time) -> str:
        """Return the position of the circuit breaker with its reason, for people."""
        match self.breaker_position:
            case BreakerPosition.CLOSED:
                if not self.breaker.failures:
                    return "circuit breaker closed"
                counted = format_count(self.breaker.failures, "failure")
                reason = sanitize(self.breaker.reason)
                return f"circuit breaker closed, {counted} counted ({reason})"
            case BreakerPosition.OPEN:
                until = self.breaker.open_until
                left = format_duration(until - self.at)
                return (
                    f"circuit breaker open until {format_time(until)}, for {left} {self._cause()}"
                )
            case BreakerPosition.HALF_OPEN:
                return f"circuit breaker half-open {self._cause()}"

    def _cause(self) -> str:
        failures, reason = self.breaker.failures, sanitize(self.breaker.reason)
        return (
            f"after {format_count(failures, 'failure')} ({reason})" if failures else f"({reason})"
        )

    def document(self) -> dict[str, Any]:
        """Return the status as JSON."""
        is_open = self.is_breaker_open
        # Where the broker does not answer, nothing is known of them.
        workers = self.workers if self.workers and not self.workers.problem else None
        return {
            "at": iso_timestamp(self.at),
            "kinds": {kind.value: self._kind_document(kind) for kind in self.counts},
            "account": {
                "breaker": self.breaker_position.value,
                "open_until": iso_timestamp(self.breaker.open_until) if is_open else None,
                "reason": sanitize(self.breaker.reason),
                "failures": self.breaker.failures,
                "max_calls_per_second": self.max_calls_per_second,
            },
            "paused": pause_documents(self.pauses),
            "workers": list(workers.names) if workers else None,
            "problems": self.problems(),
        }

    def _kind_document(self, kind: RequestKind) -> dict[str, Any]:
        counts, oldest, poll = self.counts[kind], self.oldest[kind], self.polls.get(kind)
        return {
            **{state.value: counts[state] for state in State},
            "outcomes": dict(counts.outcomes),
            "ended_today": sum(self.today[kind].values()),
            "outcomes_today": dict(self.today[kind]),
            "oldest_pending": iso_timestamp(oldest) if oldest is not None else None,
            "oldest_pending_seconds": round(self.at - oldest, 3) if oldest is not None else None,
            "last_poll": poll_document(poll) if poll else None,
        }


def read_status(
    ledger: Ledger,
    *,
    poll_seconds: Mapping[str, float],
    max_calls_per_second: float | None = None,
) -> StatusReport:
    """Read an account's status from its ledger; the workers are not asked.

    Raises:
        LedgerUnavailable: The ledger does not answer.
    """
    return StatusReport(
        at=ledger.now(),
        counts=count_by_kind(ledger),
        today=ledger.outcomes_today(),
        oldest=ledger.oldest(),
        polls=ledger.polls(),
        breaker=ledger.breaker(),
        pauses=ledger.pauses(),
        poll_seconds={RequestKind(kind): seconds for kind, seconds in poll_seconds.items()},
        max_calls_per_second=max_calls_per_second,
    )

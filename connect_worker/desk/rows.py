"""The requests of each kind, by what is happening to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from connect_worker.processing.states import FINAL_STATES, Kind, State


class Counters(Protocol):
    """What of a ledger is counted here."""

    def counts(self) -> Mapping[Kind, Mapping[State, int]]:
        """Return how many requests are in each state."""

    def outcomes(self) -> Mapping[Kind, Mapping[str, int]]:
        """Return how many visits ended with each outcome."""


@dataclass(frozen=True, slots=True)
class Row:
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

    def __add__(self, other: Row) -> Row:
        return Row(
            self.pending + other.pending,
            self.running + other.running,
            self.retrying + other.retrying,
            self.waiting + other.waiting,
            self.parked + other.parked,
            self.settled + other.settled,
        )


def count_rows(ledger: Counters) -> dict[Kind, Row]:
    """Read the ledger's counters.

    Raises:
        LedgerUnavailable: The ledger does not answer.
    """
    outcomes = ledger.outcomes()
    return {kind: _row(states, outcomes[kind]) for kind, states in ledger.counts().items()}


def _row(states: Mapping[State, int], outcomes: Mapping[str, int]) -> Row:
    return Row(
        pending=states[State.QUEUED],
        running=states[State.RUNNING] + states[State.POSTING],
        retrying=states[State.RETRY] + states[State.DECIDED],
        waiting=states[State.WAITING],
        parked=states[State.PARKED],
        settled=sum(states[state] for state in FINAL_STATES),
        outcomes=outcomes,
    )

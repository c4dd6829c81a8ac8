"""What a person can have done to requests that are parked, and what became of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from connect_worker.domain.states import RequestKey, RequestRecord, State
from connect_worker.engine.ports import Ledger, OperatorActions

DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Action:
    """One of the three things that a person can have done."""

    name: str
    #: What it is good for, in a few words.
    hint: str
    #: What it says of those it was done to.
    done: str
    #: What it means for a request, before it is done.
    meaning: str
    #: Changes one request, if it still can be; takes the days that an ended record is kept.
    change: Callable[[OperatorActions, RequestKey, float], bool]
    states: frozenset[State] = frozenset({State.PARKED})
    #: Whether there must be a decision in the ledger.
    needs_decision: bool = False

    def objection(self, entry: RequestRecord) -> str:
        """Return why it can't be done to this request; "" when it can."""
        if entry.state not in self.states:
            return f"it is {entry.state}, not {' or '.join(sorted(self.states))}"
        if self.needs_decision and entry.decision is None:
            return "no decision is stored: rerun it"
        return ""


@dataclass(slots=True)
class Result:
    """What became of each."""

    done: list[str] = field(default_factory=list)
    #: Request id → why not.
    refused: dict[str, str] = field(default_factory=dict)
    not_found: list[str] = field(default_factory=list)

    def document(self, act: Action) -> dict[str, Any]:
        """Return it for programs."""
        refused = [{"id": name, "why": why} for name, why in self.refused.items()]
        return {
            "action": act.name,
            "done": self.done,
            "refused": refused,
            "not_found": self.not_found,
        }

    def summary(self, act: Action) -> str:
        """Say in a sentence what was done."""
        return f"{count(len(self.done))} {act.done}" if self.done else "Nothing was changed."


RERUN = Action(
    "rerun",
    "run the processor again",
    "queued: the next sweep sends them to a worker, the processor runs with the same key.",
    "The processor runs again, in the same cycle and with the same idempotency key. The attempts "
    "begin anew, a stored decision is dropped, and steps that are done stay done.",
    lambda ledger, ref, _: ledger.rerun(ref),
    states=frozenset({State.PARKED, State.DISCARDED}),
)
#: The same, and not one of `ACTIONS`: only who has changed a processor's steps has a use for it.
RERUN_ALL_STEPS = replace(
    RERUN,
    meaning="The processor runs again, in the same cycle and with the same idempotency keys. The "
    "attempts begin anew, a stored decision and the results of the processor's steps are dropped.",
    change=lambda ledger, ref, _: ledger.rerun(ref, forget_steps=True),
)
REPOST = Action(
    "repost",
    "post its decision",
    "due: the next sweep sends them to a worker, which posts the stored decision.",
    "The stored decision is posted to Connect once more. The processor does not run.",
    lambda ledger, ref, _: ledger.repost(ref),
    needs_decision=True,
)
DISCARD = Action(
    "discard",
    "leave it in Connect as it is",
    "discarded: nothing was posted, in Connect they are as they were.",
    "Nothing is posted and no processor runs: in Connect it stays as it is, for a person.",
    lambda ledger, ref, days: ledger.discard(ref, keep_seconds=days * DAY_SECONDS),
)
ACTIONS = {act.name: act for act in (RERUN, REPOST, DISCARD)}


def partition(act: Action, entries: Iterable[RequestRecord], result: Result) -> list[RequestRecord]:
    """Return those it can be done to, oldest first; the others are refused in the result."""
    able = []
    for entry in sorted(entries, key=lambda item: (item.first_seen, item.ref.id)):
        if why := act.objection(entry):
            result.refused[entry.ref.id] = why
        else:
            able.append(entry)
    return able


def apply_action(
    act: Action, ledger: Ledger, ref: RequestKey, result: Result, *, keep_days: float
) -> bool:
    """Do it to one request, and note down in the result what became of it; True when it is done.

    Raises:
        LedgerUnavailable: The ledger does not answer; whether it was done is not known.
    """
    if act.change(ledger, ref, keep_days):
        result.done.append(ref.id)
        return True
    entry = ledger.get_record(ref)
    result.refused[ref.id] = f"it is {entry.state} meanwhile" if entry else "it is gone meanwhile"
    return False


def count(number: int) -> str:
    """Return `1 request`, `2 requests`."""
    return f"{number} request{'' if number == 1 else 's'}"

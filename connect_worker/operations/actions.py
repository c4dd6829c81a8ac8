"""What an operator can do: rerun, repost and discard requests, and pause processors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from connect_worker.domain.states import (
    ALL,
    Pause,
    RequestKey,
    RequestKind,
    RequestRecord,
    State,
)
from connect_worker.engine.ports import Ledger, OperatorActions
from connect_worker.observability.output import (
    MAX_NAME_CHARACTERS,
    MAX_REASON_CHARACTERS,
    format_count,
    format_duration,
    sanitize,
    shorten,
)

DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class Action:
    """A change that an operator makes to single requests."""

    name: str
    #: What it does, in a few words.
    hint: str
    #: Follows the number of requests, after the change.
    done: str
    #: What it means for a request, shown before the change.
    meaning: str
    #: Changes one request if its state allows it; the number is how many days to keep an ended
    #: record. Returns whether it changed the request.
    change: Callable[[OperatorActions, RequestKey, float], bool]
    states: frozenset[State] = frozenset({State.PARKED})
    #: Whether the ledger must hold a decision of the request.
    needs_decision: bool = False

    def why_not(self, record: RequestRecord) -> str:
        """Return why the action is not possible for this request; "" when it is."""
        if record.state not in self.states:
            return f"it is {record.state}, not {' or '.join(sorted(self.states))}"
        if self.needs_decision and record.decision is None:
            return "no decision is stored: rerun it"
        if self.needs_decision and record.corrupt:
            return "its record is corrupt: rerun it"
        return ""


@dataclass(slots=True)
class ActionResult:
    """What an action did, request by request."""

    done: list[str] = field(default_factory=list)
    #: Request id → why it was not changed.
    refused: dict[str, str] = field(default_factory=dict)
    not_found: list[str] = field(default_factory=list)

    def document(self, action: Action) -> dict[str, Any]:
        """Return the result as JSON."""
        refused = [{"id": name, "why": why} for name, why in self.refused.items()]
        return {
            "action": action.name,
            "done": self.done,
            "refused": refused,
            "not_found": self.not_found,
        }

    def summary(self, action: Action) -> str:
        """Return the result in one sentence."""
        if not self.done:
            return "Nothing was changed."
        return f"{format_count(len(self.done))} {action.done}"


RERUN: Final = Action(
    "rerun",
    "run the processor again",
    "queued: the next sweep has a worker run the processor, with the same idempotency key.",
    "The processor runs again, in the same cycle and with the same idempotency key. Attempts are "
    "counted from 1, a stored decision is dropped, and completed steps are not repeated. What is "
    "corrupt is dropped.",
    lambda ledger, key, _: ledger.rerun(key),
    states=frozenset({State.PARKED, State.DISCARDED}),
)
#: Not one of `ACTIONS`: needed only after a change of the processor's steps.
RERUN_ALL_STEPS: Final = replace(
    RERUN,
    meaning="The processor runs again, in the same cycle and with the same idempotency keys. "
    "Attempts are counted from 1; a stored decision and the results of the processor's steps are "
    "dropped.",
    change=lambda ledger, key, _: ledger.rerun(key, forget_steps=True),
)
REPOST: Final = Action(
    "repost",
    "post the stored decision",
    "decided: the next sweep has a worker post the stored decision.",
    "The stored decision is posted to Connect once more. The processor does not run.",
    lambda ledger, key, _: ledger.repost(key),
    needs_decision=True,
)
DISCARD: Final = Action(
    "discard",
    "end it here, and leave it in Connect as it is",
    "discarded: nothing was posted, and nothing changed in Connect.",
    "Nothing is posted and no processor runs. The request stays in Connect as it is.",
    lambda ledger, key, days: ledger.discard(key, keep_seconds=days * DAY_SECONDS),
)
ACTIONS: Final = {action.name: action for action in (RERUN, REPOST, DISCARD)}


def partition(
    action: Action, records: Iterable[RequestRecord], result: ActionResult
) -> list[RequestRecord]:
    """Return the requests that the action can change, oldest first; refuse the others."""
    possible = []
    for record in sorted(records, key=lambda item: (item.first_seen, item.ref.id)):
        if why := action.why_not(record):
            result.refused[record.ref.id] = why
        else:
            possible.append(record)
    return possible


def apply_action(
    action: Action, ledger: Ledger, key: RequestKey, result: ActionResult, *, keep_days: float
) -> bool:
    """Change one request and add it to the result; return whether it was changed.

    Raises:
        LedgerUnavailable: The ledger does not answer; the change may have been made.
    """
    if action.change(ledger, key, keep_days):
        result.done.append(key.id)
        return True
    record = ledger.get_record(key)
    result.refused[key.id] = f"it is now {record.state}" if record else "it no longer exists"
    return False


# ---- pauses: an operator stops all workers from starting processors

#: What can be paused, in addition to products.
PAUSE_NAMES: Final = (ALL, *(kind.value for kind in RequestKind))
#: The beginning of every product id.
PRODUCT_PREFIX: Final = "PRD-"


def is_pause_name(name: str) -> bool:
    """Whether a pause of this name has an effect: a name with a typo would pause nothing."""
    return name in PAUSE_NAMES or (
        name.startswith(PRODUCT_PREFIX) and len(name) <= MAX_NAME_CHARACTERS
    )


def stored_pause(pauses: Mapping[str, Pause], name: str) -> str:
    """Return the name of the pause that is shown as this name: a long one is shown shortened."""
    if name in pauses:
        return name
    return next((stored for stored in pauses if shorten(stored) == name), name)


def describe_pauses(pauses: Mapping[str, Pause], now: float) -> list[str]:
    """Return the pauses for people, one line each."""
    return [describe_pause(name, pause, now) for name, pause in sorted(pauses.items())]


def describe_pause(name: str, pause: Pause, now: float) -> str:
    """Return one pause for people: its name, since when, why, and how many requests wait."""
    seconds = now - pause.since
    age = f"for {format_duration(seconds)}" if seconds >= 1 else "from now on"
    return (
        f"{sanitize(shorten(name))}, {age}"
        + (f" ({sanitize(shorten(pause.reason, MAX_REASON_CHARACTERS))})" if pause.reason else "")
        + (f", {format_count(pause.held)} waiting" if pause.held else "")
    )

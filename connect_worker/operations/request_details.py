"""What the commands tell, as JSON; values of parameters are never part of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from connect_worker.domain.states import JSON, Pause, PollReport, RequestRecord, State
from connect_worker.domain.steps import shown_name
from connect_worker.operations.formatting import clean, moment, span, stamp

# What happened to a request in its cycle, moment by moment.

#: A shorter time between two moments is not told.
WORTH_TELLING_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a timeline: a change of state, or a step of the processor's that was done."""

    at: float
    #: The state from then on; of a step, the one in which it was done.
    state: State
    #: The worker that claimed it then; "" when nobody did.
    worker: str = ""
    #: The name of the step; "" for a change of state.
    step: str = ""
    #: Seconds since the line before; None when that is not worth telling.
    waited: float | None = None


def timeline(entry: RequestRecord) -> list[Line]:
    """Return the changes of a cycle's state, with the processor's steps between them."""
    found = [
        (item.at, 2 * index, Line(item.at, item.state, item.worker))
        for index, item in enumerate(entry.history)
    ]
    for name, at in entry.step_times.items():
        # Of moments in one millisecond the clock tells no order, and a step runs in `running`.
        during = [
            2 * index + 1
            for index, item in enumerate(entry.history)
            if item.state is State.RUNNING and item.at <= at
        ]
        # The first changes of a long cycle are forgotten; its steps are not.
        line = Line(at, State.RUNNING, step=shown_name(name))
        found.append((at, during[-1] if during else -1, line))
    return _with_waits([line for _, _, line in sorted(found, key=lambda item: item[:2])])


def steps_of(entry: RequestRecord) -> list[str]:
    """Return the names of the steps that are done: the processor's in their order, then others."""
    names = sorted(entry.steps, key=lambda name: (entry.step_times.get(name, inf), name))
    return [shown_name(name) for name in names]


def _with_waits(lines: list[Line]) -> list[Line]:
    told: list[Line] = []
    for line in lines:
        waited = line.at - told[-1].at if told else 0.0
        worth = waited if waited >= WORTH_TELLING_SECONDS else None
        told.append(Line(line.at, line.state, line.worker, line.step, worth))
    return told


HIDDEN = "***"
#: Fields that may hold what a customer or the vendor's system must keep to themselves.
_SECRET = {"value", "structured_value", "tile"}


def row_of(entry: RequestRecord) -> dict[str, Any]:
    """Return a request as `list` tells it."""
    return {
        "id": entry.ref.id,
        "kind": entry.ref.kind.value,
        "state": entry.state.value,
        "product": entry.product,
        "cycle": entry.cycle,
        "attempt": entry.attempt,
        "outcome": entry.outcome,
        "error": clean(entry.error),
        "first_seen": stamp(entry.first_seen),
        "changed": stamp(entry.changed),
        "due": stamp(entry.due) if entry.due and not entry.state.is_leased else None,
    }


def story_of(entry: RequestRecord) -> dict[str, Any]:
    """Return all that the ledger has of a request, but for the results of its steps."""
    return {
        **row_of(entry),
        "earlier_cycles": list(entry.earlier),
        "worker": worker_of(entry),
        "held_by": clean(entry.paused_by) or None,
        "lease_until": stamp(entry.due) if entry.state.is_leased else None,
        "decision": without_values(decision_of(entry)),
        "steps": [clean(name) for name in steps_of(entry)],
        "timeline": [
            {
                "at": stamp(item.at),
                "state": item.state.value,
                "worker": clean(item.worker),
                "step": clean(item.step),
            }
            for item in timeline(entry)
        ],
    }


def document_of_poll(poll: PollReport) -> dict[str, Any]:
    """Return what a poll has found."""
    return {
        "at": stamp(poll.at),
        "seconds": poll.seconds,
        "seen": poll.seen,
        "new": poll.new,
        "problem": poll.problem.value,
        "detail": clean(poll.detail),
    }


def documents_of_pauses(pauses: Mapping[str, Pause]) -> dict[str, dict[str, Any]]:
    """Return what a person holds back, by name."""
    return {
        name: {"since": stamp(item.since), "reason": clean(item.reason), "held": item.held}
        for name, item in sorted(pauses.items())
    }


def decision_of(entry: RequestRecord) -> JSON:
    """Return the outcome that is stored, without what the engine keeps beside it."""
    stored = entry.decision
    return stored.get("decision", stored) if isinstance(stored, dict) else stored


def worker_of(entry: RequestRecord) -> str:
    """Return the worker that claimed it last; "" when none did, as far as is remembered."""
    return next((clean(item.worker) for item in reversed(entry.history) if item.worker), "")


def without_values(document: JSON) -> JSON:
    """Return a document whose parameter values and tiles are masked."""
    if isinstance(document, list):
        return [without_values(item) for item in document]
    if isinstance(document, dict):
        return {
            name: HIDDEN if name in _SECRET and value else without_values(value)
            for name, value in document.items()
        }
    return clean(document) if isinstance(document, str) else document


# The facts of one request, for people.


def facts(
    entry: RequestRecord, now: float, *, when: Callable[[float], str] = moment
) -> Iterator[tuple[str, str]]:
    """Give what is known of a request, a name and a text each; `when` writes a moment."""
    yield "Kind", entry.ref.kind.value
    yield "Product", clean(entry.product) or "none named"
    yield "Cycle", _cycle(entry)
    yield "Attempts", str(entry.attempt)
    if worker := worker_of(entry):
        yield "Worker", f"{worker}{'' if entry.state.is_leased else ', the last one'}"
    yield "First seen", f"{when(entry.first_seen)}, {span(now - entry.first_seen)} ago"
    yield "Changed", f"{when(entry.changed)}, {span(now - entry.changed)} ago"
    if entry.paused_by:
        name = clean(entry.paused_by)
        yield "Paused", f"by a person: connect-worker resume {name} lets it go on"
    elif due := _due(entry, now):
        yield due
    if entry.steps:
        yield "Steps done", clean(", ".join(steps_of(entry)))
    if entry.outcome:
        yield "Outcome", clean(entry.outcome)
    if entry.error:
        is_waiting = entry.state is State.SNOOZED
        yield "Waits for" if is_waiting else "Last error", clean(entry.error)
    if entry.snoozed_since and not entry.state.is_final:
        since = entry.snoozed_since
        yield "Not yet", f"since {when(since)}, {span(now - since)} ago"
    if entry.decrypt_error:
        yield "Not shown", clean(entry.decrypt_error)


def _cycle(entry: RequestRecord) -> str:
    earlier = f", after {', '.join(entry.earlier)}" if entry.earlier else ""
    return clean(entry.cycle + earlier)


def _due(entry: RequestRecord, now: float) -> tuple[str, str] | None:
    left = entry.due - now
    if entry.state.is_leased:
        over = "over: the next sweep gives the request to another worker"
        return "Lease", f"for {span(left)} more" if left > 0 else over
    if entry.state in (State.RETRY, State.SNOOZED, State.DECIDED):
        return "Next look", f"in {span(left)}" if left > 0 else "now: a worker takes it next"
    return None

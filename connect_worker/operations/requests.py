"""Requests for an operator: which ones are meant, and how one is presented.

An operator names requests by id, or by state, kind, product and error. `list`, `show` and the
console present them to people and as JSON. Values of parameters are never part of it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf
from types import MappingProxyType
from typing import Any, Final

from connect_worker.domain.kinds import has_periods
from connect_worker.domain.states import (
    FINAL_STATES,
    JSON,
    Pause,
    PollReport,
    RequestKey,
    RequestKind,
    RequestRecord,
    State,
)
from connect_worker.domain.steps import shown_name
from connect_worker.engine.ports import RecordReader
from connect_worker.observability.output import (
    MAX_REASON_CHARACTERS,
    format_duration,
    iso_timestamp,
    local_time,
    sanitize,
    shorten,
)

# ---- the timeline of a cycle

#: The timeline leaves out shorter waits.
MIN_WAIT_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """A change of state, or a completed step of the processor."""

    at: float
    #: The new state; for a step, the state in which it was completed.
    state: State
    #: The worker that claimed the request; "" when no worker did.
    worker: str = ""
    #: The name of the step; "" for a change of state.
    step: str = ""
    #: Seconds since the entry before; None for a short wait.
    waited: float | None = None


def timeline(record: RequestRecord) -> list[TimelineEntry]:
    """Return the cycle's changes of state, with the processor's steps between them."""
    entries = [
        (change.at, 2 * index, TimelineEntry(change.at, change.state, change.worker))
        for index, change in enumerate(record.history)
    ]
    for name, at in record.step_times.items():
        # Two events may have the same millisecond; a step always belongs to a `running` state.
        during = [
            2 * index + 1
            for index, change in enumerate(record.history)
            if change.state is State.RUNNING and change.at <= at
        ]
        # A long cycle keeps only its last changes of state, but all of its steps.
        entry = TimelineEntry(at, State.RUNNING, step=shown_name(name))
        entries.append((at, during[-1] if during else -1, entry))
    return _with_waits([entry for _, _, entry in sorted(entries, key=lambda item: item[:2])])


def step_names(record: RequestRecord) -> list[str]:
    """Return the names of the completed steps: the processor's in their order, then the others."""
    names = sorted(record.steps, key=lambda name: (record.step_times.get(name, inf), name))
    return [shown_name(name) for name in names]


def _with_waits(entries: list[TimelineEntry]) -> list[TimelineEntry]:
    waited = [None, *(later.at - earlier.at for earlier, later in pairwise(entries))]
    return [
        replace(entry, waited=seconds if seconds and seconds >= MIN_WAIT_SECONDS else None)
        for entry, seconds in zip(entries, waited, strict=False)
    ]


# ---- JSON

HIDDEN: Final = "***"
#: Fields that may hold secrets of a customer or of the vendor's system.
_SECRET_FIELDS: Final = {"value", "structured_value", "tile"}


def summary_document(record: RequestRecord) -> dict[str, Any]:
    """Return a request as `list --json` shows it."""
    return {
        "id": record.ref.id,
        "kind": record.ref.kind.value,
        "state": record.state.value,
        "product": record.product,
        "cycle": record.cycle,
        "attempt": record.attempt,
        "outcome": record.outcome,
        "error": sanitize(record.error),
        "corrupt": sanitize(record.corrupt) or None,
        "first_seen": iso_timestamp(record.first_seen),
        "changed": iso_timestamp(record.changed),
        "due": iso_timestamp(record.due) if record.due and not record.state.is_leased else None,
    }


def details_document(record: RequestRecord) -> dict[str, Any]:
    """Return a request as `show --json` shows it: everything but the results of its steps."""
    return {
        **summary_document(record),
        "earlier_cycles": list(record.earlier),
        "worker": last_worker(record),
        "paused_by": sanitize(shorten(record.paused_by)) or None,
        "lease_until": iso_timestamp(record.due) if record.state.is_leased else None,
        "decision": without_values(stored_outcome(record)),
        "steps": [sanitize(name) for name in step_names(record)],
        "timeline": [
            {
                "at": iso_timestamp(entry.at),
                "state": entry.state.value,
                "worker": sanitize(entry.worker),
                "step": sanitize(entry.step),
            }
            for entry in timeline(record)
        ],
    }


def poll_document(poll: PollReport) -> dict[str, Any]:
    """Return the result of a poll."""
    return {
        "at": iso_timestamp(poll.at),
        "seconds": poll.seconds,
        "seen": poll.seen,
        "new": poll.new,
        "problem": poll.problem.value,
        "detail": sanitize(poll.detail),
    }


def pause_documents(pauses: Mapping[str, Pause]) -> dict[str, dict[str, Any]]:
    """Return the operators' pauses, by name."""
    return {
        shorten(name): {
            "since": iso_timestamp(pause.since),
            "reason": sanitize(shorten(pause.reason, MAX_REASON_CHARACTERS)),
            "requests": pause.held,
        }
        for name, pause in sorted(pauses.items())
    }


def stored_outcome(record: RequestRecord) -> JSON:
    """Return the stored outcome, without the fields that only the engine needs."""
    stored = record.decision
    return stored.get("decision", stored) if isinstance(stored, dict) else stored


def last_worker(record: RequestRecord) -> str:
    """Return the worker that claimed the request last; "" when the history names none."""
    return next((sanitize(item.worker) for item in reversed(record.history) if item.worker), "")


def without_values(document: JSON) -> JSON:
    """Return a document with masked parameter values and tiles."""
    if isinstance(document, list):
        return [without_values(item) for item in document]
    if isinstance(document, dict):
        return {
            name: HIDDEN if name in _SECRET_FIELDS and value else without_values(value)
            for name, value in document.items()
        }
    return sanitize(document) if isinstance(document, str) else document


# ---- for people


def reason(record: RequestRecord) -> str:
    """Return why the request is in its state: the pause, the outcome, or the last error."""
    if record.corrupt:
        return sanitize(f"corrupt: {record.corrupt}")
    paused = f"paused by an operator ({shorten(record.paused_by)})" if record.paused_by else ""
    # A completed request has an error if a message of its decision was refused.
    ends = [record.outcome] if record.state is State.SUPERSEDED else [record.outcome, record.error]
    return sanitize(paused or ". ".join(filter(None, ends)))


def facts(
    record: RequestRecord, now: float, *, format_time: Callable[[float], str] = local_time
) -> Iterator[tuple[str, str]]:
    """Yield what is known of a request, as pairs of a name and a text."""

    def time_and_age(at: float) -> str:
        return f"{format_time(at)}, {format_duration(now - at)} ago"

    yield "Kind", record.ref.kind.value
    yield "Product", sanitize(shorten(record.product)) or "not named"
    yield "Cycle", _cycle(record)
    yield "Attempts", str(record.attempt)
    if worker := last_worker(record):
        yield "Worker", worker if record.state.is_leased else f"{worker} (the last one)"
    yield "First seen", time_and_age(record.first_seen)
    yield "Changed", time_and_age(record.changed)
    if record.paused_by:
        name = sanitize(shorten(record.paused_by))
        yield "Paused", f"by an operator, until `connect-worker resume {name}`"
    elif due := _due(record, now):
        yield due
    if record.steps:
        yield "Steps done", sanitize(", ".join(step_names(record)))
    if record.outcome:
        yield "Outcome", sanitize(record.outcome)
    if record.error:
        is_snoozed = record.state is State.SNOOZED
        yield "Waits for" if is_snoozed else "Last error", sanitize(record.error)
    if record.snoozed_since and not record.state.is_final:
        yield "Snoozed", f"since {time_and_age(record.snoozed_since)}"
    yield from _unreadable(record)


def _unreadable(record: RequestRecord) -> Iterator[tuple[str, str]]:
    if record.decrypt_error:
        yield "Not shown", sanitize(record.decrypt_error)
    if record.corrupt:
        yield "Corrupt", sanitize(f"{record.corrupt}; {_corrupt_remedy(record)}")


def _corrupt_remedy(record: RequestRecord) -> str:
    if record.state.is_final:
        return "the cycle has ended, so nothing is to be done"
    if record.state is State.PARKED:
        return "look at the request in Connect, then rerun or discard it"
    return "a worker parks the request as soon as it takes it; nothing of it is posted"


def _cycle(record: RequestRecord) -> str:
    earlier = f", after {', '.join(record.earlier)}" if record.earlier else ""
    return sanitize(record.cycle + earlier)


def _due(record: RequestRecord, now: float) -> tuple[str, str] | None:
    left = record.due - now
    if record.state.is_leased:
        ended = "ended: the next sweep gives the request to another worker"
        return "Lease", f"ends in {format_duration(left)}" if left > 0 else ended
    if record.state in (State.RETRY, State.SNOOZED, State.DECIDED):
        return "Due", f"in {format_duration(left)}" if left > 0 else "now: a worker takes it next"
    return None


# ---- which requests an operator means


#: The states that workers leave without an operator; the cycle has not ended.
ACTIVE_STATES: Final = frozenset(State) - FINAL_STATES - {State.PARKED}
#: Words for several states at once, for `list --state` and the console's `?state=`.
STATE_GROUPS: Final[Mapping[str, frozenset[State]]] = MappingProxyType(
    {"active": ACTIVE_STATES, "ended": FINAL_STATES, "all": frozenset(State)}
)
#: All words that name states: each state, and the groups.
STATE_WORDS: Final = (*(state.value for state in State), *STATE_GROUPS)

#: Connect's ids have 20 characters, a listing's with its period up to 90.
MAX_ID_CHARACTERS: Final = 200


def states_named(word: str) -> frozenset[State]:
    """Return the states that one of `STATE_WORDS` means.

    Examples:
        >>> sorted(state.value for state in states_named("ended"))
        ['completed', 'discarded', 'superseded']

    Raises:
        ValueError: There is no such word.
    """
    return STATE_GROUPS.get(word) or frozenset({State(word)})


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """What requests have in common; "" and None match every request."""

    kind: RequestKind | None = None
    states: frozenset[State] = ACTIVE_STATES | {State.PARKED}
    product: str = ""
    #: The beginning of the request's id.
    prefix: str = ""
    #: A part of the last error, in upper or lower case.
    error: str = ""

    def search(
        self, ledger: RecordReader, *, is_cancelled: Callable[[], bool] = _never
    ) -> Iterator[RequestRecord]:
        """Yield the matching requests of a ledger; end when nobody waits for them any more."""
        # Without states the ledger does not compare each record's state.
        states = () if self.states == frozenset(State) else self.states
        for record in ledger.iter_records(kind=self.kind, states=states, prefix=self.prefix):
            if is_cancelled():
                return
            has_error = self.error.lower() in record.error.lower()
            if has_error and self.product in ("", record.product):
                yield record


def first_matches(
    ledger: RecordReader,
    request_filter: RequestFilter,
    *,
    key: Callable[[RequestRecord], tuple[float, str]],
    limit: int,
    largest: bool = False,
    is_cancelled: Callable[[], bool] = _never,
) -> tuple[list[RequestRecord], int]:
    """Return the first matching requests of an order, and how many match in all.

    Only the requests that are returned are kept in memory, however many match.
    """
    total = 0

    def count() -> Iterator[RequestRecord]:
        nonlocal total
        for record in request_filter.search(ledger, is_cancelled=is_cancelled):
            total += 1
            yield record

    # With a limit of 0 `heapq` would read, and so count, nothing.
    select = heapq.nlargest if largest else heapq.nsmallest
    records = select(max(limit, 1), count(), key=key)[:limit]
    return records, total


def find_by_id(ledger: RecordReader, request_id: str) -> list[RequestRecord]:
    """Return the requests with this id: one or none; of a usage report, one for each period."""
    if len(request_id) > MAX_ID_CHARACTERS:
        return []
    exact = [
        record
        for kind in RequestKind
        if (record := ledger.get_record(RequestKey(kind, request_id)))
    ]
    # Only the periods of a report are worth a walk through the records.
    if exact or not has_periods(request_id):
        return exact
    return sorted(
        ledger.iter_records(kind=RequestKind.USAGE, prefix=f"{request_id}@"),
        key=lambda record: record.ref.id,
    )

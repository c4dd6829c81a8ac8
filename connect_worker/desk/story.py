"""The facts of one request, for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from connect_worker.desk.documents import worker_of
from connect_worker.desk.timeline import steps_of
from connect_worker.desk.words import clean, moment, span
from connect_worker.processing.states import Entry, State


def facts(
    entry: Entry, now: float, *, when: Callable[[float], str] = moment
) -> Iterator[tuple[str, str]]:
    """Give what is known of a request, a name and a text each; `when` writes a moment."""
    yield "Kind", entry.ref.kind.value
    yield "Product", clean(entry.product) or "none named"
    yield "Visit", _visit(entry)
    yield "Attempts", str(entry.attempt)
    if worker := worker_of(entry):
        yield "Worker", f"{worker}{'' if entry.state.is_leased else ', the last one'}"
    yield "First seen", f"{when(entry.first_seen)}, {span(now - entry.first_seen)} ago"
    yield "Changed", f"{when(entry.changed)}, {span(now - entry.changed)} ago"
    if entry.held_by:
        name = clean(entry.held_by)
        yield "Paused", f"by a person: connect-worker resume {name} lets it go on"
    elif due := _due(entry, now):
        yield due
    if entry.steps:
        yield "Steps done", clean(", ".join(steps_of(entry)))
    if entry.outcome:
        yield "Outcome", clean(entry.outcome)
    if entry.error:
        is_waiting = entry.state is State.WAITING
        yield "Waits for" if is_waiting else "Last error", clean(entry.error)
    if entry.not_yet_since and not entry.state.is_final:
        since = entry.not_yet_since
        yield "Not yet", f"since {when(since)}, {span(now - since)} ago"
    if entry.sealed:
        yield "Not shown", clean(entry.sealed)


def _visit(entry: Entry) -> str:
    earlier = f", after {', '.join(entry.earlier)}" if entry.earlier else ""
    return clean(entry.visit + earlier)


def _due(entry: Entry, now: float) -> tuple[str, str] | None:
    left = entry.due - now
    if entry.state.is_leased:
        over = "over: the next sweep gives the request to another worker"
        return "Lease", f"for {span(left)} more" if left > 0 else over
    if entry.state in (State.RETRY, State.WAITING, State.DECIDED):
        return "Next look", f"in {span(left)}" if left > 0 else "now: a worker takes it next"
    return None

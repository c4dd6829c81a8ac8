"""What the commands tell, as JSON; values of parameters are never part of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connect_worker.desk.timeline import steps_of, timeline
from connect_worker.desk.words import clean, stamp
from connect_worker.processing.states import JSON, Entry, Pause, Poll

HIDDEN = "***"
#: Fields that may hold what a customer or the vendor's system must keep to themselves.
_SECRET = {"value", "structured_value", "tile"}


def row_of(entry: Entry) -> dict[str, Any]:
    """Return a request as `list` tells it."""
    return {
        "id": entry.ref.id,
        "kind": entry.ref.kind.value,
        "state": entry.state.value,
        "product": entry.product,
        "visit": entry.visit,
        "attempt": entry.attempt,
        "outcome": entry.outcome,
        "error": clean(entry.error),
        "first_seen": stamp(entry.first_seen),
        "changed": stamp(entry.changed),
        "due": stamp(entry.due) if entry.due and not entry.state.is_leased else None,
    }


def story_of(entry: Entry) -> dict[str, Any]:
    """Return all that the ledger has of a request, but for the results of its steps."""
    return {
        **row_of(entry),
        "earlier_visits": list(entry.earlier),
        "worker": worker_of(entry),
        "held_by": clean(entry.held_by) or None,
        "lease_until": stamp(entry.due) if entry.state.is_leased else None,
        "decision": without_values(decision_of(entry)),
        "steps": [clean(name) for name in steps_of(entry)],
        "timeline": [
            {
                "at": stamp(one.at),
                "state": one.state.value,
                "worker": clean(one.worker),
                "step": clean(one.step),
            }
            for one in timeline(entry)
        ],
    }


def document_of_poll(poll: Poll) -> dict[str, Any]:
    """Return what a poll has found."""
    return {
        "at": stamp(poll.at),
        "seconds": poll.seconds,
        "seen": poll.seen,
        "new": poll.new,
        "problem": clean(poll.problem),
    }


def documents_of_pauses(pauses: Mapping[str, Pause]) -> dict[str, dict[str, Any]]:
    """Return what a person holds back, by name."""
    return {
        name: {"since": stamp(one.since), "reason": clean(one.reason), "held": one.held}
        for name, one in sorted(pauses.items())
    }


def decision_of(entry: Entry) -> JSON:
    """Return the outcome that is stored, without what the engine keeps beside it."""
    stored = entry.decision
    return stored.get("decision", stored) if isinstance(stored, dict) else stored


def worker_of(entry: Entry) -> str:
    """Return the worker that claimed it last; "" when none did, as far as is remembered."""
    return next((clean(one.worker) for one in reversed(entry.history) if one.worker), "")


def without_values(document: JSON) -> JSON:
    """Return a document whose parameter values and tiles are masked."""
    if isinstance(document, list):
        return [without_values(one) for one in document]
    if isinstance(document, dict):
        return {
            name: HIDDEN if name in _SECRET and value else without_values(value)
            for name, value in document.items()
        }
    return clean(document) if isinstance(document, str) else document

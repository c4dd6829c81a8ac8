"""Reads the parameters of a PUT body."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from connect_worker.sandbox.collection import CHANGEABLE, Json
from connect_worker.sandbox.errors import BadRequestError
from connect_worker.sandbox.http import Call
from connect_worker.sandbox.simulation import exact
from connect_worker.sandbox.state import Request


def read_params(sent: Any, known: list[Json]) -> dict[str, Json]:
    """The changes by parameter id.

    Raises:
        BadRequestError: not a list of objects with an id, or an id that the request does not have.
    """
    if not isinstance(sent, list):
        raise BadRequestError("params: a list of parameters is expected.")
    names = {param["id"] for param in known}
    changes: dict[str, Json] = {}
    for param in sent:
        if not isinstance(param, dict) or not isinstance(param.get("id"), str):
            raise BadRequestError("params: each parameter needs its id.")
        if param["id"] not in names:
            raise BadRequestError(f"params: there is no parameter {param['id']}.", code="VAL_002")
        changes[param["id"]] = {name: param[name] for name in CHANGEABLE if name in param}
    return changes


def apply_changes(stored: dict[str, Json], changes: dict[str, Json]) -> None:
    """Lay new changes over the ones of earlier calls."""
    for identifier, change in changes.items():
        stored[identifier] = {**stored.get(identifier, {}), **change}


def touched(previous: datetime, now: datetime) -> datetime:
    """The time of a change: later than the previous one even on a coarse clock."""
    return max(now, previous + timedelta(microseconds=1))


# Carries out a change of status that a client asked for.


def accept(
    call: Call,
    record: Request,
    action: str,
    actions: Mapping[str, tuple[frozenset[str], str]],
) -> None:
    """Move the record to the action's status and remember who asked for it."""
    call.world.settle(record, actions[action][1])
    outcome = {
        "action": action,
        "at": exact(call.world.clock()),
        "idempotency_key": call.idempotency_key,
        "body": call.document(),
    }
    call.world.journal.accept(record.kind, record.id, outcome)


def reason_of(call: Call) -> str:
    """The reason of a failure.

    Raises:
        BadRequestError: there is none.
    """
    reason = call.document().get("reason")
    if not isinstance(reason, str) or not reason.strip():
        raise BadRequestError("reason is required to fail a request.")
    return reason

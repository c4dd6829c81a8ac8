"""Carries out a change of status that a client asked for."""

from collections.abc import Mapping

from connect_worker.sandbox.calls import Call
from connect_worker.sandbox.clock import exact
from connect_worker.sandbox.errors import BadRequestError
from connect_worker.sandbox.world import Request


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

"""An outcome as ordered steps: what is posted, in which order, and how each is recognised."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import assert_never

from connect_worker.domain.kinds import KINDS
from connect_worker.domain.outcomes import (
    Approve,
    Fail,
    FileAction,
    Inquire,
    NoDecision,
    Outcome,
    Report,
    Skip,
)
from connect_worker.domain.states import JSON, RequestKey, RequestKind
from connect_worker.exceptions import Permanent

#: Statuses that a request never leaves again.
LASTING = frozenset({"approved", "failed"})


@dataclass(frozen=True, slots=True)
class StatusChange:
    """One call that changes the request."""

    name: str
    method: str
    path: str
    body: JSON = None
    #: The status that shows it was accepted; "" for a call that leaves the status alone and
    #: may be sent again without harm (storing parameters).
    resulting_status: str = ""

    @property
    def is_verifiable(self) -> bool:
        """Whether Connect itself tells at any later time that the call was accepted."""
        return self.resulting_status in LASTING


@dataclass(frozen=True, slots=True)
class MessagePost:
    """One message in the request's conversation, whose id is looked up when posting."""

    name: str
    instance_id: str
    text: str


Step = StatusChange | MessagePost


@dataclass(frozen=True, slots=True)
class ApiCalls:
    """The steps of an outcome, and what the cycle ends as when all are done."""

    steps: tuple[Step, ...] = ()
    #: The word for people and counters: `approved`, `skipped`, …
    result: str = ""
    #: Whether the cycle goes on, to be looked at again later (a skip).
    stays_pending: bool = False
    #: The status that the request ends in; "" when it stays.
    resulting_status: str = field(default="")


#: The status that each action on a usage file leads to, by Connect's state diagrams.
FILE_ACTIONS: Mapping[str, str] = {
    "submit": "pending",
    "accept": "accepted",
    "reject": "rejected",
    "close": "closed",
    "delete": "deleted",
}


def build_api_calls(ref: RequestKey, outcome: Outcome, *, say_activated: bool = True) -> ApiCalls:
    """Return the steps for the outcome of one request.

    Args:
        ref: The request.
        outcome: What was decided.
        say_activated: Whether an approval is told in the request's conversation.

    Raises:
        Permanent: The id or the action is none that Connect has.
    """
    match outcome:
        case Approve():
            return _approve(ref, outcome, say_activated=say_activated)
        case Inquire():
            return _inquire(ref, outcome)
        case Fail(reason):
            return _ending(ref, "fail", {"reason": reason}, becomes="failed")
        case FileAction(action, body):
            if action not in FILE_ACTIONS:
                raise Permanent(f"{action!r} is no action on a usage file")
            return _ending(ref, action, body, becomes=FILE_ACTIONS[action])
        case Skip(message):
            return ApiCalls(
                _message(ref, "skip-message", message), result="skipped", stays_pending=True
            )
        case NoDecision():
            return ApiCalls(result="left pending", stays_pending=True)
        case Report():
            return ApiCalls(result="reported")
        case _:
            assert_never(outcome)


def _approve(ref: RequestKey, outcome: Approve, *, say_activated: bool) -> ApiCalls:
    change = _change(ref, "approve", _approval(ref.kind, outcome), "approved")
    text = (
        f"Activated using template {outcome.template_id}."
        if outcome.template_id
        else "Activated using custom activation tile."
    )
    message = _message(ref, "message", text) if say_activated else ()
    return ApiCalls((change, *message), result="approved", resulting_status="approved")


def _approval(kind: RequestKind, outcome: Approve) -> JSON:
    """The body differs by kind: flat for fulfillment, a template object for tier configurations."""
    if kind is RequestKind.TIER_CONFIG:
        if outcome.template_id:
            return {"template": {"id": outcome.template_id}}
        return {"template": {"representation": outcome.tile or ""}}
    if outcome.template_id:
        return {"template_id": outcome.template_id}
    return {"activation_tile": outcome.tile or ""}


def _inquire(ref: RequestKey, outcome: Inquire) -> ApiCalls:
    params = outcome.params
    body: JSON = (
        {"params": params} if ref.kind is RequestKind.TIER_CONFIG else {"asset": {"params": params}}
    )
    # By what they are: where a refused inquiry is decided anew, other ones are stored too.
    store = (StatusChange(f"params-{_digest(params)}", "PUT", _path(ref), body),) if params else ()
    change = _change(ref, "inquire", {}, "inquiring")
    message = _message(ref, "message", outcome.message)
    return ApiCalls((*store, change, *message), result="inquired", resulting_status="inquiring")


def _ending(ref: RequestKey, action: str, body: JSON, *, becomes: str) -> ApiCalls:
    result = "submitted" if action == "submit" else becomes
    return ApiCalls((_change(ref, action, body, becomes),), result=result, resulting_status=becomes)


def _change(ref: RequestKey, action: str, body: JSON, becomes: str) -> StatusChange:
    # The vendors' own paths: usage files without a closing slash, the other kinds with one.
    slash = "" if ref.kind is RequestKind.USAGE_FILE else "/"
    return StatusChange(action, "POST", f"{_path(ref)}/{action}{slash}", body, becomes)


def _message(ref: RequestKey, name: str, text: str) -> tuple[Step, ...]:
    """A step per text: the same words are said once a cycle, other words are said too."""
    if not text or not KINDS[ref.kind].has_conversation:
        return ()
    return (MessagePost(f"{name}-{_digest(text)}", ref.request_id, text),)


def _digest(what: JSON) -> str:
    text = what if isinstance(what, str) else json.dumps(what, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _path(ref: RequestKey) -> str:
    name = ref.request_id
    if not name or "/" in name or "?" in name:
        raise Permanent(f"{name!r} is no request id")
    return f"{KINDS[ref.kind].path}/{name}"

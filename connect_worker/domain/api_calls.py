"""The API calls of an outcome: what is posted, in which order, and how each call is verified."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, assert_never

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

#: What `SkipRequest` says if its processor says nothing.
SKIP_TEXT: Final = "Request skipped"
#: The result of a usage report without a usage file.
NOTHING_SUBMITTED: Final = "nothing submitted"
#: Of a message in a conversation.
MAX_MESSAGE_CHARACTERS: Final = 540

#: Statuses that a request never leaves.
TERMINAL_STATUSES = frozenset({"approved", "failed"})


@dataclass(frozen=True, slots=True)
class StatusChange:
    """One call that changes the request."""

    name: str
    method: str
    path: str
    body: JSON = None
    #: The status that shows that the call was accepted; "" for a call that does not change the
    #: status and may be repeated without harm (storing parameters).
    resulting_status: str = ""

    @property
    def is_verifiable(self) -> bool:
        """Whether Connect shows at any later time that the call was accepted."""
        return self.resulting_status in TERMINAL_STATUSES


@dataclass(frozen=True, slots=True)
class MessagePost:
    """One message in the request's conversation; the poster looks up the conversation."""

    name: str
    instance_id: str
    text: str


ApiCall = StatusChange | MessagePost


@dataclass(frozen=True, slots=True)
class ApiCalls:
    """The steps of an outcome, and the end of the cycle when all are done."""

    steps: tuple[ApiCall, ...] = ()
    #: The result for operators and metrics: `approved`, `skipped`, …
    result: str = ""
    #: Whether the cycle continues, and the processor runs again later (a skip).
    stays_pending: bool = False
    #: The status that the request ends in; "" when it stays.
    resulting_status: str = field(default="")


#: The resulting status of each action on a usage file, from Connect's state diagrams.
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
        say_activated: Whether to post a message to the conversation after an approval.

    Raises:
        Permanent: Connect has no such id or action.
    """
    match outcome:
        case Approve():
            return _approve(ref, outcome, say_activated=say_activated)
        case Inquire():
            return _inquire(ref, outcome)
        case Fail(reason):
            change = _change(ref, "fail", {"reason": reason}, "failed")
            message = _message(ref, "message", reason)
            return ApiCalls((change, *message), result="failed", resulting_status="failed")
        case FileAction(action, body):
            if action not in FILE_ACTIONS:
                raise Permanent(f"Unknown action {action!r} on a usage file.")
            return _ending(ref, action, body, becomes=FILE_ACTIONS[action])
        case Skip(message):
            # Of most kinds an operator sees the message nowhere else.
            result = "skipped" if message in ("", SKIP_TEXT) else f"skipped: {message}"
            steps = _message(ref, "skip-message", message)
            return ApiCalls(steps, result=result, stays_pending=True)
        case NoDecision():
            is_report = ref.kind is RequestKind.USAGE
            result = NOTHING_SUBMITTED if is_report else "left pending"
            return ApiCalls(result=result, stays_pending=True)
        case Report(is_submitted=is_submitted):
            return ApiCalls(result="reported" if is_submitted else NOTHING_SUBMITTED)
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
    """The body: flat for fulfillment, a template object for tier configurations."""
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
    # The name depends on the params: if a new decision follows a refused inquiry, its params are
    # stored too.
    store = (StatusChange(f"params-{_digest(params)}", "PUT", _path(ref), body),) if params else ()
    change = _change(ref, "inquire", {}, "inquiring")
    message = _message(ref, "message", outcome.message)
    return ApiCalls((*store, change, *message), result="inquired", resulting_status="inquiring")


def _ending(ref: RequestKey, action: str, body: JSON, *, becomes: str) -> ApiCalls:
    result = "submitted" if action == "submit" else becomes
    return ApiCalls((_change(ref, action, body, becomes),), result=result, resulting_status=becomes)


def _change(ref: RequestKey, action: str, body: JSON, becomes: str) -> StatusChange:
    return StatusChange(action, "POST", f"{_path(ref)}/{action}", body, becomes)


def _message(ref: RequestKey, name: str, text: str) -> tuple[ApiCall, ...]:
    """One step per text: the same text is posted once per cycle, another text is posted too.

    A longer text is cut where releases of the SDK cut it.
    """
    if not text or not KINDS[ref.kind].has_conversation:
        return ()
    step = MessagePost(f"{name}-{_digest(text)}", ref.request_id, text[:MAX_MESSAGE_CHARACTERS])
    return (step,)


def _digest(value: JSON) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _path(ref: RequestKey) -> str:
    name = ref.request_id
    if not name or "/" in name or "?" in name:
        raise Permanent(f"{name!r} is not a request id.")
    return f"{KINDS[ref.kind].path}/{name}"

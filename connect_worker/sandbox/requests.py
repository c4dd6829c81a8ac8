"""The life of a request: the status it may leave, its actions, the answer to inquiries."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from connect_worker.sandbox.documents import CHANGEABLE_PARAM_FIELDS, with_microseconds
from connect_worker.sandbox.fulfillment import FulfillmentRequest
from connect_worker.sandbox.http import BadRequestError, Json, Request, Response
from connect_worker.sandbox.memory import ConnectRequest, SandboxState
from connect_worker.sandbox.products import CUSTOMER_USER
from connect_worker.sandbox.tier_config import TierConfigRequest

#: action -> (statuses it starts from, the status it leads to). For fulfillment requests the
#: documentation lists pending -> inquiring, failed, approved and inquiring -> failed, approved,
#: pending; tier config requests go the same way.
REQUEST_ACTIONS: dict[str, tuple[frozenset[str], str]] = {
    "approve": (frozenset({"pending", "inquiring"}), "approved"),
    "fail": (frozenset({"pending", "inquiring"}), "failed"),
    "inquire": (frozenset({"pending"}), "inquiring"),
    "pend": (frozenset({"inquiring"}), "pending"),
    "purchase": (frozenset({"draft"}), "pending"),
    "validate": (frozenset({"draft", "inquiring"}), ""),
}

#: The same for usage files: the vendor uploads and submits, the provider accepts and closes.
USAGE_FILE_ACTIONS: dict[str, tuple[frozenset[str], str]] = {
    "submit": (frozenset({"ready"}), "pending"),
    "accept": (frozenset({"pending"}), "accepted"),
    "reject": (frozenset({"pending"}), "rejected"),
    "close": (frozenset({"accepted"}), "closed"),
    "delete": (frozenset({"draft", "invalid", "ready", "rejected"}), "deleted"),
}

#: Statuses in which the records of a usage file may be uploaded (again).
UPLOADABLE = frozenset({"draft", "invalid", "ready", "rejected"})

#: Statuses in which the parameters of a request may still be changed.
CHANGEABLE = frozenset({"draft", "pending", "inquiring"})

#: The webhook that validates a request, by its type and status; others are not validated.
VALIDATIONS = {
    **{
        (kind, status): f"{of}{name}"
        for kind, of in (
            ("purchase", ""),
            ("change", "change_"),
            ("renew", "renew_"),
            ("transfer", "transfer_"),
        )
        for status, name in (("draft", "validator"), ("inquiring", "inquiring_validator"))
    },
    ("setup", "draft"): "draft_tcr_t1_val",
    ("setup", "inquiring"): "tcr_setup_t1_inq_val",
    ("update", "draft"): "tcr_update_t1_validator",
    ("update", "inquiring"): "tcr_update_t1_inq_val",
}


def require_status(record_id: str, status: str, allowed: frozenset[str], action: str) -> None:
    """Refuse an action that the status does not allow.

    Raises:
        BadRequestError: Its ``params`` are the status and the allowed ones.
    """
    if status not in allowed:
        raise BadRequestError(
            f"{record_id} cannot {action}: its status is {status}.",
            code="STATE_001",
            params={"status": status, "allowed": sorted(allowed)},
        )


def read_params(sent: Any, known: list[Json]) -> dict[str, Json]:
    """Read the parameters of a PUT; returns the changes by parameter id.

    Raises:
        BadRequestError: Not a list of objects with an id, or an id that the request does not have.
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
        changes[param["id"]] = {
            name: param[name] for name in CHANGEABLE_PARAM_FIELDS if name in param
        }
    return changes


def apply_changes(stored: dict[str, Json], changes: dict[str, Json]) -> None:
    """Merge new changes into those of earlier calls."""
    for identifier, change in changes.items():
        stored[identifier] = {**stored.get(identifier, {}), **change}


def later_than(previous: datetime, now: datetime) -> datetime:
    """Return the time of a change, which is later than the previous one even on a coarse clock."""
    return max(now, previous + timedelta(microseconds=1))


def accept(
    state: SandboxState,
    request: Request,
    record: ConnectRequest,
    action: str,
    actions: Mapping[str, tuple[frozenset[str], str]],
) -> None:
    """Give a request the status of the action, and write the action to the journal."""
    state.set_status(record, actions[action][1])
    outcome = {
        "action": action,
        "at": with_microseconds(state.clock()),
        "idempotency_key": request.idempotency_key,
        "body": request.document(),
    }
    state.journal.accept(record.kind, record.id, outcome)


def reason_of(request: Request) -> str:
    """The reason of a failure.

    Raises:
        BadRequestError: There is none.
    """
    reason = request.document().get("reason")
    if not isinstance(reason, str) or not reason.strip():
        raise BadRequestError("reason is required to fail a request.")
    return reason


def expect_answer(state: SandboxState, record: ConnectRequest) -> None:
    """Let the customer answer after the time in the options, if they have one."""
    seconds = state.options.answer_inquiries_seconds
    if seconds is not None:
        state.call_later(seconds, lambda: _answer_if_asked(state, record.id))


def answer_inquiry(state: SandboxState, record: ConnectRequest, values: Json | None = None) -> None:
    """Answer an inquiry as the customer: fill the parameters, and make the request pending again.

    Args:
        state: The sandbox's state.
        record: An inquired request.
        values: Values by parameter id. Other parameters in question get a plausible value.

    Raises:
        BadRequestError: The request is not inquired, or its kind has no inquiries.
    """
    if not isinstance(record, FulfillmentRequest | TierConfigRequest):
        raise BadRequestError(f"{record.id} is of a kind that cannot be inquired.")
    require_status(record.id, record.status, REQUEST_ACTIONS["pend"][0], "be answered")
    answers = values or {}
    filled: Json = {}
    for param in _current_params(record):
        identifier = param["id"]
        if param.get("value_error") or identifier in answers or _missing(param):
            filled[identifier] = answers.get(identifier) or _plausible(param, record.number)
            change = {"value": filled[identifier], "value_error": ""}
            record.params[identifier] = {**record.params.get(identifier, {}), **change}
    now = state.clock()
    record.updated = now
    if isinstance(record, TierConfigRequest):
        record.events["pended"] = (now, CUSTOMER_USER)
    state.set_status(record, "pending")
    state.journal.entry(record.id).events.append(
        {"event": "answered", "at": with_microseconds(now), "params": filled}
    )


def validate(
    state: SandboxState, record: FulfillmentRequest | TierConfigRequest, document: Json
) -> Response:
    """Let the vendor's webhook validate a document, as Connect does while the customer waits."""
    name = VALIDATIONS.get((record.type, record.status))
    if name is None:
        return Response(content=document)
    product_id = record.product_id
    return Response(
        content=document, later=lambda: state.webhooks.validate(name, product_id, document)
    )


def _answer_if_asked(state: SandboxState, record_id: str) -> None:
    record = state.find(record_id)
    # It may have been decided or answered in the meantime.
    if record.status == "inquiring":
        answer_inquiry(state, record)


def _current_params(record: FulfillmentRequest | TierConfigRequest) -> list[Json]:
    owner = record.asset() if isinstance(record, FulfillmentRequest) else record.body()
    params: list[Json] = owner["params"]
    return params


def _missing(param: Json) -> bool:
    required = (param.get("constraints") or {}).get("required")
    return bool(required) and not param.get("value")


def _plausible(param: Json, number: int) -> str:
    if "email" in str(param["id"]):
        return f"answered{number}@customer.example"
    return str(param.get("value") or f"answer {number}")

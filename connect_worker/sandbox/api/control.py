"""Endpoints under ``/sandbox/``: what a test or a demonstration asks of the sandbox; without a key.

The report says what happened. Every test that uses the sandbox judges by it.
"""

from collections import Counter
from datetime import datetime

from connect_worker.sandbox.collection import Collection
from connect_worker.sandbox.documents import with_microseconds
from connect_worker.sandbox.http import BadRequestError, Json, Request, Response, Route
from connect_worker.sandbox.memory import ConnectRequest, SandboxState
from connect_worker.sandbox.products import PORTAL_USER
from connect_worker.sandbox.requests import answer_inquiry
from connect_worker.sandbox.seeding import ADDERS, add_from_document, add_listing, make_draft
from connect_worker.sandbox.tier_config import TierConfigRequest
from connect_worker.sandbox.usage import Listing, UsageFile


def _full_report(state: SandboxState) -> Json:
    """The totals, and one entry a request."""
    return {**_summary(state), "requests": _entries(state), "vendor": _vendor(state, by_key=True)}


def _summary(state: SandboxState) -> Json:
    """The totals only.

    ``totals`` has for each kind ``count``, ``status`` (how many are in each status now),
    ``accepted`` (by action) and ``refused``. ``calls`` has ``total``, ``by_route``, ``by_status``.
    """
    journal, kinds = state.journal, state.collections()
    return {
        "at": with_microseconds(state.clock()),
        "totals": {kind: _totals(state, kind, held) for kind, held in kinds.items()},
        "calls": {
            "total": sum(journal.routes.values()),
            "by_route": dict(journal.routes),
            "by_status": {str(status): count for status, count in journal.statuses.items()},
        },
        "vendor": _vendor(state, by_key=False),
    }


def _report_of(state: SandboxState, record: ConnectRequest) -> Json:
    """What happened to one request."""
    entry = state.journal.read(record.id)
    tenants = state.vendor.of_request(record.id)
    shown: Json = {
        "id": record.id,
        "kind": record.kind,
        "type": record.type,
        "scenario": record.scenario,
        "product": record.product.id,
        "initial_status": state.initial_status[record.id],
        "status": record.status,
        "accepted": entry.accepted,
        "refused": entry.refused,
        "calls": dict(entry.calls),
        "messages": entry.messages,
        "params": entry.params,
        "events": entry.events,
        "vendor": {
            "effects": len(tenants),
            "calls": state.vendor.calls_by_request[record.id],
            "keys": [tenant.idempotency_key for tenant in tenants],
        },
    }
    if isinstance(record, Listing):
        shown["usage_files"] = [_usage_file(state, file_id) for file_id in entry.usage_files]
    return shown


def _entries(state: SandboxState) -> Json:
    return {
        record.id: _report_of(state, record)
        for collection in state.collections().values()
        for record in collection
    }


def _usage_file(state: SandboxState, file_id: str) -> Json:
    record = state.usage_files.get(file_id)
    return {
        "id": file_id,
        "name": record.name,
        "status": record.status,
        "uploads": record.uploads,
        "records": record.records_valid + record.records_invalid,
        "records_valid": record.records_valid,
        "records_invalid": record.records_invalid,
    }


def _totals(state: SandboxState, kind: str, collection: Collection[ConnectRequest]) -> Json:
    journal = state.journal
    return {
        "count": len(collection),
        "status": dict(collection.count_by_status()),
        "accepted": {
            action: count for (of, action), count in journal.accepted.items() if of == kind
        },
        "refused": journal.refused[kind],
    }


def _vendor(state: SandboxState, *, by_key: bool) -> Json:
    vendor = state.vendor
    shown: Json = {
        "effects": len(vendor.tenants()),
        "calls": sum(vendor.calls_by_key.values()) + vendor.calls_without_key,
        "calls_without_key": vendor.calls_without_key,
    }
    if by_key:
        effects = Counter(tenant.idempotency_key for tenant in vendor.tenants())
        requests = {tenant.idempotency_key: tenant.request_id for tenant in vendor.tenants()}
        shown["by_key"] = {
            key: {"effects": effects[key], "calls": calls, "request_id": requests.get(key)}
            for key, calls in vendor.calls_by_key.items()
        }
    return shown


_DECIDABLE = {
    "fulfillment": ("pending", "inquiring", "approved", "failed"),
    "tier-config": ("pending", "inquiring", "approved", "failed"),
    "usage-file": (
        *("draft", "invalid", "ready", "pending", "accepted"),
        *("rejected", "closed", "deleted"),
    ),
    "usage": ("listed", "unlisted"),
}
#: The event that a status leaves on a tier config request.
_DECIDED_EVENTS = {
    "pending": "pended",
    "inquiring": "inquired",
    "approved": "approved",
    "failed": "failed",
}


def health(state: SandboxState, _: Request) -> Response:
    """Show that the sandbox responds, and how many requests it has."""
    held = {kind: len(records) for kind, records in state.collections().items()}
    return Response(content={"status": "ok", "requests": held})


def get_report(state: SandboxState, request: Request) -> Response:
    """Report what happened; ``?summary=1`` leaves out the single requests."""
    is_short = request.parameters.get("summary", "") not in ("", "0", "false")
    return Response(content=_summary(state) if is_short else _full_report(state))


def get_entry(state: SandboxState, request: Request) -> Response:
    """Report what happened to one request."""
    return Response(content=_report_of(state, state.find(request.args["id"])))


def list_calls(state: SandboxState, _: Request) -> Response:
    """The latest calls of the API and of the vendor's system, oldest first: at, route, status.

    ``at`` is the time of the response, latency included.
    """
    return Response(content=list(state.journal.recent))


def list_notifications(state: SandboxState, _: Request) -> Response:
    """The latest notifications: at, webhook, request, try, status (0: no response)."""
    return Response(content=list(state.webhooks.deliveries))


def add_requests(state: SandboxState, request: Request) -> Response:
    """Add requests: ``{"kind", "count", "scenario"}`` or ``{"kind", "body"}``; 201 with the ids."""
    document = request.document()
    kind = document.get("kind", "fulfillment")
    if kind not in ADDERS:
        raise BadRequestError(f"kind is one of {', '.join(ADDERS)}, not '{kind}'.")
    if "body" in document:
        record = _add_document(state, kind, document["body"])
        return Response(status=201, content={"ids": [record.id]})
    add, scenarios = ADDERS[kind]
    scenario, count = document.get("scenario"), document.get("count", 1)
    if scenario is not None and scenario not in scenarios:
        raise BadRequestError(f"scenario of {kind} is one of {', '.join(scenarios)}.")
    if not isinstance(count, int) or count < 1:
        raise BadRequestError("count must be a whole number above zero.")
    records = [add(state, state.clock(), scenario) for _ in range(count)]
    return Response(status=201, content={"ids": [record.id for record in records]})


def answer_by_hand(state: SandboxState, request: Request) -> Response:
    """Answer an inquiry now, as the customer, with ``{"params": {id: value}}``."""
    record = state.find(request.args["id"])
    values = request.document().get("params") or {}
    if not isinstance(values, dict):
        raise BadRequestError("params: an object of values by parameter id is expected.")
    answer_inquiry(state, record, values)
    return Response(content=_report_of(state, record))


def decide_by_hand(state: SandboxState, request: Request) -> Response:
    """Set ``{"status"}`` as a person does in the portal, from any status."""
    record = state.find(request.args["id"])
    allowed = _DECIDABLE[record.kind]
    status = request.document().get("status")
    if status not in allowed:
        raise BadRequestError(f"status is one of {', '.join(allowed)}, not '{status}'.")
    _decide(state, record, status, state.clock())
    return Response(content=_report_of(state, record))


def list_faults(state: SandboxState, _: Request) -> Response:
    """Show all fault rules, and how often each applied."""
    return Response(content=state.faults.bodies())


def add_faults(state: SandboxState, request: Request) -> Response:
    """Activate one rule, or several as ``{"rules": […]}``; 201 with them."""
    document = request.document()
    rules = document.get("rules", [document])
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise BadRequestError("rules: a list of fault rules is expected.")
    return Response(status=201, content=[state.faults.add(rule).body() for rule in rules])


def clear_faults(state: SandboxState, _: Request) -> Response:
    """Drop all fault rules; 204."""
    state.faults.clear()
    return Response(status=204)


def reset(state: SandboxState, _: Request) -> Response:
    """Forget everything, and seed again with the same options; 204."""
    state.reset()
    return Response(status=204)


def _add_document(state: SandboxState, kind: str, body: Json) -> ConnectRequest:
    if not isinstance(body, dict):
        raise BadRequestError("body: an object is expected.")
    if kind == "fulfillment":
        return add_from_document(state, body)
    record: ConnectRequest
    if kind == "usage":
        # Usage is reported under the contract: the listing must be found by it.
        record = add_listing(state, state.clock(), contract_id=_contract_in(body))
    else:
        record = ADDERS[kind][0](state, state.clock(), None)
    record.overlay = {name: value for name, value in body.items() if name not in ("id", "status")}
    if kind == "tier-config":
        make_draft(state, record, body)
    return record


def _contract_in(body: Json) -> str:
    contract = body.get("contract")
    contract_id = contract.get("id") if isinstance(contract, dict) else None
    return contract_id if isinstance(contract_id, str) else ""


def _decide(state: SandboxState, record: ConnectRequest, status: str, now: datetime) -> None:
    state.set_status(record, status)
    if isinstance(record, UsageFile):
        record.capitals = False
    elif not isinstance(record, Listing):
        record.updated = now
    if isinstance(record, TierConfigRequest):
        record.events[_DECIDED_EVENTS[status]] = (now, PORTAL_USER)
    state.journal.entry(record.id).events.append(
        {"event": "decided", "at": with_microseconds(now), "status": status}
    )


ROUTES = [
    Route("GET", "health", health),
    Route("GET", "report", get_report),
    Route("GET", "report/{id}", get_entry),
    Route("GET", "calls", list_calls),
    Route("GET", "notifications", list_notifications),
    Route("POST", "requests", add_requests),
    Route("POST", "requests/{id}/answer", answer_by_hand),
    Route("POST", "requests/{id}/decide", decide_by_hand),
    Route("POST", "reset", reset),
    Route("GET", "faults", list_faults),
    Route("POST", "faults", add_faults),
    Route("DELETE", "faults", clear_faults),
]

"""``/sandbox/…``: what a test or a demonstration asks of the sandbox itself; no key."""

from datetime import datetime

from connect_worker.sandbox import inquiries, report
from connect_worker.sandbox.catalog import PORTAL_USER
from connect_worker.sandbox.errors import BadRequestError
from connect_worker.sandbox.handlers.fulfillment import create_from
from connect_worker.sandbox.handlers.usage import get_template
from connect_worker.sandbox.http import Call, Json, Reply, Route
from connect_worker.sandbox.seeding import ADDERS, add_listing
from connect_worker.sandbox.simulation import exact
from connect_worker.sandbox.state import Request, World
from connect_worker.sandbox.tier_config import TierConfigRequest
from connect_worker.sandbox.usage import Listing, UsageFile

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


def health(call: Call) -> Reply:
    """That the sandbox answers, and how much it holds."""
    held = {kind: len(records) for kind, records in call.world.collections().items()}
    return Reply(content={"status": "ok", "requests": held})


def get_report(call: Call) -> Reply:
    """What happened; ``?summary=1`` leaves out the single requests."""
    is_short = call.parameters.get("summary", "") not in ("", "0", "false")
    return Reply(content=report.summary(call.world) if is_short else report.full(call.world))


def get_entry(call: Call) -> Reply:
    """What happened to one request."""
    return Reply(content=report.entry(call.world, call.world.find(call.args["id"])))


def list_calls(call: Call) -> Reply:
    """The latest calls of the API and of the vendor's system, oldest first: at, route, status.

    ``at`` is when the answer was made, the latency included.
    """
    return Reply(content=list(call.world.journal.recent))


def list_notifications(call: Call) -> Reply:
    """The latest notifications, oldest first: at, webhook, request, try, status (0: no answer)."""
    return Reply(content=list(call.world.webhooks.deliveries))


def add_requests(call: Call) -> Reply:
    """More work: ``{"kind", "count", "scenario"}`` or ``{"kind", "body"}``; 201 with the ids."""
    document = call.document()
    kind = document.get("kind", "fulfillment")
    if kind not in ADDERS:
        raise BadRequestError(f"kind is one of {', '.join(ADDERS)}, not '{kind}'.")
    if "body" in document:
        record = _add_given(call.world, kind, document["body"])
        return Reply(status=201, content={"ids": [record.id]})
    add, scenarios = ADDERS[kind]
    scenario, count = document.get("scenario"), document.get("count", 1)
    if scenario is not None and scenario not in scenarios:
        raise BadRequestError(f"scenario of {kind} is one of {', '.join(scenarios)}.")
    if not isinstance(count, int) or count < 1:
        raise BadRequestError("count must be a whole number above zero.")
    records = [add(call.world, call.world.clock(), scenario) for _ in range(count)]
    return Reply(status=201, content={"ids": [record.id for record in records]})


def answer_inquiry(call: Call) -> Reply:
    """The customer answers now; ``{"params": {id: value}}`` gives the answers."""
    record = call.world.find(call.args["id"])
    values = call.document().get("params") or {}
    if not isinstance(values, dict):
        raise BadRequestError("params: an object of values by parameter id is expected.")
    inquiries.answer(call.world, record, values)
    return Reply(content=report.entry(call.world, record))


def decide_by_hand(call: Call) -> Reply:
    """Somebody sets ``{"status"}`` in the portal, whatever the workflow says."""
    record = call.world.find(call.args["id"])
    allowed = _DECIDABLE[record.kind]
    status = call.document().get("status")
    if status not in allowed:
        raise BadRequestError(f"status is one of {', '.join(allowed)}, not '{status}'.")
    _decide(call.world, record, status, call.world.clock())
    return Reply(content=report.entry(call.world, record))


def list_faults(call: Call) -> Reply:
    """All fault rules and how often each applied."""
    return Reply(content=call.world.faults.bodies())


def add_faults(call: Call) -> Reply:
    """Put one rule in force, or several as ``{"rules": […]}``; 201 with them."""
    document = call.document()
    rules = document.get("rules", [document])
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise BadRequestError("rules: a list of fault rules is expected.")
    return Reply(status=201, content=[call.world.faults.add(rule).body() for rule in rules])


def clear_faults(call: Call) -> Reply:
    """Behave again; 204."""
    call.world.faults.clear()
    return Reply(status=204)


def reset(call: Call) -> Reply:
    """Forget everything and seed anew with the options of the start; 204."""
    call.world.restart()
    return Reply(status=204)


def _add_given(world: World, kind: str, body: Json) -> Request:
    if not isinstance(body, dict):
        raise BadRequestError("body: an object is expected.")
    if kind == "fulfillment":
        return create_from(world, body)
    record: Request
    if kind == "usage":
        # Usage is reported under the contract, so the listing has to be found by it.
        record = add_listing(world, world.clock(), contract_id=_contract_in(body))
    else:
        record = ADDERS[kind][0](world, world.clock(), None)
    record.overlay = {name: value for name, value in body.items() if name not in ("id", "status")}
    return record


def _contract_in(body: Json) -> str:
    contract = body.get("contract")
    given = contract.get("id") if isinstance(contract, dict) else None
    return given if isinstance(given, str) else ""


def _decide(world: World, record: Request, status: str, now: datetime) -> None:
    world.settle(record, status)
    if isinstance(record, UsageFile):
        record.capitals = False
    elif not isinstance(record, Listing):
        record.updated = now
    if isinstance(record, TierConfigRequest):
        record.events[_DECIDED_EVENTS[status]] = (now, PORTAL_USER)
    world.journal.entry(record.id).events.append(
        {"event": "decided", "at": exact(now), "status": status}
    )


ROUTES = [
    Route("GET", "health", health),
    Route("GET", "report", get_report),
    Route("GET", "report/{id}", get_entry),
    Route("GET", "calls", list_calls),
    Route("GET", "notifications", list_notifications),
    Route("POST", "requests", add_requests),
    Route("POST", "requests/{id}/answer", answer_inquiry),
    Route("POST", "requests/{id}/decide", decide_by_hand),
    Route("POST", "reset", reset),
    Route("GET", "faults", list_faults),
    Route("POST", "faults", add_faults),
    Route("DELETE", "faults", clear_faults),
    Route("GET", "usage-template/{id}.xlsx", get_template),
]

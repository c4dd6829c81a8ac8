"""``tier/config-requests`` and ``tier/configs``."""

from connect_worker.sandbox import fields, inquiries
from connect_worker.sandbox.catalog import PORTAL_USER
from connect_worker.sandbox.errors import BadRequestError
from connect_worker.sandbox.fields import CHANGEABLE, REQUEST_ACTIONS, require_status
from connect_worker.sandbox.handlers.catalog import page_of
from connect_worker.sandbox.handlers.outcomes import (
    accept,
    apply_changes,
    read_params,
    reason_of,
    touched,
)
from connect_worker.sandbox.http import Call, Json, Reply, Route
from connect_worker.sandbox.tier_config import TierConfig, TierConfigRequest

_REQUEST_FIELDS = fields.names_of(fields.TIER_REQUESTS)
_CONFIG_FIELDS = fields.names_of(fields.TIER_CONFIGS)

#: The event that each action leaves on the request.
_EVENTS = {"approve": "approved", "fail": "failed", "inquire": "inquired", "pend": "pended"}


def list_requests(call: Call) -> Reply:
    """One page of tier config requests."""
    return page_of(call.world.tier_requests, call, _REQUEST_FIELDS, TierConfigRequest.body)


def get_request(call: Call) -> Reply:
    """One tier config request."""
    return Reply(content=call.world.tier_requests.get(call.args["id"]).body())


def put_request(call: Call) -> Reply:
    """Change parameters (``params``) and notes."""
    record = call.world.tier_requests.get(call.args["id"])
    require_status(record.id, record.status, CHANGEABLE, "be changed")
    document = call.document()
    if "params" in document:
        changes = read_params(document["params"], record.body()["params"])
        apply_changes(record.params, changes)
        call.world.journal.entry(record.id).params.append(changes)
    if "notes" in document:
        record.shown["notes"] = document["notes"]
    record.updated = touched(record.updated, call.world.clock())
    return Reply(content=record.body())


def approve_request(call: Call) -> Reply:
    """Approve with a template of the reseller's tier, or with a text; 200 with the template."""
    record = _startable(call, "approve")
    template = _template(call, record)
    record.shown["template"] = template
    call.world.settle_config(record, "active")
    _accepted(call, record, "approve")
    return Reply(content={"template": template})


def inquire_request(call: Call) -> Reply:
    """Ask the reseller; 204."""
    record = _startable(call, "inquire")
    _accepted(call, record, "inquire")
    inquiries.expect_answer(call.world, record)
    return Reply(status=204)


def fail_request(call: Call) -> Reply:
    """Refuse the request for a reason; 204."""
    record = _startable(call, "fail")
    record.shown["reason"] = reason_of(call)
    _accepted(call, record, "fail")
    return Reply(status=204)


def pend_request(call: Call) -> Reply:
    """Put an inquired request before the vendor again; 204."""
    _accepted(call, _startable(call, "pend"), "pend")
    return Reply(status=204)


def list_configs(call: Call) -> Reply:
    """One page of tier configurations."""
    return page_of(call.world.tier_configs, call, _CONFIG_FIELDS, TierConfig.body)


def get_config(call: Call) -> Reply:
    """One tier configuration."""
    return Reply(content=call.world.tier_configs.get(call.args["id"]).body())


def _startable(call: Call, action: str) -> TierConfigRequest:
    record = call.world.tier_requests.get(call.args["id"])
    require_status(record.id, record.status, REQUEST_ACTIONS[action][0], action)
    return record


def _accepted(call: Call, record: TierConfigRequest, action: str) -> None:
    record.updated = touched(record.updated, call.world.clock())
    user = {"id": PORTAL_USER["id"], "name": PORTAL_USER["name"]}
    record.events[_EVENTS[action]] = (record.updated, user)
    accept(call, record, action, REQUEST_ACTIONS)


def _template(call: Call, record: TierConfigRequest) -> Json:
    sent = call.document().get("template")
    if not isinstance(sent, dict):
        raise BadRequestError("template is required to approve a tier config request.")
    text = sent.get("representation")
    if isinstance(text, str) and text.strip():
        return {"id": None, "representation": text}
    template = call.world.catalog.templates.get(str(sent.get("id")))
    if template is None or template.product_id != record.product.id:
        raise BadRequestError(
            f"{record.product.id} has no template {sent.get('id')}.", code="VAL_002"
        )
    if (template.scope, template.type) != ("tier1", "fulfillment"):
        raise BadRequestError(
            f"{template.id} is no template for approved resellers.", code="VAL_002"
        )
    return {"id": template.id, "representation": template.render(record.id)}


ROUTES = [
    Route("GET", "tier/config-requests", list_requests),
    Route("GET", "tier/config-requests/{id}", get_request, about="id"),
    Route("PUT", "tier/config-requests/{id}", put_request, about="id"),
    Route("POST", "tier/config-requests/{id}/approve", approve_request, about="id"),
    Route("POST", "tier/config-requests/{id}/inquire", inquire_request, about="id"),
    Route("POST", "tier/config-requests/{id}/fail", fail_request, about="id"),
    Route("POST", "tier/config-requests/{id}/pend", pend_request, about="id"),
    Route("GET", "tier/configs", list_configs),
    Route("GET", "tier/configs/{id}", get_config),
]

"""Endpoints of fulfillment requests, assets, tier config requests and tier configurations."""

from connect_worker.sandbox import collection
from connect_worker.sandbox.collection import page_of, page_of_documents
from connect_worker.sandbox.documents import change_params
from connect_worker.sandbox.fulfillment import Asset, FulfillmentRequest
from connect_worker.sandbox.http import (
    BadRequestError,
    ForbiddenError,
    Json,
    Request,
    Response,
    Route,
)
from connect_worker.sandbox.memory import SandboxState
from connect_worker.sandbox.products import PORTAL_USER
from connect_worker.sandbox.requests import (
    CHANGEABLE,
    REQUEST_ACTIONS,
    accept,
    apply_changes,
    expect_answer,
    later_than,
    read_params,
    reason_of,
    require_status,
    validate,
)
from connect_worker.sandbox.seeding import add_from_document
from connect_worker.sandbox.tier_config import TierConfig, TierConfigRequest

_REQUEST_FIELDS = collection.names_of(collection.REQUESTS)
_ASSET_FIELDS = collection.names_of(collection.ASSETS)

#: The status of the asset after a request of this type is approved; otherwise active.
_APPROVED_ASSET = {"suspend": "suspended", "cancel": "terminated"}


def list_requests(state: SandboxState, request: Request) -> Response:
    """One page of requests."""
    return page_of(state.requests, request, _REQUEST_FIELDS, FulfillmentRequest.body)


def get_request(state: SandboxState, request: Request) -> Response:
    """One request."""
    return Response(content=state.requests.get(request.args["id"]).body())


def put_request(state: SandboxState, request: Request) -> Response:
    """Change parameters (``asset.params``) and the note; moves ``updated``."""
    record = state.requests.get(request.args["id"])
    require_status(record.id, record.status, CHANGEABLE, "be changed")
    document = request.document()
    asset = document.get("asset")
    if asset is not None and not isinstance(asset, dict):
        raise BadRequestError("asset: an object is expected.")
    if asset and "params" in asset:
        changes = read_params(asset["params"], record.asset()["params"])
        apply_changes(record.params, changes)
        state.journal.entry(record.id).params.append(changes)
    if "note" in document:
        record.shown["note"] = document["note"]
    record.updated = later_than(record.updated, state.clock())
    return Response(content=record.body())


def approve_request(state: SandboxState, request: Request) -> Response:
    """Approve with a template of the product, or with an activation tile."""
    record = _startable(state, request, "approve")
    document = request.document()
    template_id, tile = document.get("template_id"), document.get("activation_tile")
    if template_id:
        _show_template(state, record, str(template_id))
    elif isinstance(tile, str) and tile.strip():
        record.shown["activation_key"] = tile
    else:
        raise BadRequestError("template_id or activation_tile is required to approve a request.")
    if "effective_date" in document:
        record.shown["effective_date"] = document["effective_date"]
    state.set_asset_status(record, _APPROVED_ASSET.get(record.type, "active"))
    return _accepted(state, request, record, "approve")


def inquire_request(state: SandboxState, request: Request) -> Response:
    """Inquire the customer; a PUT has marked the parameters in question before."""
    record = _startable(state, request, "inquire")
    reply = _accepted(state, request, record, "inquire")
    expect_answer(state, record)
    return reply


def fail_request(state: SandboxState, request: Request) -> Response:
    """Fail the request for a reason."""
    record = _startable(state, request, "fail")
    record.shown["reason"] = reason_of(request)
    if record.type == "purchase":
        state.set_asset_status(record, "terminated")
    return _accepted(state, request, record, "fail")


def pend_request(state: SandboxState, request: Request) -> Response:
    """Make an inquired request pending again."""
    return _accepted(state, request, _startable(state, request, "pend"), "pend")


def purchase_request(state: SandboxState, request: Request) -> Response:
    """Make a draft pending."""
    record = _startable(state, request, "purchase")
    record.updated = later_than(record.updated, state.clock())
    state.set_status(record, REQUEST_ACTIONS["purchase"][1])
    return Response(content=record.body())


def validate_request(state: SandboxState, request: Request) -> Response:
    """Validate what the customer has entered (``asset.params``); nothing is stored."""
    record = _startable(state, request, "validate")
    document = record.body()
    asset = request.document().get("asset")
    if isinstance(asset, dict) and "params" in asset:
        params = document["asset"]["params"]
        changes = read_params(asset["params"], params)
        document["asset"] = {**document["asset"], "params": change_params(params, changes)}
    return validate(state, record, document)


def create_request(state: SandboxState, request: Request) -> Response:
    """Create a request, as the provider's hub does; 201 with the new request.

    Only what the body gives is taken over; the rest is generated, as a hub would fill it in.
    """
    if not request.by_provider:
        raise ForbiddenError("Only a provider can create fulfillment requests.")
    record = add_from_document(state, request.document())
    return Response(status=201, content=record.body())


def list_assets(state: SandboxState, request: Request) -> Response:
    """One page of assets."""
    return page_of(state.assets, request, _ASSET_FIELDS, Asset.body)


def get_asset(state: SandboxState, request: Request) -> Response:
    """One asset."""
    return Response(content=state.assets.get(request.args["id"]).body())


def list_asset_requests(state: SandboxState, request: Request) -> Response:
    """The requests about one asset."""
    asset = state.assets.get(request.args["id"])
    bodies = [record.body() for record in state.requests.find("asset.id", asset.id)]
    return page_of_documents(bodies, request, _REQUEST_FIELDS)


def _startable(state: SandboxState, request: Request, action: str) -> FulfillmentRequest:
    record = state.requests.get(request.args["id"])
    require_status(record.id, record.status, REQUEST_ACTIONS[action][0], action)
    return record


def _accepted(
    state: SandboxState, request: Request, record: FulfillmentRequest, action: str
) -> Response:
    record.updated = later_than(record.updated, state.clock())
    accept(state, request, record, action, REQUEST_ACTIONS)
    return Response(content=record.body())


def _show_template(state: SandboxState, record: FulfillmentRequest, template_id: str) -> None:
    template = state.catalog.templates.get(template_id)
    if template is None or template.product_id != record.product.id:
        raise BadRequestError(f"{record.product.id} has no template {template_id}.", code="VAL_002")
    if (template.scope, template.type) != ("asset", "fulfillment"):
        raise BadRequestError(
            f"{template_id} is not a template for approved assets.", code="VAL_002"
        )
    record.shown["template"] = {"id": template.id, "name": template.name}
    record.shown["activation_key"] = template.render(record.id)


_TIER_REQUEST_FIELDS = collection.names_of(collection.TIER_REQUESTS)
_CONFIG_FIELDS = collection.names_of(collection.TIER_CONFIGS)

#: The event that each action leaves on the request.
_EVENTS = {"approve": "approved", "fail": "failed", "inquire": "inquired", "pend": "pended"}


def list_tier_requests(state: SandboxState, request: Request) -> Response:
    """One page of tier config requests."""
    return page_of(state.tier_requests, request, _TIER_REQUEST_FIELDS, TierConfigRequest.body)


def get_tier_request(state: SandboxState, request: Request) -> Response:
    """One tier config request."""
    return Response(content=state.tier_requests.get(request.args["id"]).body())


def put_tier_request(state: SandboxState, request: Request) -> Response:
    """Change parameters (``params``) and notes."""
    record = state.tier_requests.get(request.args["id"])
    require_status(record.id, record.status, CHANGEABLE, "be changed")
    document = request.document()
    if "params" in document:
        changes = read_params(document["params"], record.body()["params"])
        apply_changes(record.params, changes)
        state.journal.entry(record.id).params.append(changes)
    if "notes" in document:
        record.shown["notes"] = document["notes"]
    record.updated = later_than(record.updated, state.clock())
    return Response(content=record.body())


def approve_tier_request(state: SandboxState, request: Request) -> Response:
    """Approve with a template of the reseller's tier, or with a text; 200 with the template."""
    record = _tier_request_for(state, request, "approve")
    template = _tier_template(state, request, record)
    record.shown["template"] = template
    state.set_config_status(record, "active")
    _accept_tier_request(state, request, record, "approve")
    return Response(content={"template": template})


def inquire_tier_request(state: SandboxState, request: Request) -> Response:
    """Inquire the reseller; 204."""
    record = _tier_request_for(state, request, "inquire")
    _accept_tier_request(state, request, record, "inquire")
    expect_answer(state, record)
    return Response(status=204)


def fail_tier_request(state: SandboxState, request: Request) -> Response:
    """Fail the request for a reason; 204."""
    record = _tier_request_for(state, request, "fail")
    record.shown["reason"] = reason_of(request)
    _accept_tier_request(state, request, record, "fail")
    return Response(status=204)


def pend_tier_request(state: SandboxState, request: Request) -> Response:
    """Make an inquired request pending again; 204."""
    _accept_tier_request(state, request, _tier_request_for(state, request, "pend"), "pend")
    return Response(status=204)


def validate_tier_request(state: SandboxState, request: Request) -> Response:
    """Validate what the reseller has entered (``params``); nothing is stored."""
    record = _tier_request_for(state, request, "validate")
    document = record.body()
    if "params" in (sent := request.document()):
        changes = read_params(sent["params"], document["params"])
        document["params"] = change_params(document["params"], changes)
    return validate(state, record, document)


def list_configs(state: SandboxState, request: Request) -> Response:
    """One page of tier configurations."""
    return page_of(state.tier_configs, request, _CONFIG_FIELDS, TierConfig.body)


def get_config(state: SandboxState, request: Request) -> Response:
    """One tier configuration."""
    return Response(content=state.tier_configs.get(request.args["id"]).body())


def _tier_request_for(state: SandboxState, request: Request, action: str) -> TierConfigRequest:
    record = state.tier_requests.get(request.args["id"])
    require_status(record.id, record.status, REQUEST_ACTIONS[action][0], action)
    return record


def _accept_tier_request(
    state: SandboxState, request: Request, record: TierConfigRequest, action: str
) -> None:
    record.updated = later_than(record.updated, state.clock())
    user = {"id": PORTAL_USER["id"], "name": PORTAL_USER["name"]}
    record.events[_EVENTS[action]] = (record.updated, user)
    accept(state, request, record, action, REQUEST_ACTIONS)


def _tier_template(state: SandboxState, request: Request, record: TierConfigRequest) -> Json:
    sent = request.document().get("template")
    if not isinstance(sent, dict):
        raise BadRequestError("template is required to approve a tier config request.")
    text = sent.get("representation")
    if isinstance(text, str) and text.strip():
        return {"id": None, "representation": text}
    template = state.catalog.templates.get(str(sent.get("id")))
    if template is None or template.product_id != record.product.id:
        raise BadRequestError(
            f"{record.product.id} has no template {sent.get('id')}.", code="VAL_002"
        )
    if (template.scope, template.type) != ("tier1", "fulfillment"):
        raise BadRequestError(
            f"{template.id} is not a template for approved resellers.", code="VAL_002"
        )
    return {"id": template.id, "representation": template.render(record.id)}


ROUTES = [
    Route("GET", "requests", list_requests),
    Route("POST", "requests", create_request),
    Route("GET", "requests/{id}", get_request, about="id"),
    Route("PUT", "requests/{id}", put_request, about="id"),
    Route("POST", "requests/{id}/approve", approve_request, about="id"),
    Route("POST", "requests/{id}/inquire", inquire_request, about="id"),
    Route("POST", "requests/{id}/fail", fail_request, about="id"),
    Route("POST", "requests/{id}/pend", pend_request, about="id"),
    Route("POST", "requests/{id}/purchase", purchase_request, about="id"),
    Route("POST", "requests/{id}/validate", validate_request, about="id"),
    Route("GET", "assets", list_assets),
    Route("GET", "assets/{id}", get_asset),
    Route("GET", "assets/{id}/requests", list_asset_requests),
    Route("GET", "tier/config-requests", list_tier_requests),
    Route("GET", "tier/config-requests/{id}", get_tier_request, about="id"),
    Route("PUT", "tier/config-requests/{id}", put_tier_request, about="id"),
    Route("POST", "tier/config-requests/{id}/approve", approve_tier_request, about="id"),
    Route("POST", "tier/config-requests/{id}/inquire", inquire_tier_request, about="id"),
    Route("POST", "tier/config-requests/{id}/fail", fail_tier_request, about="id"),
    Route("POST", "tier/config-requests/{id}/pend", pend_tier_request, about="id"),
    Route("POST", "tier/config-requests/{id}/validate", validate_tier_request, about="id"),
    Route("GET", "tier/configs", list_configs),
    Route("GET", "tier/configs/{id}", get_config),
]

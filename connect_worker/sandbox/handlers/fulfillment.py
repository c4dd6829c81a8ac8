"""``requests`` and ``assets``."""

from connect_worker.sandbox import fields, inquiries
from connect_worker.sandbox.errors import BadRequestError, ForbiddenError
from connect_worker.sandbox.fields import CHANGEABLE, REQUEST_ACTIONS, require_status
from connect_worker.sandbox.fulfillment import Asset, FulfillmentRequest
from connect_worker.sandbox.handlers.catalog import page_of, page_of_documents
from connect_worker.sandbox.handlers.outcomes import (
    accept,
    apply_changes,
    read_params,
    reason_of,
    touched,
)
from connect_worker.sandbox.http import Call, Json, Reply, Route
from connect_worker.sandbox.seeding import add_fulfillment
from connect_worker.sandbox.state import World

_REQUEST_FIELDS = fields.names_of(fields.REQUESTS)
_ASSET_FIELDS = fields.names_of(fields.ASSETS)

#: What an approved request makes of its asset.
_APPROVED_ASSET = {"suspend": "suspended", "cancel": "terminated"}


def list_requests(call: Call) -> Reply:
    """One page of requests."""
    return page_of(call.world.requests, call, _REQUEST_FIELDS, FulfillmentRequest.body)


def get_request(call: Call) -> Reply:
    """One request."""
    return Reply(content=call.world.requests.get(call.args["id"]).body())


def put_request(call: Call) -> Reply:
    """Change parameters (``asset.params``) and the note; moves ``updated``."""
    record = call.world.requests.get(call.args["id"])
    require_status(record.id, record.status, CHANGEABLE, "be changed")
    document = call.document()
    asset = document.get("asset")
    if asset is not None and not isinstance(asset, dict):
        raise BadRequestError("asset: an object is expected.")
    if asset and "params" in asset:
        changes = read_params(asset["params"], record.asset()["params"])
        apply_changes(record.params, changes)
        call.world.journal.entry(record.id).params.append(changes)
    if "note" in document:
        record.shown["note"] = document["note"]
    record.updated = touched(record.updated, call.world.clock())
    return Reply(content=record.body())


def approve_request(call: Call) -> Reply:
    """Approve with a template of the product or with a tile of one's own."""
    record = _startable(call, "approve")
    document = call.document()
    template_id, tile = document.get("template_id"), document.get("activation_tile")
    if template_id:
        _show_template(call, record, str(template_id))
    elif isinstance(tile, str) and tile.strip():
        record.shown["activation_key"] = tile
    else:
        raise BadRequestError("template_id or activation_tile is required to approve a request.")
    if "effective_date" in document:
        record.shown["effective_date"] = document["effective_date"]
    call.world.settle_asset(record, _APPROVED_ASSET.get(record.type, "active"))
    return _accepted(call, record, "approve")


def inquire_request(call: Call) -> Reply:
    """Ask the customer; the parameters in question were marked by a PUT before."""
    record = _startable(call, "inquire")
    reply = _accepted(call, record, "inquire")
    inquiries.expect_answer(call.world, record)
    return reply


def fail_request(call: Call) -> Reply:
    """Refuse the request for a reason."""
    record = _startable(call, "fail")
    record.shown["reason"] = reason_of(call)
    if record.type == "purchase":
        call.world.settle_asset(record, "terminated")
    return _accepted(call, record, "fail")


def pend_request(call: Call) -> Reply:
    """Put an inquired request before the vendor again."""
    return _accepted(call, _startable(call, "pend"), "pend")


def create_request(call: Call) -> Reply:
    """Order as the provider's hub does; 201 with the new request.

    Only what the body gives is taken over; the rest is generated, as a hub would fill it in.
    """
    if not call.by_provider:
        raise ForbiddenError("Only a provider can create fulfillment requests.")
    record = create_from(call.world, call.document())
    return Reply(status=201, content=record.body())


def create_from(world: World, document: Json) -> FulfillmentRequest:
    """A new pending request whose document is laid over a generated one.

    Raises:
        BadRequestError: an unknown type, or a product that is not in the catalog.
    """
    kind = document.get("type", "purchase")
    if kind not in ("purchase", "change", "cancel", "suspend", "resume"):
        raise BadRequestError(f"type: '{kind}' is no type of request.")
    asset = document.get("asset", {})
    if not isinstance(asset, dict):
        raise BadRequestError("asset: an object is expected.")
    product = None
    if "product" in asset:
        product = world.catalog.by_id.get(str((asset["product"] or {}).get("id")))
        if product is None:
            raise BadRequestError("asset.product.id: there is no such product.")
    record = add_fulfillment(world, world.clock(), kind, product=product)
    kept = {key: value for key, value in asset.items() if key not in ("id", "status", "product")}
    own = ("id", "status", "type", "created", "updated", "asset")
    record.overlay = {k: v for k, v in document.items() if k not in own} | {"asset": kept}
    return record


def list_assets(call: Call) -> Reply:
    """One page of assets."""
    return page_of(call.world.assets, call, _ASSET_FIELDS, Asset.body)


def get_asset(call: Call) -> Reply:
    """One asset."""
    return Reply(content=call.world.assets.get(call.args["id"]).body())


def list_asset_requests(call: Call) -> Reply:
    """The requests about one asset."""
    asset = call.world.assets.get(call.args["id"])
    found = [record.body() for record in call.world.requests.find("asset.id", asset.id)]
    return page_of_documents(found, call, _REQUEST_FIELDS)


def _startable(call: Call, action: str) -> FulfillmentRequest:
    record = call.world.requests.get(call.args["id"])
    require_status(record.id, record.status, REQUEST_ACTIONS[action][0], action)
    return record


def _accepted(call: Call, record: FulfillmentRequest, action: str) -> Reply:
    record.updated = touched(record.updated, call.world.clock())
    accept(call, record, action, REQUEST_ACTIONS)
    return Reply(content=record.body())


def _show_template(call: Call, record: FulfillmentRequest, template_id: str) -> None:
    template = call.world.catalog.templates.get(template_id)
    if template is None or template.product_id != record.product.id:
        raise BadRequestError(f"{record.product.id} has no template {template_id}.", code="VAL_002")
    if (template.scope, template.type) != ("asset", "fulfillment"):
        raise BadRequestError(f"{template_id} is no template for approved assets.", code="VAL_002")
    record.shown["template"] = {"id": template.id, "name": template.name}
    record.shown["activation_key"] = template.render(record.id)


ROUTES = [
    Route("GET", "requests", list_requests),
    Route("POST", "requests", create_request),
    Route("GET", "requests/{id}", get_request, about="id"),
    Route("PUT", "requests/{id}", put_request, about="id"),
    Route("POST", "requests/{id}/approve", approve_request, about="id"),
    Route("POST", "requests/{id}/inquire", inquire_request, about="id"),
    Route("POST", "requests/{id}/fail", fail_request, about="id"),
    Route("POST", "requests/{id}/pend", pend_request, about="id"),
    Route("GET", "assets", list_assets),
    Route("GET", "assets/{id}", get_asset),
    Route("GET", "assets/{id}/requests", list_asset_requests),
]

"""``notifications/webhooks``."""

from typing import Any

from connect_worker.sandbox import fields
from connect_worker.sandbox.errors import BadRequestError, NotFoundError
from connect_worker.sandbox.handlers.catalog import page_of_documents
from connect_worker.sandbox.http import Call, Json, Reply, Route
from connect_worker.sandbox.webhooks import Webhook

_FIELDS = fields.names_of(fields.WEBHOOKS)

_REQUIRED = (
    *("object_class", "label", "product_id", "description"),
    *("external_url", "jwt_secret", "active", "http_method"),
)
_CLASSES = (
    *("fulfillment_request", "tier_config_request", "tier_account_request"),
    *("listing_request", "billing_request", "usage_file"),
)
_KNOWN = (*_REQUIRED, "type", "data", "headers")


def list_webhooks(call: Call) -> Reply:
    """One page of webhooks."""
    bodies = [webhook.body() for webhook in call.world.webhooks.by_id.values()]
    return page_of_documents(bodies, call, _FIELDS)


def create_webhook(call: Call) -> Reply:
    """A new webhook; 201."""
    return Reply(status=201, content=call.world.webhooks.create(_checked(call)).body())


def get_webhook(call: Call) -> Reply:
    """One webhook."""
    return Reply(content=_webhook(call).body())


def put_webhook(call: Call) -> Reply:
    """Change a webhook as a whole."""
    webhook = _webhook(call)
    call.world.webhooks.change(webhook, _checked(call))
    return Reply(content=webhook.body())


def delete_webhook(call: Call) -> Reply:
    """Delete a webhook; 204. What it had still to send is not sent."""
    del call.world.webhooks.by_id[_webhook(call).id]
    return Reply(status=204)


def trigger_webhook(call: Call) -> Reply:
    """Send a notification now; it is about no request."""
    call.world.webhooks.trigger(_webhook(call))
    return Reply(content={})


def _webhook(call: Call) -> Webhook:
    found = call.world.webhooks.by_id.get(call.args["id"])
    if found is None:
        raise NotFoundError(f"webhook {call.args['id']}")
    return found


def _checked(call: Call) -> Json:
    document = call.document()
    missing = [name for name in _REQUIRED if document.get(name) in (None, "")]
    if missing:
        raise BadRequestError(*(f"{name} is required." for name in missing))
    if document["object_class"] not in _CLASSES:
        raise BadRequestError(f"object_class is one of {', '.join(_CLASSES)}.")
    if document["product_id"] not in call.world.catalog.by_id:
        raise BadRequestError("product_id: there is no such product.", code="VAL_002")
    if document["http_method"] != "POST":
        raise BadRequestError("http_method is POST.")
    if not str(document["external_url"]).startswith(("http://", "https://")):
        raise BadRequestError("external_url: a URL is expected.")
    _require_short(document, "jwt_secret", 100)
    _require_short(document, "label", 100)
    known: Json = {name: document[name] for name in _KNOWN if name in document}
    return {"data": {}, "headers": {}, **known}


def _require_short(document: dict[str, Any], name: str, most: int) -> None:
    if not isinstance(document[name], str) or len(document[name]) > most:
        raise BadRequestError(f"{name}: a text of at most {most} characters is expected.")


ROUTES = [
    Route("GET", "notifications/webhooks", list_webhooks),
    Route("POST", "notifications/webhooks", create_webhook),
    Route("GET", "notifications/webhooks/{id}", get_webhook),
    Route("PUT", "notifications/webhooks/{id}", put_webhook),
    Route("DELETE", "notifications/webhooks/{id}", delete_webhook),
    Route("POST", "notifications/webhooks/{id}/trigger", trigger_webhook),
]

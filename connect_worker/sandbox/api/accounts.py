"""Endpoints of products, templates, conversations and webhooks, and of the vendor's system."""

from connect_worker.sandbox import collection
from connect_worker.sandbox.collection import page_of, page_of_documents
from connect_worker.sandbox.documents import message_id, with_microseconds
from connect_worker.sandbox.fulfillment import Conversation
from connect_worker.sandbox.http import (
    BadRequestError,
    Json,
    NotFoundError,
    Request,
    Response,
    Route,
)
from connect_worker.sandbox.memory import SandboxState
from connect_worker.sandbox.products import Product
from connect_worker.sandbox.requests import VALIDATIONS
from connect_worker.sandbox.webhook import Webhook

_PRODUCT_FIELDS = collection.names_of(collection.PRODUCTS)
_TEMPLATE_FIELDS = collection.names_of(collection.TEMPLATES)
_CONFIGURATION_FIELDS = collection.names_of(collection.CONFIGURATIONS)


def list_products(state: SandboxState, request: Request) -> Response:
    """One page of products."""
    bodies = [product.body() for product in state.catalog.products]
    return page_of_documents(bodies, request, _PRODUCT_FIELDS)


def get_product(state: SandboxState, request: Request) -> Response:
    """One product."""
    return Response(content=_product(state, request).body())


def list_templates(state: SandboxState, request: Request) -> Response:
    """The templates of a product."""
    bodies = [template.body() for template in _product(state, request).templates]
    return page_of_documents(bodies, request, _TEMPLATE_FIELDS)


def list_configurations(state: SandboxState, request: Request) -> Response:
    """The configuration parameters of a product."""
    return page_of_documents(
        _product(state, request).configurations(), request, _CONFIGURATION_FIELDS
    )


def render_template(state: SandboxState, request: Request) -> Response:
    """Render a template for the request that ``request_id`` names."""
    template = state.catalog.templates.get(request.args["id"])
    if template is None:
        raise NotFoundError(f"template {request.args['id']}")
    request_id = request.parameters.get("request_id")
    if not request_id:
        raise BadRequestError("request_id is required to render a template.")
    record = state.find(request_id)
    text = template.render(record.id)
    return Response(content=text.encode(), content_type="text/markdown; charset=utf-8")


def _product(state: SandboxState, request: Request) -> Product:
    product = state.catalog.by_id.get(request.args["id"])
    if product is None:
        raise NotFoundError(f"product {request.args['id']}")
    return product


_CONVERSATION_FIELDS = collection.names_of(collection.CONVERSATIONS)
_MESSAGE_FIELDS = collection.names_of(collection.MESSAGES)


def list_conversations(state: SandboxState, request: Request) -> Response:
    """One page of conversations."""
    return page_of(state.conversations, request, _CONVERSATION_FIELDS, Conversation.body)


def get_conversation(state: SandboxState, request: Request) -> Response:
    """One conversation; in 2019 with its messages."""
    conversation = state.conversations.get(request.args["id"])
    is_of_2019 = state.options.is_of_2019
    return Response(content=conversation.full_body() if is_of_2019 else conversation.body())


def list_messages(state: SandboxState, request: Request) -> Response:
    """The messages of a conversation, oldest first."""
    conversation = state.conversations.get(request.args["id"])
    bodies = [conversation.message_body(message) for message in conversation.messages]
    return page_of_documents(bodies, request, _MESSAGE_FIELDS)


def add_message(state: SandboxState, request: Request) -> Response:
    """Add a message; 201. A note is no message to the customer, and is not in the report."""
    conversation = state.conversations.get(request.args["id"])
    if conversation.status == "closed":
        raise BadRequestError(f"{conversation.id} is closed.")
    text = request.document().get("text")
    if not isinstance(text, str) or not text.strip():
        raise BadRequestError("text is required to add a message.")
    now = state.clock()
    message = (message_id(state.message_count), now, text)
    state.message_count += 1
    conversation.messages.append(message)
    if conversation.type == "conversation":
        said = {"text": text, "at": with_microseconds(now)}
        entry = state.journal.entry(conversation.instance_id)
        entry.messages.append({**said, "idempotency_key": request.idempotency_key})
    return Response(status=201, content=conversation.message_body(message))


_WEBHOOK_FIELDS = collection.names_of(collection.WEBHOOKS)

_REQUIRED = (
    *("object_class", "label", "product_id", "description"),
    *("external_url", "jwt_secret", "active", "http_method"),
)
_CLASSES = (
    *("fulfillment_request", "tier_config_request", "tier_account_request"),
    *("listing_request", "billing_request", "usage_file"),
)
_KNOWN = (*_REQUIRED, "type", "data", "headers")
#: The sandbox has resellers of the first tier only.
_SECOND_TIER = [name.replace("t1", "t2") for name in VALIDATIONS.values() if "t1" in name]
_TYPES = ("event", *VALIDATIONS.values(), *_SECOND_TIER)


def list_webhooks(state: SandboxState, request: Request) -> Response:
    """One page of webhooks."""
    bodies = [webhook.body() for webhook in state.webhooks.by_id.values()]
    return page_of_documents(bodies, request, _WEBHOOK_FIELDS)


def create_webhook(state: SandboxState, request: Request) -> Response:
    """Create a webhook; 201."""
    return Response(status=201, content=state.webhooks.create(_checked(state, request)).body())


def get_webhook(state: SandboxState, request: Request) -> Response:
    """One webhook."""
    return Response(content=_webhook(state, request).body())


def put_webhook(state: SandboxState, request: Request) -> Response:
    """Replace the settings of a webhook."""
    webhook = _webhook(state, request)
    state.webhooks.change(webhook, _checked(state, request))
    return Response(content=webhook.body())


def delete_webhook(state: SandboxState, request: Request) -> Response:
    """Delete a webhook; 204. Its notifications that are not delivered yet are dropped."""
    del state.webhooks.by_id[_webhook(state, request).id]
    return Response(status=204)


def trigger_webhook(state: SandboxState, request: Request) -> Response:
    """Send a notification now, about no request."""
    state.webhooks.trigger(_webhook(state, request))
    return Response(content={})


def _webhook(state: SandboxState, request: Request) -> Webhook:
    webhook = state.webhooks.by_id.get(request.args["id"])
    if webhook is None:
        raise NotFoundError(f"webhook {request.args['id']}")
    return webhook


def _checked(state: SandboxState, request: Request) -> Json:
    document = request.document()
    missing = [name for name in _REQUIRED if document.get(name) in (None, "")]
    if missing:
        raise BadRequestError(*(f"{name} is required." for name in missing))
    if document["object_class"] not in _CLASSES:
        raise BadRequestError(f"object_class is one of {', '.join(_CLASSES)}.")
    if document.get("type", "event") not in _TYPES:
        raise BadRequestError(f"type is one of {', '.join(_TYPES)}.")
    if document["product_id"] not in state.catalog.by_id:
        raise BadRequestError("product_id: there is no such product.", code="VAL_002")
    if document["http_method"] != "POST":
        raise BadRequestError("http_method is POST.")
    if not str(document["external_url"]).startswith(("http://", "https://")):
        raise BadRequestError("external_url: a URL is expected.")
    _require_short(document, "jwt_secret", 100)
    _require_short(document, "label", 100)
    known: Json = {name: document[name] for name in _KNOWN if name in document}
    return {"data": {}, "headers": {}, **known}


def _require_short(document: Json, name: str, most: int) -> None:
    if not isinstance(document[name], str) or len(document[name]) > most:
        raise BadRequestError(f"{name}: a text of at most {most} characters is expected.")


def create_tenant(state: SandboxState, request: Request) -> Response:
    """Create a tenant: 201; the same ``Idempotency-Key`` again: 200 and the same tenant."""
    tenant, is_new = state.vendor.create(request.document(), request.idempotency_key)
    return Response(status=201 if is_new else 200, content=tenant.body())


def list_tenants(state: SandboxState, _: Request) -> Response:
    """Every tenant, oldest first."""
    return Response(content=[tenant.body() for tenant in state.vendor.tenants()])


def get_tenant(state: SandboxState, request: Request) -> Response:
    """One tenant."""
    return Response(content=state.vendor.get(request.args["id"]).body())


ROUTES = [
    Route("GET", "products", list_products),
    Route("GET", "products/{id}", get_product),
    Route("GET", "products/{id}/templates", list_templates),
    Route("GET", "products/{id}/configurations", list_configurations),
    Route("GET", "templates/{id}/render", render_template),
    Route("GET", "conversations", list_conversations),
    Route("GET", "conversations/{id}", get_conversation),
    Route("GET", "conversations/{id}/messages", list_messages),
    Route("POST", "conversations/{id}/messages", add_message),
    Route("GET", "notifications/webhooks", list_webhooks),
    Route("POST", "notifications/webhooks", create_webhook),
    Route("GET", "notifications/webhooks/{id}", get_webhook),
    Route("PUT", "notifications/webhooks/{id}", put_webhook),
    Route("DELETE", "notifications/webhooks/{id}", delete_webhook),
    Route("POST", "notifications/webhooks/{id}/trigger", trigger_webhook),
]
VENDOR_ROUTES = [
    Route("POST", "tenants", create_tenant),
    Route("GET", "tenants", list_tenants),
    Route("GET", "tenants/{id}", get_tenant),
]

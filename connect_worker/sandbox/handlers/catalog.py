"""``products`` and ``templates``."""

from connect_worker.sandbox import fields
from connect_worker.sandbox.calls import Call, Reply, Route
from connect_worker.sandbox.catalog import Product
from connect_worker.sandbox.errors import BadRequestError, NotFoundError
from connect_worker.sandbox.handlers.pages import page_of_documents

_PRODUCT_FIELDS = fields.names_of(fields.PRODUCTS)
_TEMPLATE_FIELDS = fields.names_of(fields.TEMPLATES)
_CONFIGURATION_FIELDS = fields.names_of(fields.CONFIGURATIONS)


def list_products(call: Call) -> Reply:
    """One page of products."""
    bodies = [product.body() for product in call.world.catalog.products]
    return page_of_documents(bodies, call, _PRODUCT_FIELDS)


def get_product(call: Call) -> Reply:
    """One product."""
    return Reply(content=_product(call).body())


def list_templates(call: Call) -> Reply:
    """The templates of a product."""
    bodies = [template.body() for template in _product(call).templates]
    return page_of_documents(bodies, call, _TEMPLATE_FIELDS)


def list_configurations(call: Call) -> Reply:
    """The configuration parameters of a product."""
    return page_of_documents(_product(call).configurations(), call, _CONFIGURATION_FIELDS)


def render_template(call: Call) -> Reply:
    """The text of a template for the request that ``request_id`` names."""
    template = call.world.catalog.templates.get(call.args["id"])
    if template is None:
        raise NotFoundError(f"template {call.args['id']}")
    request_id = call.parameters.get("request_id")
    if not request_id:
        raise BadRequestError("request_id is required to render a template.")
    record = call.world.find(request_id)
    text = template.render(record.id)
    return Reply(content=text.encode(), content_type="text/markdown; charset=utf-8")


def _product(call: Call) -> Product:
    product = call.world.catalog.by_id.get(call.args["id"])
    if product is None:
        raise NotFoundError(f"product {call.args['id']}")
    return product


ROUTES = [
    Route("GET", "products", list_products),
    Route("GET", "products/{id}", get_product),
    Route("GET", "products/{id}/templates", list_templates),
    Route("GET", "products/{id}/configurations", list_configurations),
    Route("GET", "templates/{id}/render", render_template),
]

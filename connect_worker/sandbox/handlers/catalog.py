"""``products`` and ``templates``."""

from collections.abc import Callable
from typing import Any, TypeVar

from connect_worker.sandbox import fields, rql
from connect_worker.sandbox.catalog import Product
from connect_worker.sandbox.collection import (
    Collection,
    Page,
    Record,
    values_at,
)
from connect_worker.sandbox.errors import BadRequestError, NotFoundError
from connect_worker.sandbox.http import Call, Json, Reply, Route
from connect_worker.sandbox.rql import FieldNames, satisfies, sort_key

# Answers the read of a collection with one page of it.

R = TypeVar("R", bound=Record)


def page_of(
    collection: Collection[R], call: Call, names: FieldNames, show: Callable[[R], Json]
) -> Reply:
    """The page of a collection that the call's query asks for."""
    page = collection.select(rql.parse(call.query, names))
    return Reply(
        content=[show(record) for record in page.records],
        headers={"Content-Range": page.content_range()},
    )


def page_of_documents(documents: list[Json], call: Call, names: FieldNames) -> Reply:
    """The same for a handful of documents that no collection holds."""
    query = rql.parse(call.query, names)
    chosen = [d for d in documents if satisfies(query.where, _resolver(d))]
    for field, descending in reversed(query.ordering):
        chosen.sort(key=_by_value(field), reverse=descending)
    shown = chosen[query.offset : query.offset + query.limit]
    page: Page[Any] = Page(shown, query.offset, len(chosen))
    return Reply(content=shown, headers={"Content-Range": page.content_range()})


def _resolver(document: Json) -> Callable[[str], list[Any]]:
    return lambda field: values_at(document, field)


def _by_value(field: str) -> Callable[[Json], tuple[int, Any]]:
    return lambda document: sort_key(values_at(document, field)[0])


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

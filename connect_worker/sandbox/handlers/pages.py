"""Answers the read of a collection with one page of it."""

from collections.abc import Callable
from typing import Any, TypeVar

from connect_worker.sandbox import rql
from connect_worker.sandbox.calls import Call, Json, Reply
from connect_worker.sandbox.collection import Collection, Page, Record
from connect_worker.sandbox.matching import satisfies, sort_key, values_at
from connect_worker.sandbox.rql import FieldNames

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

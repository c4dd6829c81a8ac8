"""The sandbox's collections: objects in the order of their creation, their filters and their pages.

Objects are indexed by (status, product), the two fields that every poll filters by. A page of a
hundred thousand pending requests costs a sort of integers, and not a look at every request.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from connect_worker.sandbox import rql
from connect_worker.sandbox.documents import values_at
from connect_worker.sandbox.http import BadRequestError, Json, NotFoundError, Request, Response
from connect_worker.sandbox.rql import (
    Comparison,
    Membership,
    Query,
    Term,
    satisfies,
    sort_key,
)


class Record(Protocol):
    """What a collection needs to know of its objects."""

    #: the number in the order of creation, set by the collection
    sequence: int

    @property
    def id(self) -> str:
        """The identifier in Connect's format."""

    @property
    def status(self) -> str:
        """The status in lower case, also where documents show it in capitals."""

    @property
    def product_id(self) -> str:
        """The product it belongs to."""

    def lookup_values(self) -> dict[str, str]:
        """Fields with few records a value, which get an index."""

    def values(self, field: str) -> list[Any]:
        """Every value under a canonical field name."""


R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Page(Generic[R]):
    """A part of the result of a query."""

    records: list[R]
    offset: int
    total: int

    def content_range(self) -> str:
        """The header Connect sends: first and last index, both counted from zero, and the total."""
        last = self.offset + max(len(self.records) - 1, 0)
        return f"items {self.offset}-{last}/{self.total}"


class Collection(Generic[R]):
    """Objects of one kind.

    Args:
        what: The name for messages.
        product_field: The canonical field that holds the product's id.
        created_field: The canonical field that grows with the order of creation.
    """

    def __init__(self, what: str, product_field: str, created_field: str = "created") -> None:
        self.what = what
        self._product_field = product_field
        self._created_field = created_field
        self._by_id: dict[str, R] = {}
        self._by_sequence: list[R] = []
        self._buckets: dict[tuple[str, str], dict[int, R]] = {}
        self._lookups: dict[str, dict[str, list[R]]] = {}

    def __len__(self) -> int:
        return len(self._by_sequence)

    def __iter__(self) -> Iterator[R]:
        return iter(self._by_sequence)

    def __contains__(self, record_id: object) -> bool:
        return record_id in self._by_id

    def add(self, record: R) -> R:
        """Append a record; its id must be new."""
        record.sequence = len(self._by_sequence)
        self._by_sequence.append(record)
        self._by_id[record.id] = record
        self._bucket(record)[record.sequence] = record
        for field, value in record.lookup_values().items():
            self._lookups.setdefault(field, {}).setdefault(value, []).append(record)
        return record

    def get(self, record_id: str) -> R:
        """The record with this id.

        Raises:
            NotFoundError: There is none.
        """
        try:
            return self._by_id[record_id]
        except KeyError:
            raise NotFoundError(f"{self.what} {record_id}") from None

    def find(self, field: str, value: str) -> list[R]:
        """The records that name ``value`` in one of their lookup fields, oldest first."""
        return self._lookups.get(field, {}).get(value, [])

    def count_by_status(self) -> Counter[str]:
        """How many records are in each status."""
        counts: Counter[str] = Counter()
        for (status, _), bucket in self._buckets.items():
            counts[status] += len(bucket)
        return +counts

    def remove_from_index(self, record: R) -> None:
        """Must be called before the status of a record changes."""
        self._bucket(record).pop(record.sequence)

    def add_to_index(self, record: R) -> None:
        """Must be called after the status of a record has changed."""
        self._bucket(record)[record.sequence] = record

    def select(self, query: Query) -> Page[R]:
        """The page of records that a query asks for; newest first unless it orders otherwise."""
        candidates, rest = self._candidates(query.where.terms)
        matches = [r for r in candidates if all(satisfies(t, r.values) for t in rest)]
        self._sort(matches, query.ordering)
        return Page(matches[query.offset : query.offset + query.limit], query.offset, len(matches))

    def _bucket(self, record: R) -> dict[int, R]:
        return self._buckets.setdefault((record.status, record.product_id), {})

    def _candidates(self, terms: tuple[Term, ...]) -> tuple[Iterable[R], list[Term]]:
        """The records of the narrowest index, and the terms that are still to be checked."""
        for term in terms:
            wanted = _wanted(term)
            if wanted and wanted[0] == "id":
                return [self._by_id[i] for i in wanted[1] if i in self._by_id], list(terms)
            if wanted and wanted[0] in self._lookups:
                index = self._lookups[wanted[0]]
                return [r for value in wanted[1] for r in index.get(value, [])], list(terms)
        statuses, rest = _narrow("status", list(terms))
        products, rest = _narrow(self._product_field, rest)
        return self._from_buckets(statuses, products), rest

    def _from_buckets(self, statuses: set[str] | None, products: set[str] | None) -> list[R]:
        records: list[R] = []
        for (status, product), bucket in self._buckets.items():
            if (statuses is None or status in statuses) and (
                products is None or product in products
            ):
                records.extend(bucket.values())
        return records

    def _sort(self, records: list[R], ordering: tuple[tuple[str, bool], ...]) -> None:
        records.sort(key=_sequence, reverse=True)
        for field, descending in reversed(ordering):
            if field == self._created_field:
                records.sort(key=_sequence, reverse=descending)
            else:
                records.sort(key=_by_value(field), reverse=descending)


def _by_value(field: str) -> Callable[[Record], tuple[int, Any]]:
    return lambda record: sort_key(record.values(field)[0])


def _sequence(record: Record) -> int:
    return record.sequence


def _wanted(term: Term) -> tuple[str, set[str]] | None:
    """The field and the values of a term that only equality can satisfy."""
    if isinstance(term, Comparison) and term.operator == "eq" and isinstance(term.value, str):
        return term.field, {term.value}
    if isinstance(term, Membership) and not term.negated:
        texts = {value for value in term.values if isinstance(value, str)}
        return (term.field, texts) if len(texts) == len(set(term.values)) else None
    return None


def _narrow(field: str, terms: list[Term]) -> tuple[set[str] | None, list[Term]]:
    """Intersect the equality terms over one field; the other terms remain."""
    allowed: set[str] | None = None
    rest: list[Term] = []
    for term in terms:
        wanted = _wanted(term)
        if wanted and wanted[0] == field:
            allowed = wanted[1] if allowed is None else allowed & wanted[1]
        else:
            rest.append(term)
    return allowed, rest


def page_of(
    collection: Collection[R], request: Request, names: "FieldNames", show: Callable[[R], Json]
) -> Response:
    """Respond with the page of a collection that the query asks for."""
    query = rql.parse(request.query, names)
    hidden, page = names.hidden(query), collection.select(query)
    return Response(
        content=[_without(show(record), hidden) for record in page.records],
        headers={"Content-Range": page.content_range()},
    )


def page_of_documents(documents: list[Json], request: Request, names: "FieldNames") -> Response:
    """Do the same for a few documents that are in no collection."""
    query = rql.parse(request.query, names)
    hidden = names.hidden(query)
    matches = [d for d in documents if satisfies(query.where, _resolver(d))]
    for field, descending in reversed(query.ordering):
        matches.sort(key=_by_document_value(field), reverse=descending)
    shown = matches[query.offset : query.offset + query.limit]
    page: Page[Any] = Page(shown, query.offset, len(matches))
    shown = [_without(document, hidden) for document in shown]
    return Response(content=shown, headers={"Content-Range": page.content_range()})


def _without(document: Json, paths: Iterable[list[str]]) -> Json:
    """Return the document without these fields; the parts that it shares with others stay."""
    for name, *rest in paths:
        if not rest:
            document = {key: value for key, value in document.items() if key != name}
        elif isinstance(document.get(name), dict):
            document = {**document, name: _without(document[name], [rest])}
    return document


def _resolver(document: Json) -> Callable[[str], list[Any]]:
    return lambda field: values_at(document, field)


def _by_document_value(field: str) -> Callable[[Json], tuple[int, Any]]:
    return lambda document: sort_key(values_at(document, field)[0])


# ---- the fields by which each collection may be filtered and ordered: the query parameters of the
# API description (version 37.0), as far as the objects here have them. `__` may stand for `.`.


def _under(prefix: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{prefix}.{name}" for name in names)


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_PARTIES = _names("provider.id provider.name vendor.id vendor.name")

ASSETS = _names(
    """
    id status external_id external_uid product.id product.name contract.id
    marketplace.id marketplace.name items.id items.mpn params.id params.value
    events.created.at events.updated.at
    connection.id connection.type connection.hub.id connection.hub.name
    connection.provider.id connection.provider.name connection.vendor.id connection.vendor.name
    tiers.customer.id tiers.customer.name tiers.customer.external_id tiers.customer.external_uid
    tiers.tier1.id tiers.tier2.id
    """
)
REQUESTS = (
    *_names(
        """
        id type status created updated activation_key assignee assignee.email note
        contract.id marketplace.id marketplace.name template.id
        """
    ),
    *_under("asset", *ASSETS),
)
TIER_CONFIGS = _names(
    """
    id name status tier_level account.id account.external_id account.external_uid
    product.id product.name contract.id marketplace.id marketplace.name
    params.id params.value template.id connection.type
    """
)
TIER_REQUESTS = (
    *_names(
        """
        id type status created updated environment assignee.id assignee.name unassigned
        template.id
        params.id params.value events.created.at events.pended.at
        """
    ),
    *_under("configuration", *TIER_CONFIGS),
)
LISTINGS = (
    *_names(
        """
        id status created updated contract.id contract.marketplace.id contract.marketplace.name
        product.id product.name
        """
    ),
    *_PARTIES,
)
USAGE_FILES = (
    *_names(
        """
        id status name external_id environment events.created.at contract.id contract.name
        product.id product.name marketplace.id marketplace.name
        """
    ),
    *_PARTIES,
)
CONVERSATIONS = _names("id instance_id created events.created.at")
PRODUCTS = _names("id name status version owner.id category.id")
TEMPLATES = _names("id name scope type")
CONFIGURATIONS = _names(
    """
    value parameter.id parameter.scope parameter.title item.id item.name
    marketplace.id marketplace.name
    """
)
WEBHOOKS = _names("id active description label product.id product.name type")
MESSAGES = _names("id text type created events.created.at events.created.by.id")

#: Older names that the API still takes, by the collection that knows them.
_ALIASES = {
    REQUESTS: {
        "asset_id": "asset.id",
        "product_id": "asset.product.id",
        "asset.hub.id": "asset.connection.hub.id",
        "assignee.id": "assignee",
        "asset.tier1_id": "asset.tiers.tier1.id",
        "asset.tier2_id": "asset.tiers.tier2.id",
    },
    ASSETS: {
        "hub.id": "connection.hub.id",
        "hub.name": "connection.hub.name",
        "created": "events.created.at",
        "updated": "events.updated.at",
        "asset.product.id": "product.id",
    },
    TIER_REQUESTS: {"configuration": "configuration.id"},
    LISTINGS: {
        "marketplace.id": "contract.marketplace.id",
        "marketplace.name": "contract.marketplace.name",
    },
    USAGE_FILES: {
        "product_id": "product.id",
        "provider_id": "provider.id",
        "vendor_id": "vendor.id",
        "marketplace_id": "marketplace.id",
        "distribution_contract_id": "contract.id",
        "created.at": "events.created.at",
    },
}


#: Fields that can be selected and not filtered by. Every other field can be selected too, and so
#: can every object that has such a field.
_SELECTED_ONLY = {
    REQUESTS: _names("asset.configuration asset.product.capabilities"),
    ASSETS: _names("configuration template pending_request pending_request.template"),
    TIER_REQUESTS: _names("configuration.configuration configuration.product.capabilities tiers"),
}


@dataclass(frozen=True, eq=False)
class FieldNames:
    """The fields of one collection, by all their names."""

    known: frozenset[str]
    aliases: dict[str, str]
    #: what ``select(…)`` may name
    selectable: frozenset[str]

    def __call__(self, name: str) -> str:
        """Return the collection's own name of a field.

        Raises:
            BadRequestError: It has no such field.
        """
        dotted = name.replace("__", ".")
        dotted = self.aliases.get(name, self.aliases.get(dotted, dotted))
        if dotted not in self.known:
            raise BadRequestError(f"Bad filter query: unknown field '{name}'.", code="RQL_001")
        return dotted

    def hidden(self, query: Query) -> list[list[str]]:
        """Return the paths of the fields that the query leaves out.

        Raises:
            BadRequestError: It selects what the collection does not have.
        """
        names = [text.lstrip("+-") for text in query.select]
        if unknown := [name for name in names if name not in self.selectable]:
            raise BadRequestError(f"Bad select filter: {unknown[0]}.", code="RQL_001")
        return [text[1:].split(".") for text in query.select if text.startswith("-")]


def names_of(collection: tuple[str, ...]) -> FieldNames:
    """Return the field names of one of the collections above."""
    selectable = {*collection, *_SELECTED_ONLY.get(collection, ())}
    for name in collection:
        *objects, _ = name.split(".")
        selectable.update(".".join(objects[:length]) for length in range(1, len(objects) + 1))
    return FieldNames(frozenset(collection), _ALIASES.get(collection, {}), frozenset(selectable))

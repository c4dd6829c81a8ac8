"""Holds one kind of objects in the order they came, and answers queries over them.

Records are kept by (status, product), the two fields every poll filters by, so that one page of
a hundred thousand pending requests costs a sort of integers and not a look at every request.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from connect_worker.sandbox.errors import NotFoundError
from connect_worker.sandbox.rql import Comparison, Membership, Query, Term, satisfies, sort_key

# Lays one JSON document over another.

Json = dict[str, Any]

#: The fields of a parameter that a PUT may change; the rest belongs to the product.
CHANGEABLE = ("value", "value_error", "structured_value", "structured_error")


def merge(base: Json, over: Json) -> Json:
    """A new document: objects are merged field by field, parameters by id, the rest is replaced."""
    merged = dict(base)
    for name, value in over.items():
        present = merged.get(name)
        if isinstance(value, dict) and isinstance(present, dict):
            merged[name] = merge(present, value)
        elif name == "params" and isinstance(value, list) and isinstance(present, list):
            changes = {p["id"]: p for p in value if isinstance(p, dict) and "id" in p}
            known = {p["id"] for p in present}
            merged[name] = [merge(p, changes.get(p["id"], {})) for p in present] + [
                p for key, p in changes.items() if key not in known
            ]
        else:
            merged[name] = value
    return merged


def change_params(params: list[Json], changes: dict[str, Json]) -> list[Json]:
    """The parameters with the put values over the seeded ones."""
    return [{**param, **changes.get(param["id"], {})} for param in params]


def values_at(document: Any, path: str) -> list[Any]:
    """All values under a dotted path of a JSON document; lists are entered.

    A missing or null step gives ``[None]``, as a database would for a filter.
    """
    return list(_walk(document, path.split("."))) or [None]


def _walk(node: Any, steps: list[str]) -> Iterator[Any]:
    if isinstance(node, list):
        for element in node:
            yield from _walk(element, steps)
    elif not steps:
        yield node
    elif isinstance(node, dict):
        yield from _walk(node.get(steps[0]), steps[1:])


class Record(Protocol):
    """What a collection needs to know of the things it holds."""

    #: place in the collection's order of creation, given by the collection
    sequence: int

    @property
    def id(self) -> str:
        """The identifier in Connect's format."""

    @property
    def status(self) -> str:
        """The status in lower case, however it is shown."""

    @property
    def product_id(self) -> str:
        """The product it belongs to."""

    def lookup_values(self) -> dict[str, str]:
        """Fields with few records per value, by which queries find them at once."""

    def values(self, field: str) -> list[Any]:
        """Every value under a canonical field name."""


R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Page(Generic[R]):
    """A part of a query's result."""

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
        what: the name for messages.
        product_field: the canonical field that holds the product's id.
        created_field: the canonical field that grows with the order of creation.
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
            NotFoundError: there is none.
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

    def leave_bucket(self, record: R) -> None:
        """To be called before a record's status changes."""
        self._bucket(record).pop(record.sequence)

    def enter_bucket(self, record: R) -> None:
        """To be called after a record's status changed."""
        self._bucket(record)[record.sequence] = record

    def select(self, query: Query) -> Page[R]:
        """The page of records that a query asks for; newest first unless it orders otherwise."""
        candidates, rest = self._candidates(query.where.terms)
        chosen = [r for r in candidates if all(satisfies(t, r.values) for t in rest)]
        self._sort(chosen, query.ordering)
        return Page(chosen[query.offset : query.offset + query.limit], query.offset, len(chosen))

    def _bucket(self, record: R) -> dict[int, R]:
        return self._buckets.setdefault((record.status, record.product_id), {})

    def _candidates(self, terms: tuple[Term, ...]) -> tuple[Iterable[R], list[Term]]:
        """Records from the narrowest index, and the terms that still have to be checked."""
        for term in terms:
            wanted = _wanted(term)
            if wanted and wanted[0] == "id":
                return [self._by_id[i] for i in wanted[1] if i in self._by_id], list(terms)
            if wanted and wanted[0] in self._lookups:
                found = self._lookups[wanted[0]]
                return [r for value in wanted[1] for r in found.get(value, [])], list(terms)
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

"""Filters to RQL, the query language of Connect's collections.

A processor's `filters()` may return RQL text, which is sent as it is, a `connect_worker.rql.Query`,
or a mapping in any of the spellings that the SDK's users have written over the years::

    {"status": "pending"}                         eq(status,pending)
    {"status": ["ready", "pending"]}              in(status,(ready,pending))
    {"asset.product.id__in": "PRD-1,PRD-2"}       in(asset.product.id,(PRD-1,PRD-2))
    {"asset__product__id": "PRD-1"}               eq(asset.product.id,PRD-1)
    {"created__gt": "2026-01-01"}                 gt(created,2026-01-01)
    {"name__contains": "a b"}                     like(name,'*a%20b*')
    {"limit": 10, "order_by": "-created,id"}      limit=10&ordering(-created,id)

A filter whose value is None is left out. What may stand unquoted, and that a quoted value knows no
escapes, is the grammar of `py-rql`, the vendor's own reader of RQL.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Protocol
from urllib.parse import quote, unquote

#: The Django-style suffixes of the 2019 filters and the RQL operators that they mean.
OPERATORS: Mapping[str, str] = {
    "exact": "eq",
    "eq": "eq",
    "ne": "ne",
    "in": "in",
    "out": "out",
    "gt": "gt",
    "gte": "ge",
    "ge": "ge",
    "lt": "lt",
    "lte": "le",
    "le": "le",
    "like": "like",
    "ilike": "ilike",
    "contains": "like",
    "icontains": "ilike",
}

#: A value that may stand in RQL without quotes.
_PLAIN = re.compile(r"[\w*+-][\w.:@*+-]*", re.ASCII)

_STATUS = re.compile(r"\beq\(status,([^()]*)\)|(?:^|[&|;(])status=(?:eq=)?([^&|;()]*)")
_STATUSES = re.compile(r"\bin\(status,\(([^()]*)\)\)|(?:^|&)status__in=([^&]*)")
_PAGING = re.compile(r"(?:limit|offset)=.*|limit\(.*\)")
_PAGE_SIZE = re.compile(r"limit[=(](\d+)")


class Compiled(Protocol):
    """What makes its own RQL, such as `connect_worker.rql.Query`."""

    def compile(self) -> str:
        """Return the query string; it may begin with a question mark."""


#: Whatever may stand for the filters of a collection.
Filters = str | Mapping[str, object] | Compiled | None


def to_query(filters: Filters) -> str:
    """Return the query string of filters; "" for none.

    Raises:
        ValueError: A filter's list is empty, or a value has both kinds of quotation marks: neither
            can be said in RQL.
    """
    if not filters:
        return ""
    if isinstance(filters, Mapping):
        terms = (to_term(name, value) for name, value in filters.items() if value is not None)
        return "&".join(terms)
    return (filters if isinstance(filters, str) else filters.compile()).lstrip("?")


def without_paging(query: str) -> tuple[str, int | None]:
    """Take `limit` and `offset` out of a query; returns the rest and the limit, if there was one.

    Who reads all pages chooses the offsets, and takes the limit as the size of a page.
    """
    parts = query.split("&")
    paging = [part for part in parts if _PAGING.fullmatch(part)]
    sizes = [int(size) for part in paging for size in _PAGE_SIZE.findall(part)]
    rest = "&".join(part for part in parts if part not in paging)
    return rest, sizes[-1] if sizes else None


def statuses_of(filters: Filters) -> frozenset[str]:
    """Return the statuses that the filters ask for, in lower case; empty when they name none."""
    query = unquote(_without_negations(to_query(filters)))
    found = [value for pair in _STATUS.findall(query) for value in pair]
    for pair in _STATUSES.findall(query):
        found += [value for group in pair for value in group.split(",")]
    return frozenset(filter(None, (status.strip(" '\"").lower() for status in found)))


def _without_negations(query: str) -> str:
    """Cut out each `not(…)`: what it names is not asked for."""
    while found := re.search(r"\bnot\(", query):
        depth, end = 1, found.end()
        while depth and end < len(query):
            depth += {"(": 1, ")": -1}.get(query[end], 0)
            end += 1
        query = query[: found.start()] + query[end:]
    return query


def to_term(name: str, value: object) -> str:
    """Return one filter of a mapping as RQL; raises as `to_query` does."""
    if name in ("limit", "offset"):
        return f"{name}={value}"
    if name in ("order_by", "ordering"):
        fields = [field.strip() for item in _items(value) for field in str(item).split(",")]
        return f"ordering({','.join(quote(field, safe='.-') for field in fields if field)})"
    field, operator = _split(name)
    if _is_list(value) or operator in ("in", "out"):
        operator = "out" if operator in ("ne", "out") else "in"
        texts = [_text(item) for item in _items(value, separator=",") if item is not None]
        if not texts:
            raise ValueError(f"the filter {name!r} is an empty list, which Connect can't look for")
        return f"{operator}({field},({','.join(texts)}))"
    if name.endswith("contains"):
        # A star in the text means itself; those around it stand for anything.
        value = "*" + str(value).replace("*", r"\*") + "*"
    return f"{operator}({field},{_text(value)})"


def _is_list(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))


def _items(value: object, separator: str = "") -> Iterator[object]:
    """Give the values of a list, or the parts of a text."""
    if isinstance(value, Iterable) and not isinstance(value, str):
        yield from value
    elif separator:
        yield from (part.strip() for part in str(value).split(separator) if part.strip())
    else:
        yield value


def _split(name: str) -> tuple[str, str]:
    """Split `asset__product__id__in` into the dotted field and its operator."""
    parts = name.replace("__", ".").split(".")
    if len(parts) > 1 and parts[-1] in OPERATORS:
        return ".".join(parts[:-1]), OPERATORS[parts[-1]]
    return ".".join(parts), "eq"


def _text(value: object) -> str:
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, date):
        text = value.isoformat()
    else:
        text = str(value)
    if _PLAIN.fullmatch(text):
        return quote(text, safe=".:*@-_")
    # Single ones first: HTTP libraries send them as they are, so that a reader which splits the
    # query before it decodes it knows where a value begins and ends.
    for mark, sent in (("'", "'"), ('"', "%22")):
        if mark not in text:
            return f"{sent}{quote(text, safe='*')}{sent}"
    raise ValueError(f"a value with both ' and \" in it can't be looked for: {text!r}")

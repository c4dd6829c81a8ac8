"""Filters as RQL, the query language of Connect's collections.

Everything that takes filters takes one of three forms: RQL text, which is sent as it is; a `Query`,
which is put together step by step as in later releases of the SDK; or a mapping, in any of the
spellings that users of the SDK have written over the years::

    {"status": "pending"}                         eq(status,pending)
    {"status": ["ready", "pending"]}              in(status,(ready,pending))
    {"asset.product.id__in": "PRD-1,PRD-2"}       in(asset.product.id,(PRD-1,PRD-2))
    {"asset__product__id": "PRD-1"}               eq(asset.product.id,PRD-1)
    {"created__gt": "2026-01-01"}                 gt(created,2026-01-01)
    {"name__contains": "a b"}                     like(name,'*a%20b*')
    {"limit": 10, "order_by": "-created,id"}      limit=10&ordering(-created,id)

A filter whose value is None is left out. Values are quoted where RQL needs it, so that a space, a
comma or a bracket in a value is part of the value. Which values need quotation marks, and that a
quoted value knows no escapes, is the grammar of `lib-rql`, the vendor's own parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final, Protocol, Self
from urllib.parse import quote, unquote

__all__ = ["Query"]

#: The Django-style suffixes of the 2019 filters, and their RQL operators.
OPERATORS: Final[Mapping[str, str]] = {
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
#: The operators with one filter a property, in the order in which a query lists them.
_ONE_PER_PROPERTY: Final = ("like", "ilike", "in", "out")
#: The two values without a text.
_CONSTANTS: Final = ("null()", "empty()")

#: A value that needs no quotation marks in RQL.
_PLAIN = re.compile(r"[\w*+-][\w.:@*+-]*", re.ASCII)
#: The start of a tuple, `t(...)`: the only operator whose name RQL does not take as a value.
_TUPLE: Final = "t"

_STATUS = re.compile(r"\beq\(status,([^()]*)\)|(?:^|[&|;(])status=(?:eq=)?([^&|;()]*)")
_STATUSES = re.compile(r"\bin\(status,\(([^()]*)\)\)|(?:^|&)status__in=([^&]*)")
_BRACKETS = re.compile(r"\bnot\(|[()]")
_PAGING = re.compile(r"(?:limit|offset)=.*|limit\(.*\)")
_PAGING_NUMBER = re.compile(r"(limit|offset)[=(](\d+)")


class Query:
    """Filters, an ordering and a page in RQL; each method returns the query itself.

    Everything that takes filters takes a query, and an automation's `filters` may return one::

        Query().equal("status", "pending").in_("asset.product.id", ["PRD-1", "PRD-2"])

    `like`, `ilike`, `in_` and `out` keep one filter a property: the last call counts. A change of a
    copy (`copy.copy`) does not change the original.

    Args:
        properties: The first filters, in any spelling that a mapping of filters may have. For
            `select`, `ordering`, `order_by`, `limit` and `offset`, the value is what the method of
            that name takes. So it is for `like`, `ilike`, `in` and `out` with a mapping.

    Raises:
        ValueError: RQL has no form for a value: an empty list, or a text with both kinds of
            quotation marks. Each method raises it too.

    Examples:
        >>> str(Query().in_("status", ["pending", "approved"]).limit(10))
        '?in(status,(pending,approved))&limit=10'
    """

    def __init__(self, properties: Mapping[str, object] | None = None) -> None:
        # Replaced and never changed in place, so that a copy does not share them with its original.
        self._filters: dict[tuple[str, str], str] = {}
        self._terms: tuple[str, ...] = ()
        self._words: dict[str, str] = {}
        for name, value in (properties or {}).items():
            if value is not None:
                self._add_property(name, value)
        if isinstance(properties, Query):
            self._filters |= properties._filters
            self._terms += properties._terms
            self._words |= properties._words

    def equal(self, prop: str, value: object) -> Self:
        """Ask for objects whose property is the value; None asks for objects without a value."""
        return self._compare("eq", prop, value)

    def not_equal(self, prop: str, value: object) -> Self:
        """Ask for objects whose property is not the value."""
        return self._compare("ne", prop, value)

    def greater(self, prop: str, value: object) -> Self:
        """Ask for objects whose property is greater."""
        return self._compare("gt", prop, value)

    def greater_equal(self, prop: str, value: object) -> Self:
        """Ask for objects whose property is greater or equal."""
        return self._compare("ge", prop, value)

    def lesser(self, prop: str, value: object) -> Self:
        """Ask for objects whose property is less."""
        return self._compare("lt", prop, value)

    def lesser_equal(self, prop: str, value: object) -> Self:
        """Ask for objects whose property is less or equal."""
        return self._compare("le", prop, value)

    def in_(self, prop: str, values: Sequence[object]) -> Self:
        """Ask for objects whose property is one of the values; the last call counts."""
        return self._set_filter("in", prop, values)

    def out(self, prop: str, values: Sequence[object]) -> Self:
        """Ask for objects whose property is none of the values; the last call counts."""
        return self._set_filter("out", prop, values)

    def like(self, prop: str, pattern: str) -> Self:
        """Ask for objects whose property is like the pattern; the last call counts.

        Args:
            prop: The property.
            pattern: A text in which ``*`` stands for any text and ``%2A`` for a star.
        """
        return self._set_filter("like", prop, _encode_star(pattern))

    def ilike(self, prop: str, pattern: str) -> Self:
        """Do the same as `like`, and ignore the case."""
        return self._set_filter("ilike", prop, _encode_star(pattern))

    def select(self, attributes: Sequence[str]) -> Self:
        """Ask for these attributes and related objects, and no others."""
        return self._set_word("select", f"select({','.join(attributes)})")

    def ordering(self, props: str | Sequence[str]) -> Self:
        """Order by these properties in this order; ``-`` before a property means descending."""
        return self._set_word("ordering", to_term("ordering", props))

    def order_by(self, prop: str) -> Self:
        """Order by one property, after the properties of `ordering`."""
        return self._set_word("order_by", to_term("ordering", prop))

    def limit(self, amount: int) -> Self:
        """Set how many objects a list may have; in `filters`, the size of the poll's pages."""
        return self._set_word("limit", f"limit={int(amount)}")

    def offset(self, page: int) -> Self:
        """Set how many objects a list leaves out at its beginning; a poll ignores it."""
        return self._set_word("offset", f"offset={int(page)}")

    def asks_for(self, prop: str) -> bool:
        """Whether one of the filters is about this property."""
        texts = (*self._filters.values(), *self._terms)
        return any(text.partition("(")[2].startswith(f"{prop},") for text in texts)

    def compile(self) -> str:
        """Return the query string with a question mark before it; "" for an empty query."""
        once = sorted(self._filters, key=lambda key: _ONE_PER_PROPERTY.index(key[0]))
        terms = [*(self._filters[key] for key in once), *self._terms]
        words = ("ordering", "limit", "order_by", "offset")
        parts = [
            *(self._words[word] for word in ("select",) if word in self._words),
            *terms,
            *(self._words[word] for word in words if word in self._words),
        ]
        return f"?{'&'.join(parts)}" if parts else ""

    def __str__(self) -> str:
        return self.compile()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.compile()}>"

    def _add_property(self, name: str, value: object) -> None:
        if name in ("select", "ordering", "order_by", "limit", "offset"):
            getattr(self, name)(value)
        elif name in _ONE_PER_PROPERTY and isinstance(value, Mapping):
            for prop, argument in value.items():
                getattr(self, "in_" if name == "in" else name)(prop, argument)
        else:
            self._terms = (*self._terms, to_term(name, value))

    def _compare(self, operator: str, prop: str, value: object) -> Self:
        text = "null()" if value is None else value
        is_constant = isinstance(text, str) and text in _CONSTANTS
        term = (
            f"{operator}({prop},{text})" if is_constant else to_term(f"{prop}__{operator}", value)
        )
        self._terms = (*self._terms, term)
        return self

    def _set_filter(self, operator: str, prop: str, value: object) -> Self:
        self._filters = {**self._filters, (operator, prop): to_term(f"{prop}__{operator}", value)}
        return self

    def _set_word(self, word: str, text: str) -> Self:
        self._words = {**self._words, word: text}
        return self


class QueryFilters(dict[str, Any], Query):
    """An automation's filters: a mapping, as in the SDK's earlier releases, and a `Query`.

    Filters that a method adds come after those of the mapping.

    Examples:
        >>> filters = QueryFilters({"status": "pending"})
        >>> filters["type"] = "purchase"
        >>> str(filters.not_equal("asset.connection.type", "test"))
        '?eq(status,pending)&eq(type,purchase)&ne(asset.connection.type,test)'
    """

    def __init__(self, filters: Mapping[str, object]) -> None:
        dict.__init__(self, filters)
        Query.__init__(self)

    def __bool__(self) -> bool:
        return bool(self.compile())

    def asks_for(self, prop: str) -> bool:
        """Whether one of the filters is about this property."""
        return prop in {_split(name)[0] for name in self} or super().asks_for(prop)

    def compile(self) -> str:
        """Return the query string with a question mark before it; "" for an empty query."""
        parts = (to_query(dict(self)), super().compile().lstrip("?"))
        text = "&".join(part for part in parts if part)
        return f"?{text}" if text else ""

    def _set_filter(self, operator: str, prop: str, value: object) -> Self:
        if operator == "in":
            # The last list counts, also where the first one is the default filter's.
            self.pop(prop, None)
        return super()._set_filter(operator, prop, value)


class Compiled(Protocol):
    """An object that makes its own RQL, such as a `Query`."""

    def compile(self) -> str:
        """Return the query string; it may begin with a question mark."""


#: The filters of a collection, in each form that is accepted.
Filters = str | Mapping[str, object] | Compiled | None


def to_query(filters: Filters) -> str:
    """Return the query string of filters; "" for none.

    Raises:
        ValueError: A filter's list is empty, or a value has both kinds of quotation marks. RQL has
            no form for either.
    """
    if not filters:
        return ""
    if isinstance(filters, Mapping) and not isinstance(filters, Query):
        terms = (to_term(name, value) for name, value in filters.items() if value is not None)
        return "&".join(terms)
    return (filters if isinstance(filters, str) else filters.compile()).lstrip("?")


def to_term(name: str, value: object) -> str:
    """Return one filter of a mapping as RQL; raises the errors of `to_query`."""
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
        # A star in the text is escaped; the stars around it match anything.
        value = "*" + str(value).replace("*", r"\*") + "*"
    return f"{operator}({field},{_text(value)})"


def _is_list(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))


def _items(value: object, separator: str = "") -> Iterator[object]:
    """Yield the values of a list, or the parts of a text."""
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
    if _PLAIN.fullmatch(text) and text != _TUPLE:
        return quote(text, safe=".:*@-_")
    # Single quotation marks first: HTTP libraries do not encode them. So a parser that splits the
    # query before it decodes it sees where a value begins and ends.
    for mark, sent in (("'", "'"), ('"', "%22")):
        if mark not in text:
            return f"{sent}{quote(text, safe='*')}{sent}"
    raise ValueError(f"a value with both ' and \" in it can't be looked for: {text!r}")


def _encode_star(pattern: str) -> str:
    """Escape an encoded star: `%2A` is what users of the SDK write for a star in the text."""
    return pattern.replace("%2A", r"\*").replace("%2a", r"\*")


def statuses_of(filters: Filters) -> frozenset[str]:
    """Return the statuses that the filters ask for, in lower case; empty when they name none."""
    query = unquote(_without_negations(to_query(filters)))
    texts = [value for pair in _STATUS.findall(query) for value in pair]
    for pair in _STATUSES.findall(query):
        texts += [value for group in pair for value in group.split(",")]
    return frozenset(filter(None, (text.strip(" '\"").lower() for text in texts)))


def _without_negations(query: str) -> str:
    """Cut out each `not(...)`: a status in it is not asked for."""
    kept, start, depth = [], 0, 0
    for bracket in _BRACKETS.finditer(query):
        if depth == 0 and bracket[0] == "not(":
            kept.append(query[start : bracket.start()])
            depth, start = 1, len(query)
        elif depth:
            depth += -1 if bracket[0] == ")" else 1
            start = bracket.end() if depth == 0 else len(query)
    return "".join([*kept, query[start:]])


def without_paging(query: str) -> tuple[str, int | None, int | None]:
    """Take the paging out of a query: return the rest, the `limit` and the `offset`.

    Each is None if the query has none. A limit of 0 is none, as it was for the SDK.
    """
    parts = query.split("&")
    paging = [part for part in parts if _PAGING.fullmatch(part)]
    asked = {name: int(text) for part in paging for name, text in _PAGING_NUMBER.findall(part)}
    rest = "&".join(part for part in parts if part not in paging)
    return rest, asked.get("limit") or None, asked.get("offset")

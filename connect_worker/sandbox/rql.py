"""Reads the query string of a collection into filters, an ordering and a page.

Connect documents RQL for its collections, and still takes the plain ``field=value`` and
Django-like ``field__in=a,b`` filters of its first years; both may stand in one query. The whole
query string is RQL to Connect, so ``limit=10`` and ``ordering(…)`` stand among the filters.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote, unquote_plus

from connect_worker.sandbox.errors import BadRequestError

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000


class Nothing(Enum):
    """The two values without a text: ``null()`` and ``empty()``."""

    NULL = "null()"
    EMPTY = "empty()"


Value = str | Nothing


@dataclass(frozen=True)
class Comparison:
    """``operator(field,value)`` for eq, ne, gt, ge, lt, le, like and ilike."""

    operator: str
    field: str
    value: Value


@dataclass(frozen=True)
class Membership:
    """``in(field,(a,b))``, or ``out`` when negated."""

    field: str
    values: tuple[Value, ...]
    negated: bool = False


@dataclass(frozen=True)
class Every:
    """All terms hold; no term at all holds for everything."""

    terms: tuple["Term", ...]


@dataclass(frozen=True)
class Either:
    """At least one term holds."""

    terms: tuple["Term", ...]


@dataclass(frozen=True)
class Negation:
    """The term does not hold."""

    term: "Term"


Term = Comparison | Membership | Every | Either | Negation


@dataclass(frozen=True)
class Query:
    """One read of a collection."""

    where: Every = Every(())
    #: (field, descending) in order of weight
    ordering: tuple[tuple[str, bool], ...] = ()
    limit: int = DEFAULT_LIMIT
    offset: int = 0


#: Turns a field name as written into the name the collection knows, or raises ``BadRequestError``.
FieldNames = Callable[[str], str]

_COMPARISONS = ("eq", "ne", "gt", "ge", "lt", "le", "like", "ilike")
_FUNCTION = re.compile(r"([A-Za-z_]\w*)\((.*)\)", re.DOTALL)
_INFIX = re.compile(r"([A-Za-z][\w.\-]*)=(?:(eq|ne|gt|ge|lt|le|like|ilike)=|=?)(.*)", re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z][\w.\-]*=[^()=]*", re.DOTALL)
_SUFFIXES = {
    "exact": "eq",
    "gt": "gt",
    "gte": "ge",
    "lt": "lt",
    "lte": "le",
    "contains": "like",
    "icontains": "ilike",
}
#: Paging and display words that Connect takes beside the filters; `search` and `select` change
#: nothing here because the sandbox always shows whole objects.
_IGNORED = frozenset({"search", "select", "format"})


def parse(query_string: str, names: FieldNames) -> Query:
    """Read a raw (still percent-encoded) query string.

    Raises:
        BadRequestError: an unknown field, unbalanced or unknown syntax, a page out of bounds.
    """
    terms: list[Term] = []
    ordering: list[tuple[str, bool]] = []
    page = {"limit": DEFAULT_LIMIT, "offset": 0}
    for segment in _split(_plain_brackets(query_string), "&"):
        word, value = _control(segment)
        if word in page:
            page[word] = _page_number(word, value)
        elif word == "limit()":
            _read_limit_call(value, page)
        elif word == "ordering":
            ordering += [_order(part, names) for part in _split(value, ",")]
        elif word not in _IGNORED:
            terms.append(_segment(segment, names))
    if page["limit"] > MAX_LIMIT:
        raise _broken(f"limit {page['limit']} is above the maximum of {MAX_LIMIT}")
    return Query(Every(tuple(terms)), tuple(ordering), page["limit"], page["offset"])


def _control(segment: str) -> tuple[str, str]:
    """Split a segment that pages, orders or selects into its word and its argument."""
    call = _FUNCTION.fullmatch(segment)
    if call and call[1] in ("ordering", "order", "select"):
        return ("select" if call[1] == "select" else "ordering"), unquote(call[2])
    if call and call[1] == "limit":
        return "limit()", unquote(call[2])
    word, _, value = segment.partition("=")
    if word in ("ordering", "order_by"):
        return "ordering", unquote(value)
    return word, unquote_plus(value)


def _read_limit_call(arguments: str, page: dict[str, int]) -> None:
    # RQL's own form is limit(count) or limit(count,start).
    count, _, start = arguments.partition(",")
    page["limit"] = _page_number("limit", count)
    if start:
        page["offset"] = _page_number("offset", start)


def _page_number(word: str, text: str) -> int:
    if not text.strip().isdigit():
        raise _broken(f"{word} must be a whole number, not '{text}'")
    return int(text)


def _order(text: str, names: FieldNames) -> tuple[str, bool]:
    text = text.strip()
    return names(text.lstrip("+-")), text.startswith("-")


def _segment(segment: str, names: FieldNames) -> Term:
    """One ``&`` part: a plain parameter keeps its whole value, everything else is RQL."""
    if _PLAIN.fullmatch(segment):
        field, _, value = segment.partition("=")
        return _plain_filter(field, unquote_plus(value), names)
    return _term(unquote(segment), names)


def _plain_filter(field: str, text: str, names: FieldNames) -> Term:
    stem, _, suffix = field.rpartition("__")
    if stem and suffix == "in":
        return Membership(names(stem), tuple(part.strip() for part in text.split(",")))
    if stem and suffix in ("isnull", "is_null"):
        wanted = text.lower() in ("true", "1")
        return Comparison("eq" if wanted else "ne", names(stem), Nothing.NULL)
    if stem and suffix in _SUFFIXES:
        operator = _SUFFIXES[suffix]
        pattern = f"*{text}*" if operator.endswith("like") else text
        return Comparison(operator, names(stem), pattern)
    return Comparison("eq", names(field), text)


def _term(text: str, names: FieldNames) -> Term:
    text = text.strip()
    if text.startswith("(") and text.endswith(")"):
        return _group(text[1:-1], names)
    call = _FUNCTION.fullmatch(text)
    if call:
        return _call(call[1], _split(call[2], ","), names)
    infix = _INFIX.fullmatch(text)
    if infix:
        return Comparison(infix[2] or "eq", names(infix[1]), _value(infix[3]))
    raise _broken(f"'{text}' is no filter")


def _group(text: str, names: FieldNames) -> Term:
    for separator in "|;":
        parts = _split(text, separator)
        if len(parts) > 1:
            return Either(tuple(_term(part, names) for part in parts))
    parts = [part for piece in _split(text, "&") for part in _split(piece, ",")]
    return Every(tuple(_term(part, names) for part in parts))


def _call(name: str, arguments: list[str], names: FieldNames) -> Term:
    if name in ("and", "or"):
        terms = tuple(_term(argument, names) for argument in arguments)
        return Every(terms) if name == "and" else Either(terms)
    if name == "not" and len(arguments) == 1:
        return Negation(_term(arguments[0], names))
    if len(arguments) != 2:
        raise _broken(f"{name}() does not take {len(arguments)} argument(s)")
    field, argument = names(arguments[0].strip()), arguments[1].strip()
    if name in _COMPARISONS:
        return Comparison(name, field, _value(argument))
    if name in ("in", "out"):
        if not (argument.startswith("(") and argument.endswith(")")):
            raise _broken(f"{name}() needs a list in brackets")
        values = tuple(_value(part) for part in _split(argument[1:-1], ","))
        return Membership(field, values, negated=name == "out")
    raise _broken(f"unknown operator '{name}'")


def _value(text: str) -> Value:
    text = text.strip()
    if text in ("null()", "empty()"):
        return Nothing(text)
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    return text


def _plain_brackets(text: str) -> str:
    """Undo the encoding of brackets and commas where they are RQL's own punctuation.

    Some HTTP libraries encode them; inside the value of a plain ``field=value`` parameter they
    are data and stay.
    """
    return "&".join(
        part
        if re.match(r"[A-Za-z][\w.\-]*=", part)
        else part.replace("%28", "(").replace("%29", ")").replace("%2C", ",").replace("%2c", ",")
        for part in text.split("&")
    )


def _split(text: str, separator: str) -> list[str]:
    """Split at the separators that stand outside brackets and quotes; drop empty parts."""
    parts, depth, quote, start = [], 0, "", 0
    for position, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "()":
            depth += 1 if char == "(" else -1
            if depth < 0:
                raise _broken("a bracket is closed that was never opened")
        elif char == separator and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    if depth or quote:
        raise _broken("a bracket or quote is not closed")
    parts.append(text[start:])
    return [part for part in parts if part.strip()]


def _broken(message: str) -> BadRequestError:
    return BadRequestError(f"Bad filter query: {message}.", code="RQL_001")

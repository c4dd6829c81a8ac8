"""RQL: reads the query string of a collection into filters, and applies filters to an object.

`lib-rql`, the vendor's own parser, reads the RQL. Connect also takes the plain ``field=value`` and
Django-like ``field__in=a,b`` parameters of its first years, and either kind may stand in one
query. They are no RQL: `_Reader.read_plain` turns them into filters, as the vendor's web framework
does before it calls the same parser.
"""

import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cache, lru_cache
from typing import Any
from urllib.parse import unquote, unquote_plus

from connect_worker.sandbox.http import BadRequestError

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000


class Constant(Enum):
    """The two values without a text."""

    NULL = "null()"
    EMPTY = "empty()"


Value = str | Constant


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
class And:
    """All terms hold; without a term it holds for everything."""

    terms: tuple["Term", ...]


@dataclass(frozen=True)
class Or:
    """At least one term holds."""

    terms: tuple["Term", ...]


@dataclass(frozen=True)
class Not:
    """The term does not hold."""

    term: "Term"


Term = Comparison | Membership | And | Or | Not

#: (field, descending) in order of weight
Ordering = tuple[tuple[str, bool], ...]


@dataclass(frozen=True)
class Query:
    """One read of a collection."""

    where: And = And(())
    ordering: Ordering = ()
    #: the fields of ``select(…)``, with their signs
    select: tuple[str, ...] = ()
    limit: int = DEFAULT_LIMIT
    offset: int = 0


#: Returns a collection's own name of a field, or raises ``BadRequestError`` for an unknown field.
FieldNames = Callable[[str], str]

_SUFFIXES = {
    "exact": "eq",
    "gt": "gt",
    "gte": "ge",
    "lt": "lt",
    "lte": "le",
    "contains": "like",
    "icontains": "ilike",
}
#: Connect takes these parameters too. The sandbox ignores them.
_IGNORED = frozenset({"search", "select", "format"})

#: A parameter that is no RQL: its value may hold anything, encoded.
_PLAIN = re.compile(r"([A-Za-z][\w.\-]*)=([^()=]*)", re.DOTALL)
#: RQL's own form of paging, which lib-rql does not know: limit(count) or limit(count,start).
_LIMIT_CALL = re.compile(r"limit\(([^(),]*)(?:,([^(),]*))?\)")
#: The characters that divide a query string, and quoted values, in which they divide nothing.
_MARKS = re.compile(r"""(?<=[(,])(?:'[^']*'|"[^"]*")|[()&]""")


@lru_cache(maxsize=1024)
def parse(query_string: str, names: FieldNames) -> Query:
    """Read a raw (still percent-encoded) query string.

    Raises:
        BadRequestError: It is no RQL, names an unknown field, or its page is out of bounds.
        ModuleNotFoundError: lib-rql is not installed.
    """
    reader = _Reader(names)
    rql = [part for part in _parts(query_string) if not reader.read_plain(part)]
    if rql:
        try:
            reader.read_rql(unquote("&".join(rql)))
        except RecursionError as error:
            raise _bad_query("the filters are nested too deeply") from error
    limit, offset = (reader.page.get(word, number) for word, number in _FIRST_PAGE)
    if limit > MAX_LIMIT:
        raise _bad_query(f"limit {limit} is above the maximum of {MAX_LIMIT}")
    ordering, select = tuple(reader.ordering), tuple(reader.select)
    return Query(And(tuple(reader.terms)), ordering, select, limit, offset)


_FIRST_PAGE = (("limit", DEFAULT_LIMIT), ("offset", 0))


def _parts(query_string: str) -> Iterator[str]:
    """Split at each ``&`` outside of brackets; empty parts are left out."""
    depth, start = 0, 0
    for mark in _MARKS.finditer(query_string):
        if mark[0] == "&" and depth <= 0:
            if start < mark.start():
                yield query_string[start : mark.start()]
            start = mark.end()
        depth += {"(": 1, ")": -1}.get(mark[0], 0)
    if start < len(query_string):
        yield query_string[start:]


class _Reader:
    """Collects what the parts of one query string say."""

    def __init__(self, names: FieldNames) -> None:
        self._names = names
        self.terms: list[Term] = []
        self.ordering: list[tuple[str, bool]] = []
        self.select: list[str] = []
        self.page: dict[str, int] = {}

    def read_plain(self, part: str) -> bool:
        """Read a part that is no RQL; False: it is RQL."""
        if call := _LIMIT_CALL.fullmatch(unquote(part)):
            self._set_page("limit", call[1])
            if call[2]:
                self._set_page("offset", call[2])
            return True
        plain = _PLAIN.fullmatch(part)
        if plain is None:
            return False
        word, text = plain.groups()
        if word in ("limit", "offset"):
            self._set_page(word, unquote_plus(text))
        elif word in ("ordering", "order_by"):
            self.ordering += [self._order(field) for field in unquote(text).split(",") if field]
        elif word not in _IGNORED:
            self.terms.append(self._plain_filter(word, unquote_plus(text)))
        return True

    def read_rql(self, text: str) -> None:
        """Read RQL, decoded.

        Raises:
            BadRequestError: Lib-rql does not accept it, or a field is unknown.
        """
        for node in _top_terms(_parse_tree(text)):
            if node.data == "ordering":
                self.ordering += [self._order(_signed(child)) for child in node.children[1:]]
            elif node.data == "comp" and _comparison(node)[:2] in _IGNORED_COMPARISONS:
                continue
            elif node.data == "select":
                self.select += map(_signed, node.children[1:])
            else:
                self.terms.append(self._term(node))

    def _set_page(self, word: str, text: str) -> None:
        if not text.strip().isdecimal():
            raise _bad_query(f"{word} must be a whole number, not '{text}'")
        self.page[word] = int(text)

    def _order(self, text: str) -> tuple[str, bool]:
        text = text.strip()
        return self._names(text.lstrip("+-")), text.startswith("-")

    def _plain_filter(self, field: str, text: str) -> Term:
        stem, _, suffix = field.rpartition("__")
        if stem and suffix == "in":
            values = tuple(part.strip() for part in text.split(","))
            return Membership(self._names(stem), values)
        if stem and suffix in ("isnull", "is_null"):
            operator = "eq" if text.lower() in ("true", "1") else "ne"
            return Comparison(operator, self._names(stem), Constant.NULL)
        if stem and suffix in _SUFFIXES:
            operator = _SUFFIXES[suffix]
            pattern = f"*{text}*" if operator.endswith("like") else text
            return Comparison(operator, self._names(stem), pattern)
        return Comparison("eq", self._names(field), _unquoted(text))

    def _term(self, node: Any) -> Term:
        node = _unwrapped(node)
        match node.data:
            case "comp":
                field, operator, value = _comparison(node)
                return Comparison(operator, self._names(field), _value(value))
            case "searching":
                operator, field, value = map(_text, node.children)
                return Comparison(operator, self._names(field), _value(value))
            case "listing":
                operator, field, *values = map(_text, node.children)
                listed = tuple(map(_value, values))
                return Membership(self._names(field), listed, negated=operator == "out")
            case "and_op":
                return And(tuple(map(self._term, node.children)))
            case "or_op":
                return Or(tuple(map(self._term, node.children)))
            case "not_op":
                return Not(self._term(node.children[0]))
            case _:
                raise _bad_query(f"{node.data} is not a filter, or stands inside another one")


# ---- the tree of lib-rql: a node has a name (`data`) and `children`, a leaf is a text

_IGNORED_COMPARISONS = frozenset((word, "eq") for word in _IGNORED)


@cache
def load_parser() -> Callable[[str], Any]:
    """Import lib-rql, which the sandbox needs and a worker does not.

    Raises:
        ModuleNotFoundError: It is not installed.
    """
    with warnings.catch_warnings():
        # Its release of lark imports `sre_parse`, deprecated since Python 3.11.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            from py_rql import parse
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "The sandbox reads RQL with lib-rql: pip install 'connect-worker[sandbox]'.",
                name=error.name,
            ) from error
    return parse  # type: ignore[no-any-return]  # lib-rql has no types


def _parse_tree(text: str) -> Any:
    parse_text = load_parser()
    from py_rql.exceptions import RQLFilterParsingError

    try:
        return parse_text(text)
    except RQLFilterParsingError as error:
        # The parser's own error knows the place, where there is one.
        column = getattr(error.__context__, "column", None)
        place = f" at character {column}" if isinstance(column, int) and column > 0 else ""
        raise _bad_query(f"'{text}' is no RQL{place}") from error


def _unwrapped(node: Any) -> Any:
    """Skip the nodes that only wrap another one."""
    while node.data in ("start", "term", "expr_term", "logical"):
        node = node.children[0]
    return node


def _top_terms(tree: Any) -> Iterator[Any]:
    """The terms that all have to hold; lib-rql nests them: ``a&b&c`` is a and (b and c)."""
    pending = list(tree.children)
    while pending:
        node = _unwrapped(pending.pop(0))
        if node.data == "and_op":
            pending = node.children + pending
        else:
            yield node


def _comparison(node: Any) -> tuple[str, str, str]:
    """The field, the operator and the value of ``eq(a,b)``, ``a=eq=b`` or ``a=b``."""
    first, *rest = node.children
    if not rest[1:]:
        return _text(first), "eq", _text(rest[0])
    if first.data == "comp_term":
        return _text(rest[0]), _text(first), _text(rest[1])
    return _text(first), _text(rest[0]), _text(rest[1])


def _signed(node: Any) -> str:
    """A field of an ordering, with its sign."""
    return "".join(map(_text, node.children))


def _text(node: Any) -> str:
    while hasattr(node, "children"):
        if node.data == "tuple":
            raise _bad_query("a tuple, t(...), is not a value here")
        node = node.children[0]
    return str(node)


def _value(text: str) -> Value:
    if text in ("null()", "empty()"):
        return Constant(text)
    return _unquoted(text)


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _bad_query(message: str) -> BadRequestError:
    return BadRequestError(f"Bad filter query: {message}.", code="RQL_001")


# ---- applying a filter to an object

#: Returns every value under a dotted field name; several when there is a list on the path.
Resolve = Callable[[str], list[Any]]


def satisfies(term: Term, resolve: Resolve) -> bool:
    """Whether a term selects the object whose values ``resolve`` returns."""
    match term:
        case Comparison():
            return _compare(term, resolve(term.field))
        case Membership():
            is_in = any(_equal(value, w) for value in resolve(term.field) for w in term.values)
            return is_in != term.negated
        case And():
            return all(satisfies(part, resolve) for part in term.terms)
        case Or():
            return any(satisfies(part, resolve) for part in term.terms)
        case Not():
            return not satisfies(term.term, resolve)


def sort_key(value: Any) -> tuple[int, Any]:
    """Order mixed values: null first, then numbers, then times, then texts."""
    if value is None:
        return (0, 0)
    if isinstance(value, int | float):
        return (1, value)
    moment = _moment(str(value))
    return (2, moment.timestamp()) if moment else (3, str(value))


def _compare(term: Comparison, values: list[Any]) -> bool:
    operator, wanted = term.operator, term.value
    if operator == "eq":
        return any(_equal(value, wanted) for value in values)
    if operator == "ne":
        return not any(_equal(value, wanted) for value in values)
    if isinstance(wanted, Constant):
        return False
    if operator in ("like", "ilike"):
        ignore_case = operator == "ilike"
        texts = [str(value) for value in values if value is not None]
        return any(is_like(text, wanted, ignore_case=ignore_case) for text in texts)
    return any(_ordered(operator, value, wanted) for value in values)


def _equal(value: Any, wanted: Value) -> bool:
    if wanted is Constant.NULL:
        return value is None
    if wanted is Constant.EMPTY:
        return bool(value == "")
    if value is None:
        return False
    if isinstance(value, bool):
        return str(value).lower() == wanted.lower()
    if str(value) == wanted:
        return True
    left, right = _moment(str(value)), _moment(wanted)
    return left is not None and left == right


def _ordered(operator: str, value: Any, wanted: str) -> bool:
    if value is None:
        return False
    left, right = _alike(str(value), wanted)
    results: dict[str, bool] = {
        "gt": left > right,
        "ge": left >= right,
        "lt": left < right,
        "le": left <= right,
    }
    return results[operator]


def _alike(left: str, right: str) -> tuple[Any, Any]:
    """Both as numbers, else both as times, else both as texts."""
    try:
        return float(left), float(right)
    except ValueError:
        moments = _moment(left), _moment(right)
        return moments if None not in moments else (left, right)


def is_like(text: str, pattern: str, *, ignore_case: bool = False) -> bool:
    r"""Whether a text matches a pattern in which ``*`` is any text and ``\*`` is a star.

    The time grows with the length of the text and not with the number of stars: between two stars
    the first place that fits is always good enough.
    """
    if ignore_case:
        text, pattern = text.lower(), pattern.lower()
    first, *others = (part.replace(r"\*", "*") for part in _STAR.split(pattern))
    if not others:
        return text == first
    *middle, last = others
    position, end = len(first), len(text) - len(last)
    if position > end or not (text.startswith(first) and text.endswith(last)):
        return False
    for part in middle:
        start = text.find(part, position, end)
        if start < 0:
            return False
        position = start + len(part)
    return True


_STAR = re.compile(r"(?<!\\)\*")


@lru_cache(maxsize=4096)
def _moment(text: str) -> datetime | None:
    if len(text) < 10 or text[4:5] != "-":
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

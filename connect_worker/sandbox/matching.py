"""Decides whether an object satisfies a filter term."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from connect_worker.sandbox.rql import (
    Comparison,
    Either,
    Every,
    Membership,
    Negation,
    Nothing,
    Term,
    Value,
)

#: Gives every value that stands under a dotted field name; several when a list lies on the way.
Resolve = Callable[[str], list[Any]]


def satisfies(term: Term, resolve: Resolve) -> bool:
    """Whether the object behind ``resolve`` is selected by the term."""
    match term:
        case Comparison():
            return _compare(term, resolve(term.field))
        case Membership():
            found = any(_equal(value, w) for value in resolve(term.field) for w in term.values)
            return found != term.negated
        case Every():
            return all(satisfies(part, resolve) for part in term.terms)
        case Either():
            return any(satisfies(part, resolve) for part in term.terms)
        case Negation():
            return not satisfies(term.term, resolve)


def values_at(document: Any, path: str) -> list[Any]:
    """All values under a dotted path of a JSON document; lists are entered.

    A missing or null step gives ``[None]``, as a database would for a filter.
    """
    return list(_walk(document, path.split("."))) or [None]


def sort_key(value: Any) -> tuple[int, Any]:
    """Orders mixed values: nothing first, then numbers, then dates and texts."""
    if value is None:
        return (0, 0)
    if isinstance(value, int | float):
        return (1, value)
    moment = _moment(str(value))
    return (2, moment.timestamp()) if moment else (3, str(value))


def _walk(node: Any, steps: list[str]) -> Iterator[Any]:
    if isinstance(node, list):
        for element in node:
            yield from _walk(element, steps)
    elif not steps:
        yield node
    elif isinstance(node, dict):
        yield from _walk(node.get(steps[0]), steps[1:])


def _compare(term: Comparison, values: list[Any]) -> bool:
    operator, wanted = term.operator, term.value
    if operator == "eq":
        return any(_equal(value, wanted) for value in values)
    if operator == "ne":
        return not any(_equal(value, wanted) for value in values)
    if isinstance(wanted, Nothing):
        return False
    if operator in ("like", "ilike"):
        pattern = _pattern(wanted, operator == "ilike")
        return any(value is not None and pattern.fullmatch(str(value)) for value in values)
    return any(_ordered(operator, value, wanted) for value in values)


def _equal(value: Any, wanted: Value) -> bool:
    if wanted is Nothing.NULL:
        return value is None
    if wanted is Nothing.EMPTY:
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


@lru_cache(maxsize=256)
def _pattern(text: str, ignore_case: bool) -> re.Pattern[str]:
    """RQL's ``*`` stands for any text; ``\\*`` for the star itself."""
    parts = re.split(r"(?<!\\)\*", text)
    body = ".*".join(re.escape(part.replace(r"\*", "*")) for part in parts)
    return re.compile(body, re.IGNORECASE | re.DOTALL if ignore_case else re.DOTALL)


@lru_cache(maxsize=4096)
def _moment(text: str) -> datetime | None:
    if len(text) < 10 or text[4:5] != "-":
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

"""Filters to RQL, the query language of Connect's collections.

A processor's `filters()` may return RQL text, which is sent as it is, or a mapping in any of the
spellings that the SDK's users have written over the years::

    {"status": "pending"}                         eq(status,pending)
    {"status": ["ready", "pending"]}              in(status,(ready,pending))
    {"asset.product.id__in": "PRD-1,PRD-2"}       in(asset.product.id,(PRD-1,PRD-2))
    {"asset__product__id": "PRD-1"}               eq(asset.product.id,PRD-1)
    {"created__gt": "2026-01-01"}                 gt(created,2026-01-01)
    {"limit": 10, "order_by": "-created"}         limit=10&ordering(-created)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

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

#: Characters that may stand in an RQL value without quotes.
_PLAIN = re.compile(r"[\w.:*+@/-]+", re.ASCII)


def to_query(filters: str | Mapping[str, object] | None) -> str:
    """Return the query string of filters; "" for none."""
    if not filters:
        return ""
    if isinstance(filters, str):
        return filters.lstrip("?")
    return "&".join(_term(name, value) for name, value in filters.items() if value is not None)


def statuses_of(filters: str | Mapping[str, object] | None) -> frozenset[str]:
    """Return the statuses that the filters ask for, in lower case; empty when they name none."""
    query = to_query(filters)
    found: list[str] = re.findall(r"\beq\(status,\"?([\w-]+)", query)
    found += re.findall(r"(?:^|&)status=([\w-]+)", query)
    for group in re.findall(r"\bin\(status,\(([^)]*)\)", query):
        found += [value.strip().strip('"') for value in group.split(",")]
    return frozenset(status.lower() for status in found if status)


def _term(name: str, value: object) -> str:
    if name in ("limit", "offset"):
        return f"{name}={value}"
    if name in ("order_by", "ordering"):
        return f"ordering({_text(value)})"
    field, operator = _split(name)
    if isinstance(value, (list, tuple, set, frozenset)):
        values: Iterable[object] = value
        operator = "out" if operator in ("ne", "out") else "in"
    elif operator in ("in", "out"):
        values = [part.strip() for part in str(value).split(",")]
    else:
        pattern = f"*{value}*" if name.endswith("contains") else value
        return f"{operator}({field},{_text(pattern)})"
    return f"{operator}({field},({','.join(_text(item) for item in values)}))"


def _split(name: str) -> tuple[str, str]:
    """Split `asset__product__id__in` into the dotted field and its operator."""
    parts = name.replace("__", ".").split(".")
    if len(parts) > 1 and parts[-1] in OPERATORS:
        return ".".join(parts[:-1]), OPERATORS[parts[-1]]
    return ".".join(parts), "eq"


def _text(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if _PLAIN.fullmatch(text):
        return quote(text, safe=".:*@/-_")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return quote(f'"{escaped}"', safe="")

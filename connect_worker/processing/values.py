"""The values of a request's parameters: what the customer wrote, and the vendor answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from connect_worker.processing.states import JSON

#: What of a parameter is its value.
FIELDS: Final = ("value", "structured_value")


def values_in(document: JSON) -> Iterator[str]:
    """Yield the texts that the parameters of a request hold, wherever it has parameters."""
    match document:
        case dict():
            for name, part in document.items():
                if name == "params" and isinstance(part, list):
                    for param in part:
                        yield from texts_of(param)
                else:
                    yield from values_in(part)
        case list():
            for item in document:
                yield from values_in(item)


def texts_of(param: JSON) -> Iterator[str]:
    """Yield the texts of one parameter's values."""
    if isinstance(param, dict):
        for name in FIELDS:
            yield from _texts(param.get(name))


def _texts(value: JSON) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for item in value.values():
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)

"""Parameters of type `password`: found in a request, and left out of what is stored.

The ledger keeps a decision until it is posted, and for days after. A password has no business
there: Connect has the value that the customer gave, and keeps it where a call names none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from connect_worker.domain.outcomes import Inquire, Outcome
from connect_worker.domain.states import JSON

# The values of a request's parameters: what the customer wrote, and the vendor answered.

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


def passwords_in(document: JSON) -> Iterator[str]:
    """Yield the values of a request's password parameters, wherever it has them."""
    for param in _password_params(document):
        yield from texts_of(param)


def without_passwords(outcome: Outcome, document: JSON) -> Outcome:
    """Return the outcome as it is stored: an inquiry without values of password parameters."""
    if not isinstance(outcome, Inquire):
        return outcome
    names = {param.get("id") for param in _password_params(document)}
    params = [_bare(param) if param.get("id") in names else param for param in outcome.params]
    return replace(outcome, params=params)


def given_passwords(outcome: Outcome, document: JSON) -> Iterator[str]:
    """Yield the values that an outcome itself gives to password parameters."""
    if isinstance(outcome, Inquire):
        names = {param.get("id") for param in _password_params(document)}
        for param in outcome.params:
            if param.get("id") in names:
                yield from passwords_in({**param, "type": "password"})


def _bare(param: dict[str, JSON]) -> dict[str, JSON]:
    return {name: value for name, value in param.items() if name not in FIELDS}


def _password_params(document: JSON) -> Iterator[dict[str, JSON]]:
    match document:
        case {"type": "password"}:
            yield document
        case dict():
            for value in document.values():
                yield from _password_params(value)
        case list():
            for item in document:
                yield from _password_params(item)

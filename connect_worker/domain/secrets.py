"""Parameters of type `password`: found in a request, and left out of what is stored.

The ledger keeps a decision until it is posted, and for days afterwards. It must not keep passwords:
Connect has the value that the customer gave, and keeps it if a call does not name one.

Customers write the documents, of any depth. So each function here takes time in proportion to its
document: one loop with a list of what is left, no recursion.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import replace
from typing import Final

from connect_worker.domain.outcomes import Fail, Inquire, Outcome, Skip
from connect_worker.domain.states import JSON
from connect_worker.observability.masking import mask_values

#: The fields of a parameter that contain its value.
VALUE_FIELDS: Final = ("value", "structured_value")


def values_in(document: JSON) -> Iterator[str]:
    """Yield the texts in the values of a request's parameters, wherever it has parameters."""
    for part in _walk(document, _outside_params):
        if isinstance(part, dict) and isinstance(part.get("params"), list):
            for param in part["params"]:
                yield from _value_texts(param)


def passwords_in(document: JSON) -> Iterator[str]:
    """Yield the values of a request's password parameters, wherever it has them."""
    for param in _password_params(document):
        yield from _value_texts(param)


def without_passwords(outcome: Outcome, document: JSON) -> Outcome:
    """Return the outcome as it is stored: its texts and parameters have no value of a password.

    A tile stays as it is: it may be where the customer learns a new password.
    """
    values = [*passwords_in(document), *passwords_set_by(outcome, document)]
    match outcome:
        case Inquire(message, params):
            names = {param.get("id") for param in _password_params(document)}
            stored = [_stored_param(param, names, values) for param in params]
            return replace(outcome, message=_masked(message, values), params=stored)
        case Fail(reason):
            return replace(outcome, reason=_masked(reason, values))
        case Skip(message):
            return replace(outcome, message=_masked(message, values))
        case _:
            return outcome


def passwords_set_by(outcome: Outcome, document: JSON) -> Iterator[str]:
    """Yield the values that an outcome itself gives to password parameters."""
    if isinstance(outcome, Inquire):
        names = {param.get("id") for param in _password_params(document)}
        for param in outcome.params:
            if param.get("id") in names:
                yield from _value_texts(param)


def _walk(document: JSON, inner: Callable[[JSON], Iterable[JSON]]) -> Iterator[JSON]:
    """Yield the document and, part by part, what `inner` says is in it."""
    left = [document]
    while left:
        part = left.pop()
        yield part
        left.extend(reversed(list(inner(part))))


def _inner(part: JSON) -> Iterable[JSON]:
    if isinstance(part, dict):
        return part.values()
    return part if isinstance(part, list) else ()


def _outside_params(part: JSON) -> Iterable[JSON]:
    if isinstance(part, dict) and isinstance(part.get("params"), list):
        return [item for name, item in part.items() if name != "params"]
    return _inner(part)


def _outside_password_params(part: JSON) -> Iterable[JSON]:
    return () if _is_password_param(part) else _inner(part)


def _value_texts(param: JSON) -> Iterator[str]:
    """Yield the texts of one parameter's value."""
    if isinstance(param, dict):
        for name in VALUE_FIELDS:
            yield from (part for part in _walk(param.get(name), _inner) if isinstance(part, str))


def _stored_param(
    param: dict[str, JSON], passwords: Container[JSON], values: Iterable[str]
) -> dict[str, JSON]:
    left_out = VALUE_FIELDS if param.get("id") in passwords else ()
    stored = {name: value for name, value in param.items() if name not in left_out}
    if "value_error" in stored:
        stored["value_error"] = _masked(stored["value_error"], values)
    return stored


def _masked(text: JSON, values: Iterable[str]) -> JSON:
    return mask_values(text, values, is_whole=True) if isinstance(text, str) else text


def _password_params(document: JSON) -> Iterator[dict[str, JSON]]:
    return filter(_is_password_param, _walk(document, _outside_password_params))


def _is_password_param(part: JSON) -> bool:
    return isinstance(part, dict) and part.get("type") == "password"

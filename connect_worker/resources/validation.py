"""Validation of what a customer or reseller enters, while they wait for the answer.

Connect calls a webhook with a draft, or with an answered inquiry, and waits for the same document
with `value_error` on the parameters that are wrong. No decision is made: the request becomes
pending later, and its processor decides then.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from logging import Logger
from typing import Any, ClassVar, Final, Generic, TypeVar

from connect_worker.api.client import Client, client_for
from connect_worker.config import Config, use_config
from connect_worker.domain.states import JSON, RequestKind
from connect_worker.exceptions import InvalidDecision, RegistrationError
from connect_worker.logger import logger
from connect_worker.models.base import BaseModel

M = TypeVar("M", bound=BaseModel)

ALLOW: Final = "allow"
HOLD: Final = "hold"

#: What Connect reads of a parameter in the answer.
_ERRORS: Final = ("value_error", "structured_error")


class Validation(Generic[M]):
    """Base of both validations.

    Args:
        config: The account; None means the configuration in force.
    """

    kind: ClassVar[RequestKind]
    request_class: ClassVar[type[BaseModel]]
    #: The types of webhook that ask for it; `connect-worker webhook register` creates these.
    webhook_types: ClassVar[Sequence[str]]
    #: The ids of the products it is for; None for all that no other validation names.
    products: ClassVar[str | Sequence[str] | None] = None
    #: What happens to the order when `validate` raises, exceeds `CONNECT_VALIDATION_SECONDS`, or
    #: does not run because all validators are busy: "allow" lets it go on, "hold" holds it back.
    on_failure: ClassVar[str] = ALLOW
    #: What the customer reads when the order is held back.
    failure_message: ClassVar[str] = "This could not be checked. Please try again in a minute."
    logger: Logger = logger

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config.get_instance()

    @property
    def client(self) -> Client:
        """Connect's REST API for this validation's account."""
        return client_for(self.config)

    def validate(self, request: M) -> M | None:
        """Set `value_error` on the parameters that are wrong; every validation has its own.

        Returns:
            Nothing, or the request.

        Raises:
            NotImplementedError: The subclass has none.
        """
        raise NotImplementedError(f"{type(self).__name__} has no validate")


# ---- documents


def without_errors(kind: RequestKind, document: JSON) -> JSON:
    """Return a document whose parameters have no error, as each validation begins."""
    params = [
        {**param, **{name: type(param[name])() for name in _ERRORS if param.get(name)}}
        for param in _params(kind, document)
    ]
    return _with_params(kind, document, params)


def held_back(kind: RequestKind, document: JSON, message: str) -> JSON | None:
    """Return a document with an error on the first parameter that the customer enters.

    None if it has no parameter that could have an error.
    """
    params = list(_params(kind, document))
    asked = next((param for param in params if param.get("phase") == "ordering"), None)
    if not params:
        return None
    target = asked or params[0]
    changed = [{**item, "value_error": message} if item is target else item for item in params]
    return _with_params(kind, document, changed)


def errors_in(kind: RequestKind, document: JSON) -> dict[str, Any]:
    """Return the errors of a document by the parameter's id."""
    return {
        str(param.get("id")): next(filter(None, map(param.get, _ERRORS)))
        for param in _params(kind, document)
        if any(param.get(name) for name in _ERRORS)
    }


def validated(validation: Validation[Any], document: JSON) -> JSON:
    """Run a validation; return the document with the errors that it has set, and no other change.

    Raises:
        InvalidDecision: It returned a value, or set an error that is none.
        Exception: What `validate` raised.
    """
    kind = validation.kind
    document = without_errors(kind, document)
    request = validation.request_class.deserialize_json(document)
    with use_config(validation.config):
        result = validation.validate(request)
    if result is not None and result is not request:
        raise InvalidDecision(
            f"validate returned {result!r}: set value_error on the parameters that are wrong, and "
            "return nothing"
        )
    errors = {
        param.get("id"): {name: param[name] for name in _ERRORS if param.get(name)}
        for param in _params(kind, dict(request.json))
    }
    params = [{**param, **errors.pop(param.get("id"), {})} for param in _params(kind, document)]
    if added := [str(name) for name, found in errors.items() if found]:
        raise InvalidDecision(
            f"validate set an error on {added[0]}, which the request does not have"
        )
    for param in params:
        if not isinstance(param.get("value_error") or "", str):
            raise InvalidDecision(f"the value_error of {param.get('id')} is not a text")
    return _with_params(kind, document, params)


def _owner(kind: RequestKind, document: JSON) -> JSON:
    owner = document.get("asset") if kind is RequestKind.FULFILLMENT else document
    return owner if isinstance(owner, dict) else {}


def _params(kind: RequestKind, document: JSON) -> Iterator[dict[str, Any]]:
    params = _owner(kind, document).get("params")
    for param in params if isinstance(params, list) else ():
        if isinstance(param, dict):
            yield param


def _with_params(kind: RequestKind, document: JSON, params: Sequence[Mapping[str, Any]]) -> JSON:
    if not params:
        return document
    if kind is RequestKind.FULFILLMENT:
        return {**document, "asset": {**_owner(kind, document), "params": list(params)}}
    return {**document, "params": list(params)}


def make_validation(validation: type[Validation[Any]], config: Config) -> Validation[Any]:
    """Return a validation for an account.

    Raises:
        RegistrationError: Its constructor raised, or has other arguments than `config`.
    """
    arguments = {"config": config} if "config" in inspect.signature(validation).parameters else {}
    try:
        with use_config(config):
            return validation(**arguments)
    except Exception as error:
        raise RegistrationError(
            f"{validation.__qualname__} can't be made: {type(error).__name__}: {error}"
        ) from error

"""The base class of all models, and the quick check of documents that are loaded into one.

An attribute is declared with the type that the 2019 SDK's documentation gives, and ``| None`` where
that says that there may be nothing. Connect leaves fields out nevertheless, above all of objects
that are only references. A field that is not in the document reads None, whatever its type: with
that declared, each ``request.asset.product.id`` would need three checks.

Running a model's marshmallow Schema over each document would cost ten times as much as the rest of
loading. So a check that is compiled from the Schema runs first, and says only yes or no. After a no
the Schema runs; it is the reference and says what is wrong. A property test proves that both agree.
"""

from __future__ import annotations

import json as json_module
import threading
from collections.abc import Callable, Iterable
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, overload

from connect_worker._deprecated import SCHEMAS, deprecated_names
from connect_worker.exceptions import InvalidDocument
from connect_worker.models._fields import ListOf, ModelField, Nested, refusal
from connect_worker.models._model import (
    Document,
    ModelSchema,
    alias,
    field,
    fields_of,
    problems,
    schema_of,
    synonym,
)

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__, {"BaseObject": "models.BaseModel"}, SCHEMAS)

Check = Callable[[Any], bool]
#: The classes whose values fit without a further look, and the look at all others.
Rule = tuple[frozenset[type], Check]
#: The rules of an object, by key.
Rules = dict[str, Rule]

_checks: Final[dict[type[Document], Check]] = {}
_lock: Final = threading.RLock()


def fits(model: type[Document], document: Any) -> bool:
    """Whether the model's Schema would load a document, which is a dict."""
    return (_checks.get(model) or _compiled(model))(document)


def require_fit(model: type[Document], document: Any, place: str = "") -> None:
    """Return if a document fits the model.

    Args:
        model: The model to load it into.
        document: Any JSON.
        place: Its place in what is loaded, such as ``[3]``.

    Raises:
        InvalidDocument: It does not fit; the error names the places.
    """
    if not isinstance(document, dict):
        raise InvalidDocument(model.__name__, {place: refusal("an object", document)})
    if fits(model, document):
        return
    errors = problems(model, document, place)
    if errors:  # else there is a dict of some other class in it, which the check does not know
        name = document.get("id")
        label = f"{model.__name__} {name}" if isinstance(name, str) else model.__name__
        raise InvalidDocument(label, errors)


def _compiled(model: type[Document]) -> Check:
    with _lock:
        if model not in _checks:
            # Published when all of them are complete: other threads must not meet an empty one.
            made: dict[type[Document], Check] = {}
            _compile(model, made)
            _checks.update(made)
        return _checks[model]


def _compile(model: type[Document], made: dict[type[Document], Check]) -> Check:
    known = _checks.get(model) or made.get(model)
    if known:
        return known
    # Models refer to each other in circles: the check is there before its rules are.
    rules: Rules = {}
    made[model] = _object_check(rules)
    for name, kind in fields_of(model).items():
        plain, accepts = _rule(kind, made)
        rules[kind.data_key or name] = plain | {NoneType}, accepts
    return made[model]


def _rule(kind: ModelField, made: dict[type[Document], Check]) -> Rule:
    if isinstance(kind, Nested):
        return frozenset({str} if kind.bare else ()), _compile(kind.model, made)
    if isinstance(kind, ListOf):
        return frozenset(), _list_check(_rule(kind.of, made))
    return kind.plain, kind.accepts


def _object_check(rules: Rules) -> Check:
    rule_of = rules.get

    def check(value: Any) -> bool:
        if value.__class__ is not dict:
            return bool(value == "")  # which stands for no object
        for key, item in value.items():
            rule = rule_of(key)
            if rule:  # else the field is unknown, and kept
                plain, accepts = rule
                if item.__class__ not in plain and not accepts(item):
                    return False
        return True

    return check


def _list_check(rule: Rule) -> Check:
    plain, accepts = rule

    def check(value: Any) -> bool:
        if value.__class__ is not list:
            return bool(value == "")  # which stands for no list
        for item in value:  # noqa: SIM110 - all() would cost a generator per list
            if item.__class__ not in plain and not accepts(item):
                return False
        return True

    return check


__all__ = ["BaseModel", "alias", "field", "synonym"]


class BaseModel(Document):
    """Base of all models.

    All arguments become attributes, and so do the fields of a loaded document, including those that
    the model does not declare. A type checker knows only the declared ones; read the others with
    `getattr`.

    Examples:
        >>> model = BaseModel.deserialize_json({"id": "PR-1", "odd": [1, 2]})
        >>> model.id, model.odd
        ('PR-1', [1, 2])
        >>> model.json
        {'id': 'PR-1', 'odd': [1, 2]}
    """

    #: Globally unique id.
    id: str = field

    @classmethod
    def deserialize(cls, json_str: str | bytes) -> Any:
        """Make a model of a JSON text, or a list of models where the text holds a list.

        Raises:
            TypeError: The text is no JSON, or its data does not fit (`InvalidDocument`).
        """
        try:
            data = json_module.loads(json_str)
        except ValueError as exc:
            raise InvalidDocument(cls.__name__, {"": f"no JSON: {exc}"}) from exc
        return cls.deserialize_json(data)

    @overload
    @classmethod
    def deserialize_json(cls, json_data: dict[str, Any]) -> Self: ...

    @overload
    @classmethod
    def deserialize_json(cls, json_data: list[Any]) -> list[Self]: ...

    @classmethod
    def deserialize_json(cls, json_data: dict[str, Any] | list[Any]) -> Self | list[Self]:
        """Make a model of a JSON object, or a list of models of a list of objects.

        The models keep the data and read it on access: do not change it afterwards.

        Raises:
            TypeError: The data does not fit; the error (`InvalidDocument`) names model and field.
        """
        if isinstance(json_data, list):
            for index, item in enumerate(json_data):
                require_fit(cls, item, f"[{index}]")
            return [cls._from_raw(item) for item in json_data]
        require_fit(cls, json_data)
        return cls._from_raw(json_data)

    @classmethod
    def marshmallow_schema(cls) -> ModelSchema:
        """Return the model's marshmallow Schema; it is made once, from the declarations."""
        return schema_of(cls)

    def __repr__(self) -> str:
        # Parameters may hold secrets and personal data: only the id is safe to show.
        return f"<{type(self).__name__} {self.id or ''}".rstrip() + ">"


M = TypeVar("M", bound=BaseModel)


def first_with(models: Iterable[M] | None, **wanted: object) -> M | None:
    """Return the first model whose attributes have these values, or None."""
    for model in models or ():
        if all(getattr(model, name) == value for name, value in wanted.items()):
            return model
    return None

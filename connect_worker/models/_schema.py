"""From a model's declaration to its marshmallow Schema, of which there is one per model."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from types import NoneType
from typing import Any, ClassVar, Final, get_args, get_origin, get_type_hints

from marshmallow import INCLUDE, Schema, post_load

from connect_worker.models._document import Document
from connect_worker.models._kinds import (
    Anything,
    Flag,
    Kind,
    Many,
    Mapped,
    Moment,
    One,
    Quantity,
    Text,
    Whole,
)

_SCALARS: Final[Mapping[Any, type[Kind]]] = {
    str: Text,
    int: Whole,
    float: Quantity,
    bool: Flag,
    datetime: Moment,
    Any: Anything,
}


class ModelSchema(Schema):
    """Base of the Schemas that are made here: loads into the model, and dumps it.

    Unknown fields are kept.
    """

    class Meta:
        """Marshmallow's options."""

        unknown = INCLUDE
        register = False

    _model: ClassVar[type[Document]]

    @post_load(pass_original=True)
    def _make(self, _data: Any, original: dict[str, Any], **_: Any) -> Document:
        # The document itself is what a model keeps; the loaded values only proved that it fits.
        return self._model._from_raw(original)

    def dump(self, obj: Any, *, many: bool | None = None) -> Any:
        """Give the document of a model, or of several; a model knows how it is written."""
        return [model.json for model in obj] if (self.many if many is None else many) else obj.json


_schemas: Final[dict[type[Document], ModelSchema]] = {}
# Re-entrant, though nothing nests today: a Schema's nested ones are looked up while it is in use.
_lock: Final = threading.RLock()


def schema_of(model: type[Document]) -> ModelSchema:
    """Give the model's Schema: made on first use, the same one for all threads ever after."""
    found = _schemas.get(model)
    if found is None:
        with _lock:
            found = _schemas.get(model) or _schemas.setdefault(model, _build(model))
    return found


def kinds_of(model: type[Document]) -> Mapping[str, Kind]:
    """Give the kind of each attribute, by name; and of each other spelling, by key."""
    return {name: kind for name, kind in schema_of(model).fields.items() if isinstance(kind, Kind)}


def problems(model: type[Document], document: dict[str, Any], place: str = "") -> dict[str, str]:
    """Say what the Schema finds wrong in a document, by path from a place in a larger one."""
    return dict(_flat(schema_of(model).validate(document), place))


def _build(model: type[Document]) -> ModelSchema:
    hints = get_type_hints(model)
    fields: dict[str, Any] = {}
    for name, attribute in model._attributes.items():
        for key in attribute.keys:
            kind = _kind(hints[name], bare=attribute.bare, data_key=key)
            fields[name if key == attribute.key else key] = kind
    made = type(f"{model.__name__}Schema", (ModelSchema,), {**fields, "_model": model})
    schema: ModelSchema = made()
    return schema


def _kind(hint: Any, *, bare: str | None = None, **options: Any) -> Kind:
    """Give the kind that an annotation means."""
    if get_origin(hint) is list:
        return Many(_kind(get_args(hint)[0], bare=bare), **options)
    if get_origin(hint) is dict:
        return Mapped(**options)
    choices = [choice for choice in get_args(hint) if choice is not NoneType]
    if set(choices) == {int, float}:
        return Quantity(**options)
    if len(choices) == 1:
        return _kind(choices[0], bare=bare, **options)
    if isinstance(hint, type) and issubclass(hint, Document):
        return One(hint, schema_of=schema_of, bare=bare, **options)
    if hint in _SCALARS:
        return _SCALARS[hint](**options)
    raise TypeError(f"no kind of field for the annotation {hint!r}")


def _flat(messages: Any, path: str) -> Iterator[tuple[str, str]]:
    """Turn marshmallow's nested messages into paths and sentences."""
    if not isinstance(messages, dict):
        yield path, " ".join(str(message) for message in messages)
        return
    for key, inner in messages.items():
        if isinstance(key, int):
            step = f"{path}[{key}]"
        else:
            step = path if key == "_schema" else f"{path}.{key}" if path else str(key)
        yield from _flat(inner, step)

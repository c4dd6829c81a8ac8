"""The declaration of a model, and its one representation: the document it came from.

A model is declared once, as a class of annotated attributes::

    class Renewal(BaseModel):
        from_: datetime = alias("from")
        delta: int = field

An instance keeps the JSON document as it came. An attribute is read from it on first access. A
value that differs from the document (an object or list that was read, or a value that code has set)
is kept in the instance's dict, which takes precedence. So loading costs next to nothing, an
unchanged field is written exactly as it came, and a changed field as changed.

`vars(model)` and `model.__dict__` first read all fields of the document into that dict: the 2019
SDK's models had them there. The code here uses `_values`, which is the dict as it is.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import NoneType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Self,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from marshmallow import INCLUDE, Schema, post_load

from connect_worker.models._fields import (
    AnyJSON,
    Boolean,
    DateTime,
    Integer,
    JSONObject,
    ListOf,
    ModelField,
    Nested,
    Object,
    Quantity,
    Text,
    to_json,
)


@dataclass(frozen=True, kw_only=True)
class FieldSpec:
    """What a declaration says in addition to the attribute's name and type.

    Attributes:
        keys: The keys of the document that the attribute may stand under, the one to write first;
            none means the attribute's name.
        bare: Where Connect may send a text instead of an object: the key the text stands for.
    """

    keys: tuple[str, ...] = ()
    bare: str | None = None


#: Declares an attribute with nothing to add. It reads None while the document lacks it.
field: Final[Any] = FieldSpec()


def alias(*keys: str, bare: str | None = None) -> Any:
    """Declare an attribute whose key is not its name; see `FieldSpec`."""
    return FieldSpec(keys=keys, bare=bare)


def synonym(name: str) -> Any:
    """Declare a second name of another attribute."""
    return Alias(name)


class Alias:
    """Descriptor: reads and sets another attribute."""

    def __init__(self, target: str) -> None:
        self.target = target

    def __get__(self, model: Document | None, owner: type | None = None) -> Any:
        return self if model is None else getattr(model, self.target)

    def __set__(self, model: Document, value: Any) -> None:
        setattr(model, self.target, value)

    def __delete__(self, model: Document) -> None:
        delattr(model, self.target)


class Attribute:
    """Descriptor: reads an attribute out of the model's document.

    It has no `__set__`, so that a value in the instance's dict is found before it.
    """

    def __init__(self, name: str, declared: FieldSpec) -> None:
        self.name = name
        self.keys = declared.keys or (name,)
        self.key = self.keys[0]
        self.bare = declared.bare
        self._kind: ModelField | None = None

    def __get__(self, model: Document | None, owner: type[Document] | None = None) -> Any:
        if model is None:
            return self
        raw = model._raw.get(self.key)
        if raw is None:
            if len(self.keys) == 1:
                return None
            raw = model._raw.get(self.key_in(model._raw))
            if raw is None:
                return None
        value = (self._kind or self._find_kind(type(model))).read(raw)
        if value is raw or value is None:
            return value
        # Two threads may get here at once; the first one's value is the one both must see, or
        # what one of them then changes in it would be lost.
        return model._values.setdefault(self.name, value)

    def write(self, owner: type[Document], value: Any, raw: Any) -> Any:
        """Return the document's form of a value that lies over `raw`."""
        return (self._kind or self._find_kind(owner)).write(value, raw)

    def _find_kind(self, owner: type[Document]) -> ModelField:
        self._kind = fields_of(owner)[self.name]
        return self._kind

    def key_in(self, raw: Mapping[str, Any]) -> str:
        """Return the key that the attribute stands under in a document."""
        return next((key for key in self.keys if key in raw), self.key)


class _Instance(JSONObject):
    """An object with a dict, a document, and nothing else."""

    __slots__ = ("__dict__", "__weakref__", "_raw")

    if TYPE_CHECKING:
        _raw: dict[str, Any]
        _values: dict[str, Any]


@dataclass_transform(kw_only_default=True, eq_default=False)
class Document(_Instance):
    """What all models are made of: typed attributes over a JSON document."""

    __slots__ = ()

    #: By name, the attributes of this model, inherited ones included.
    _attributes: ClassVar[Mapping[str, Attribute]] = {}
    #: By key of a document, the attribute it belongs to.
    _by_key: ClassVar[Mapping[str, Attribute]] = {}
    #: By second name or key of an attribute, its name.
    _aliases: ClassVar[Mapping[str, str]] = {}

    if not TYPE_CHECKING:
        #: The instance's dict: what was read or set so far.
        _values = vars(_Instance)["__dict__"]

        @property
        def __dict__(self) -> dict[str, Any]:
            """The instance's dict, after all fields of the document were read into it."""
            values = self._values
            # Pickle and copy fill the dict before there is a document.
            for key, raw in getattr(self, "_raw", {}).items():
                attribute = self._by_key.get(key)
                if attribute is None:
                    if not hasattr(type(self), key):
                        values.setdefault(key, raw)
                elif attribute.key_in(self._raw) == key:
                    values.setdefault(attribute.name, getattr(self, attribute.name))
            return values

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        attributes, aliases = dict(cls._attributes), dict(cls._aliases)
        for name in inspect.get_annotations(cls):
            declared = cls.__dict__.get(name)
            if isinstance(declared, FieldSpec):
                attributes[name] = Attribute(name, declared)
                setattr(cls, name, attributes[name])
            elif isinstance(declared, Alias):
                aliases[name] = declared.target
        cls._by_key = {key: attr for attr in attributes.values() for key in attr.keys}
        spellings = {key: attr.name for key, attr in cls._by_key.items() if key not in attributes}
        cls._attributes, cls._aliases = attributes, spellings | aliases

    def __init__(self, **values: Any) -> None:
        self._raw = {}
        aliases = self._aliases
        self._values.update({aliases.get(name, name): item for name, item in values.items()})

    @classmethod
    def _from_raw(cls, raw: dict[str, Any]) -> Self:
        """Make a model over a document that is known to fit."""
        model = cls.__new__(cls)
        model._raw = raw
        return model

    if not TYPE_CHECKING:  # A type checker that saw this would let misspelled attributes pass.

        def __getattr__(self, name: str) -> Any:
            # Names with an underscore are asked for by copy and pickle, before there is a document.
            if not name.startswith("_") and name in self._raw:
                return self._raw[name]
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        name = self._aliases.get(name, name)
        had = self._values.pop(name, self) is not self
        keys = self._attributes[name].keys if name in self._attributes else (name,)
        stored = [key for key in keys if key in self._raw]
        if not had and not stored:
            raise AttributeError(f"{type(self).__name__} has no {name!r} to delete")
        # The document may be shared with a shallow copy of this model.
        self._raw = {key: value for key, value in self._raw.items() if key not in stored}

    @property
    def json(self) -> dict[str, Any]:
        """The document: as it came, with what has been changed or added since. A copy."""
        values = self._values
        if not values:
            return to_json(self._raw)  # type: ignore[no-any-return]  # of a dict it is a dict
        written = {key: self._written(key, raw) for key, raw in self._raw.items()}
        for name, value in values.items():
            attribute = self._attributes.get(name)
            key = attribute.key_in(self._raw) if attribute else name
            if key not in self._raw:
                written[key] = (
                    attribute.write(type(self), value, None) if attribute else to_json(value)
                )
        return written

    def _written(self, key: str, raw: Any) -> Any:
        attribute = self._by_key.get(key)
        name = attribute.name if attribute else key
        is_here = attribute.key_in(self._raw) == key if attribute else key not in self._attributes
        if not is_here or name not in self._values:
            return to_json(raw)
        value = self._values[name]
        return attribute.write(type(self), value, raw) if attribute else to_json(value)


# ---- the marshmallow Schema of a model, made from its declaration; one per model

_SCALARS: Final[Mapping[Any, type[ModelField]]] = {
    str: Text,
    int: Integer,
    float: Quantity,
    bool: Boolean,
    datetime: DateTime,
    Any: AnyJSON,
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
        """Return the document of a model, or of several; a model knows how it is written."""
        return [model.json for model in obj] if (self.many if many is None else many) else obj.json


_schemas: Final[dict[type[Document], ModelSchema]] = {}
# Re-entrant, though nothing nests today: a Schema's nested ones are looked up while it is in use.
_lock: Final = threading.RLock()


def schema_of(model: type[Document]) -> ModelSchema:
    """Return the model's Schema: made on first use, the same one for all threads ever after."""
    schema = _schemas.get(model)
    if schema is None:
        with _lock:
            schema = _schemas.get(model) or _schemas.setdefault(model, _build(model))
    return schema


def fields_of(model: type[Document]) -> Mapping[str, ModelField]:
    """Return the kind of each attribute, by name; and of each other spelling, by key."""
    return {
        name: kind for name, kind in schema_of(model).fields.items() if isinstance(kind, ModelField)
    }


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


def _kind(hint: Any, *, bare: str | None = None, **options: Any) -> ModelField:
    """Return the kind that an annotation means."""
    if get_origin(hint) is list:
        return ListOf(_kind(get_args(hint)[0], bare=bare), **options)
    if get_origin(hint) is dict:
        return Object(**options)
    choices = [choice for choice in get_args(hint) if choice is not NoneType]
    if set(choices) == {int, float}:
        return Quantity(**options)
    if len(choices) == 1:
        return _kind(choices[0], bare=bare, **options)
    if isinstance(hint, type) and issubclass(hint, Document):
        return Nested(hint, schema_of=schema_of, bare=bare, **options)
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

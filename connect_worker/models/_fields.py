"""The field types of models: which values fit, how they read, and how they are written.

Each type is a marshmallow field, and a model's Schema consists of them. In addition it says whether
a raw value fits (`accepts`), the attribute's value for it (`read`), and what goes back into the
document (`write`). Connect is not strict, so these types are not strict either:

- null is accepted everywhere, and a blank text where the documentation has another type than text:
  both read as None;
- ids and other texts may come as numbers, and numbers as texts;
- a flag may be a number or a text, such as 1 or ``"False"``;
- a quantity may be ``"unlimited"``, which reads as -1.

A date and time reads as a naive `datetime` in UTC, as in the SDK.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from marshmallow import Schema, ValidationError, fields

#: How `unlimited` quantities read, as in the 2019 SDK.
UNLIMITED: Final = -1

# Bounded, since Python refuses to read thousands of digits, and 1e999 is infinity.
_NUMBER: Final = re.compile(r"[+-]?\d{1,40}(\.\d{0,40})?([eE][+-]?\d{1,2})?\Z", re.ASCII)
#: What each value of a flag means; marshmallow's sets are those of the SDK, and a few words more.
_FLAGS: Final[dict[Any, bool]] = dict.fromkeys(fields.Boolean.truthy, True) | dict.fromkeys(
    fields.Boolean.falsy, False
)
_ATOMS: Final = frozenset({str, int, float, bool, NoneType})
_NAMES: Final[dict[type, str]] = {
    dict: "an object",
    list: "a list",
    bool: "a boolean",
    type(None): "null",
}


class JSONObject:
    """An object over a JSON document: what a field with a model of its own reads as."""

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def json(self) -> dict[str, Any]:
            """The object's document, a copy."""

        @classmethod
        def _from_raw(cls, raw: dict[str, Any]) -> Self: ...


def to_json(value: Any) -> Any:
    """Return a copy of an attribute's value as a JSON document.

    What JSON has no form for (a Decimal, a UUID) becomes its text.
    """
    kind = value.__class__
    if kind in _ATOMS:
        return value
    # The two of which a document consists come first: this runs for all of it.
    if kind is dict:
        return {k: v if v.__class__ in _ATOMS else to_json(v) for k, v in value.items()}
    if kind is list:
        return [to_json(item) for item in value]
    if isinstance(value, JSONObject):
        return value.json
    return _unusual(value)


def _unusual(value: Any) -> Any:
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json(item) for item in value]
    return value.isoformat() if isinstance(value, datetime | date | time) else str(value)


class ModelField(fields.Field[Any]):
    """Base of all field types."""

    #: The classes whose values fit without another check.
    plain: ClassVar[frozenset[type]] = frozenset()
    #: What an error says was expected.
    expected: ClassVar[str] = ""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_none=True, **options)

    def accepts(self, value: Any) -> bool:
        """Whether a raw value, not None, fits."""
        return isinstance(value, tuple(self.plain))

    def read(self, value: Any) -> Any:
        """Return the attribute's value for a raw value that fits and is not None."""
        return value

    def write(self, value: Any, raw: Any) -> Any:
        """Return the document's form of an attribute that was read from `raw`."""
        unchanged = None if raw is None else self.read(raw)
        if value.__class__ is unchanged.__class__ and value == unchanged:
            return to_json(raw)
        return to_json(value)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        if not self.accepts(value):
            raise ValidationError(refusal(self.expected, value))
        return self.read(value)


def refusal(expected: str, value: Any) -> str:
    """Say why a value doesn't fit: by its type, never by the value, which may be personal."""
    kind = "this text" if isinstance(value, str) else _NAMES.get(type(value), "a number")
    return f"expected {expected}, not {kind}"


class Text(ModelField):
    """Text. A number is taken for its digits."""

    plain = frozenset({str, int, float})
    expected = "text"

    def accepts(self, value: Any) -> bool:
        """Refuse booleans, which Python counts among the numbers."""
        return isinstance(value, str | int | float) and not isinstance(value, bool)

    def read(self, value: Any) -> str:
        """Return the text."""
        return value if isinstance(value, str) else str(value)


class Boolean(ModelField):
    """A boolean: itself, 1 or 0, or one of marshmallow's words for them, such as "true" or "no"."""

    plain = frozenset({bool})
    expected = "a boolean"

    def accepts(self, value: Any) -> bool:
        """Take blank texts too."""
        return isinstance(value, str | int | float) and (value == "" or value in _FLAGS)

    def read(self, value: Any) -> bool | None:
        """Return the boolean."""
        return value if value.__class__ is bool else _FLAGS.get(value)


class Quantity(ModelField):
    """A number, as a number or as text; an int where it is whole."""

    plain = frozenset({int})
    expected = "a number"

    def accepts(self, value: Any) -> bool:
        """Take numbers and their texts, not infinities."""
        if isinstance(value, str):
            return bool(_NUMBER.match(value)) or value in ("", "unlimited")
        if isinstance(value, float):
            return math.isfinite(value)
        return isinstance(value, int) and not isinstance(value, bool)

    def read(self, value: Any) -> int | float | None:
        """Return the number."""
        if value.__class__ is str:
            if value.isdecimal():
                return int(value)
            if value in ("", "unlimited"):
                return UNLIMITED if value else None
            value = float(value)
        return int(value) if value == int(value) else float(value)


class Integer(Quantity):
    """A whole number, as a number or as text."""

    expected = "a whole number"

    def accepts(self, value: Any) -> bool:
        """Take what reads as an int."""
        return super().accepts(value) and not isinstance(self.read(value), float)


class DateTime(ModelField):
    """A date and time in ISO 8601; a date alone is its midnight. Naive values are in UTC.

    A text without a zone is in UTC. So is a naive value that code sets, and it is written so.
    """

    expected = "an ISO 8601 date and time"

    def accepts(self, value: Any) -> bool:
        """Take what can be parsed."""
        try:
            return value == "" or bool(datetime.fromisoformat(value))
        except (TypeError, ValueError):
            return False

    def read(self, value: str) -> datetime | None:
        """Return the moment in UTC, without a zone."""
        if not value:
            return None
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            return moment
        try:
            return moment.astimezone(UTC).replace(tzinfo=None)
        except OverflowError:  # Its year in UTC would be 0 or 10000: the text is no real moment.
            return moment.replace(tzinfo=None)

    def write(self, value: Any, raw: Any) -> Any:
        """Return the text as it came, or the ISO 8601 text of another moment."""
        is_naive = isinstance(value, datetime) and value.tzinfo is None
        if is_naive and (raw is None or value != self.read(raw)):
            return value.replace(tzinfo=UTC).isoformat()
        return super().write(value, raw)


class AnyJSON(ModelField):
    """Any JSON, as it came."""

    plain = frozenset({str, int, float, bool, list, dict})

    def accepts(self, value: Any) -> bool:  # noqa: ARG002 - the others look at it
        """Take everything."""
        return True


class Object(ModelField):
    """A JSON object that is kept as a dict."""

    plain = frozenset({dict})
    expected = "an object"

    def accepts(self, value: Any) -> bool:
        """Take blank texts too."""
        return isinstance(value, dict) or value == ""

    def read(self, value: Any) -> dict[str, Any] | None:
        """Return the dict."""
        return None if value == "" else value


class Nested(fields.Nested, ModelField):
    """An object with a model of its own.

    Args:
        model: The model, a subclass of `JSONObject`.
        schema_of: Gives a model's Schema.
        bare: Where Connect may send a text instead of the object: the key the text stands for.
    """

    expected = "an object"

    def __init__(
        self,
        model: type[Any],
        *,
        schema_of: Callable[[type[Any]], Schema],
        bare: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(lambda: schema_of(model), **options)
        self.model = model
        self.bare = bare
        self._schema_of = schema_of

    @property
    def schema(self) -> Schema:
        """The model's one Schema; marshmallow's own `Nested` would keep a copy per field."""
        return self._schema_of(self.model)

    def read(self, value: Any) -> Any:
        """Return the object's model; its own fields are read when they are asked for."""
        if isinstance(value, dict):
            return self.model._from_raw(value)
        return self.model._from_raw({self.bare: value}) if value and self.bare else None

    def write(self, value: Any, raw: Any) -> Any:
        """Return the object's document, or the bare text it was if nothing changed."""
        written = to_json(value)
        if isinstance(raw, str) and written == to_json(self.read(raw)):
            return raw
        return written

    def _deserialize(self, value: Any, *place: Any, **options: Any) -> Any:
        if isinstance(value, dict):
            return super()._deserialize(value, *place, **options)
        if value == "" or (isinstance(value, str) and self.bare):
            return self.read(value)
        raise ValidationError(refusal(self.expected, value))


class ListOf(fields.List[Any], ModelField):
    """A list of one kind. Its elements are never null, unless they may be anything."""

    expected = "a list"

    def __init__(self, inner: ModelField, **options: Any) -> None:
        inner.allow_none = isinstance(inner, AnyJSON)
        super().__init__(inner, **options)
        self.of = inner

    def read(self, value: Any) -> list[Any] | None:
        """Return a list of what the elements read."""
        read = self.of.read
        return [read(item) for item in value] if isinstance(value, list) else None

    def write(self, value: Any, raw: Any) -> Any:
        """Return the list's document; as it came if nothing changed."""
        written = to_json(value)
        if written == raw or (raw is not None and written == to_json(self.read(raw))):
            return to_json(raw)
        return written

    def _deserialize(self, value: Any, *place: Any, **options: Any) -> Any:
        if isinstance(value, list):
            return super()._deserialize(value, *place, **options)
        if value == "":
            return None
        raise ValidationError(refusal(self.expected, value))

"""What a setting means, said where it is declared.

README's table and docs/configuration.md are written from these descriptions (`make tables`)::

    sweep_seconds: float = field(default=10.0, metadata=told("between two sweeps"))
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, Final

#: What a setting's value is measured in, by the end of its name.
_UNITS: Final = {"_seconds": "seconds", "_days": "days"}
_KEY: Final = "connect_worker.settings.docs"


@dataclass(frozen=True, slots=True)
class Description:
    """What a person who sets a variable wants to know."""

    #: All that set it, the first one before the others; without their prefix.
    variables: tuple[str, ...]
    #: What holds while none of them is set, as Markdown; "" for nothing.
    default: str
    #: "" for what is not measured.
    unit: str
    #: Markdown, in one line.
    meaning: str


@dataclass(frozen=True, slots=True)
class _Told:
    meaning: str
    unset: str | None
    also: tuple[str, ...]


def doc(
    meaning: str, *, unset: str | None = None, also: tuple[str, ...] = ()
) -> Mapping[str, object]:
    """Return a field's metadata: what its setting means.

    A field with `repr=False` holds a secret: `NAME_FILE` may name a file with its value.

    Args:
        meaning: Markdown, in one line; a link names a file from this project's root.
        unset: What to say of the default, where its value does not say it.
        also: Further variables that set it, without their prefix.
    """
    return {_KEY: _Told(meaning, unset, also)}


def descriptions(settings: type) -> Iterator[Description]:
    """Describe each field of a dataclass of settings, in the order of its declaration.

    Raises:
        TypeError: A field has no description.
    """
    for field in fields(settings):
        said = field.metadata.get(_KEY)
        if not isinstance(said, _Told):
            raise TypeError(f"{field.name} is not described: give its field `metadata=told(…)`")
        variable = field.name.upper()
        file = () if field.repr else (f"{variable}_FILE",)
        yield Description(
            variables=(variable, *file, *said.also),
            default=_default(field) if said.unset is None else said.unset,
            unit=next((unit for end, unit in _UNITS.items() if field.name.endswith(end)), ""),
            meaning=said.meaning,
        )


def _default(one: Field[Any]) -> str:
    """The default as one would write it into the variable."""
    value = one.default
    if value is MISSING or value in (None, "", ()):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"{value:g}" if isinstance(value, int | float) else f"`{value}`"

"""Declares a setting: its default, how its variable is read, and what it means.

`make tables` writes docs/configuration.md from the descriptions::

    sweep_seconds: float = setting(10.0, number, "time between two sweeps")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from enum import Enum, auto
from typing import Any, Final

from environs import Env

#: The unit of a setting, by the end of its name.
_UNITS: Final = {"_seconds": "seconds", "_days": "days"}
_KEY: Final = "connect_worker.settings.docs"


@dataclass(frozen=True, slots=True)
class Description:
    """What a person who sets a variable needs to know."""

    #: All variables that set it, without their prefix; the first one takes precedence.
    variables: tuple[str, ...]
    #: The value while none of them is set, as Markdown; "" for none.
    default: str
    #: "" for a setting without a unit.
    unit: str
    #: Markdown, in one line.
    meaning: str


@dataclass(frozen=True, slots=True)
class _Doc:
    meaning: str
    unset: str | None
    also: tuple[str, ...]


def doc(
    meaning: str, *, unset: str | None = None, also: tuple[str, ...] = ()
) -> Mapping[str, object]:
    """Return a field's metadata: what its setting means.

    A field with `repr=False` is a secret: `NAME_FILE` may name a file that contains it.

    Args:
        meaning: Markdown, in one line; a link names a file from this project's root.
        unset: The text for the default, if its value does not explain itself.
        also: Further variables that set it, without their prefix.
    """
    return {_KEY: _Doc(meaning, unset, also)}


class Scope(Enum):
    """Whose setting it is where `CONNECT_ACCOUNTS` names several accounts."""

    #: An account's own value, or else the one of all accounts.
    ACCOUNT = auto()
    #: An account's own value only: an account must not get that of another one.
    OWN = auto()
    #: One value for the whole deployment.
    DEPLOYMENT = auto()


@dataclass(frozen=True, slots=True)
class Reading:
    """How a setting is read."""

    #: Returns the value of a variable, or the default.
    read: Callable[[Env, str, Any], Any]
    scope: Scope


#: Its key in the metadata of a field.
READING: Final = "connect_worker.settings.reading"


def setting(
    default: object,
    read: Callable[[Env, str, Any], Any],
    meaning: str,
    *,
    scope: Scope = Scope.ACCOUNT,
    is_secret: bool = False,
    unset: str | None = None,
) -> Any:
    """Declare a setting: a field of `Settings` whose variable has its name in capitals.

    Args:
        default: The value while the variable is not set.
        read: Reads the variable.
        meaning: As in `doc`.
        scope: Whose setting it is.
        is_secret: Whether to leave it out of texts, and to read it from a file too.
        unset: As in `doc`.
    """
    metadata = {**doc(meaning, unset=unset), READING: Reading(read, scope)}
    return field(default=default, repr=not is_secret, metadata=metadata)


def descriptions(settings: type) -> Iterator[Description]:
    """Describe each field of a dataclass of settings, in the order of its declaration.

    Raises:
        TypeError: A field has no description.
    """
    for item in fields(settings):
        described = item.metadata.get(_KEY)
        if not isinstance(described, _Doc):
            raise TypeError(f"{item.name} has no description: give its field `metadata=doc(…)`")
        variable = item.name.upper()
        file = () if item.repr else (f"{variable}_FILE",)
        yield Description(
            variables=(variable, *file, *described.also),
            default=_default(item) if described.unset is None else described.unset,
            unit=next((unit for end, unit in _UNITS.items() if item.name.endswith(end)), ""),
            meaning=described.meaning,
        )


def _default(item: Field[Any]) -> str:
    """The default, as it would be written into the variable."""
    value = item.default
    if value is MISSING or value in (None, "", ()):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"{value:g}" if isinstance(value, int | float) else f"`{value}`"

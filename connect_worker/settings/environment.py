"""A setting and its variable: how it is declared, described, read and found when misspelled.

`make tables` writes docs/configuration.md from the descriptions::

    sweep_seconds: float = setting(10.0, number, "time between two sweeps")

A blank variable counts as missing. No error message shows a value that may contain a secret.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from difflib import get_close_matches
from enum import Enum, auto
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Final, TypeVar

from environs import Env, ValidationError
from marshmallow.validate import OneOf, Range, Regexp

from connect_worker.exceptions import SettingsError
from connect_worker.observability.masking import register_secret

# ---- a setting is declared at its field, and described from there

#: The unit of a setting, by the end of its name.
_UNITS: Final = {"_seconds": "seconds", "_days": "days"}
_KEY: Final = "connect_worker.settings.environment"


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


# ---- a variable is read, or a secret from a file

PREFIX: Final = "CONNECT_"
#: A number with a default, or one that may be missing.
N = TypeVar("N", float, float | None)

Network = IPv4Network | IPv6Network

#: No two accounts have the same variable: `EU` and `_API_KEY` would be `EU_` and `API_KEY`.
_ACCOUNT = re.compile(r"(?=.{1,30}$)[a-z][a-z0-9]*(_[a-z0-9]+)*", re.ASCII)
#: The name of a queue. kombu and Redis allow more characters, a command line and an ACL do not.
QUEUE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
#: The seconds of about 30 years. Timers and clocks refuse much longer times.
_NOT_TOO_MUCH = Range(max=1e9, error="must be at most 1000000000")
_MORE_THAN_NOTHING = Range(min=0, min_inclusive=False, error="must be more than 0")


def text(env: Env, name: str, default: str = "", *, validate: Regexp | OneOf | None = None) -> str:
    """Return a text, or the default."""
    if is_blank(env, name):
        return default
    value: str = env.str(name, "", validate=validate)
    return (value or "").strip()


def secret(
    env: Env, name: str, default: str = "", *, validate: Regexp | None = None, mask: bool = False
) -> str:
    """Return a secret: the value of `NAME`, or what is in the file that `NAME_FILE` names.

    Docker and Kubernetes mount secrets as files. Blanks and line breaks around the value are
    removed.

    Args:
        env: The environment.
        name: The variable, without its prefix.
        default: The value if neither variable is set.
        validate: What the value must be like.
        mask: Whether to mask the value in all texts from now on.

    Raises:
        SettingsError: Both variables are set, or the file can't be read or has no usable value.
    """
    file = text(env, f"{name}_FILE")
    if not file:
        value = text(env, name, default, validate=validate)
    elif is_blank(env, name):
        value = _secret_in(file, f"{PREFIX}{name}_FILE", validate)
    else:
        variable = f"{PREFIX}{name}"
        raise refused(f"{variable}_FILE", f"{variable} is set too: remove one of the two")
    if mask:
        register_secret(value)
    return value


def _secret_in(file: str, variable: str, validate: Regexp | None) -> str:
    try:
        value = Path(file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise refused(variable, f"{file} can't be read: {_why_unreadable(file, exc)}") from None
    if not value:
        raise refused(variable, f"{file} is empty")
    try:
        if validate is not None:
            validate(value)
    except ValidationError as exc:
        reason = f"the value in {file} {' '.join(map(str, exc.messages))}"
        raise refused(variable, reason) from None
    return value


def _why_unreadable(file: str, error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    if not isinstance(error, PermissionError):
        return str(error.strerror)
    user = os.geteuid()
    try:
        found = Path(file).stat()
    except OSError:
        return f"a folder above it is closed to this process, which runs as user {user}"
    return (
        f"this process runs as user {user} (group {os.getegid()}), and the file belongs to user "
        f"{found.st_uid} (group {found.st_gid}) with mode {found.st_mode & 0o7777:04o}. Make it "
        f"readable where it comes from, such as with `chown {user}`"
    )


def login(env: Env, name: str, default: str = "") -> str:
    """Return a secret of the form `user:password`, and mask the password from now on.

    Those in Flower's own variable are masked too: a text may quote the whole environment.
    """
    value = secret(env, name, default)
    for item in (value, *os.environ.get("FLOWER_BASIC_AUTH", "").split(",")):
        register_secret(item.partition(":")[2])
    return value


def api_key(env: Env, name: str, default: str = "") -> str:
    """Return a service user's key, and mask its secret part from now on."""
    value = secret(env, name, default)
    register_secret(value.partition(":")[2])
    return value


#: Stands in a list of encryption keys for values that are not encrypted.
PLAIN_KEY: Final = "plain"


def encryption_keys(env: Env, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the listed keys of a secret, separated by commas, and mask them from now on.

    Raises:
        SettingsError: One of them is no Fernet key.
    """
    text = secret(env, name)
    keys = tuple(part.strip() for part in text.split(",") if part.strip())
    register_secret(*(key for key in keys if key != PLAIN_KEY))
    if text and set(keys) <= {PLAIN_KEY}:
        # Nobody sets it to store everything as it is.
        what = (
            f"add one to {PLAIN_KEY!r}, or remove it" if keys else "add one, or remove the commas"
        )
        raise refused(f"{PREFIX}{name}", f"names no key: {what}")
    for position, key in enumerate(keys, 1):
        if key != PLAIN_KEY and not re.fullmatch(r"[\w+/-]{43}=", key, re.ASCII):
            raise refused(
                f"{PREFIX}{name}",
                f"key {position} of {len(keys)} is no Fernet key: use 32 random bytes in URL-safe "
                "Base64, such as `openssl rand -base64 32` prints",
            )
    return keys or default


def number(env: Env, name: str, default: N, *, validate: Range = _MORE_THAN_NOTHING) -> N:
    """Return a number, with or without a fraction."""
    if is_blank(env, name):
        return default
    value: N = env.float(name, default, validate=[validate, _NOT_TOO_MUCH])
    return value


def whole(env: Env, name: str, default: int, *, validate: Range) -> int:
    """Return a whole number."""
    if is_blank(env, name):
        return default
    value: int = env.int(name, default, validate=[validate, _NOT_TOO_MUCH])
    return value


def switch(env: Env, name: str, default: bool) -> bool:
    """Return a boolean."""
    if is_blank(env, name):
        return default
    value: bool = env.bool(name, default)
    return value


def names(env: Env, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the listed names, separated by commas."""
    if is_blank(env, name):
        return default
    listed: list[str] = env.list(name, [])
    return tuple(part.strip() for part in listed if part.strip())


def queue_names(env: Env, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the listed names of queues, each once.

    Raises:
        SettingsError: A queue can't have one of these names.
    """
    listed = names(env, name, default)
    for item in listed:
        if not QUEUE_NAME.fullmatch(item) or item == "control":
            raise refused(
                f"{PREFIX}{name}",
                f"{item[:40]!r} is no name of a queue: use up to 64 letters, digits, '-', '_' and "
                "'.', and not `control`",
            )
    return tuple(dict.fromkeys(listed))


def networks(env: Env, name: str, default: tuple[Network, ...] = ()) -> tuple[Network, ...]:
    """Return the listed networks; an address is a network with one member.

    Raises:
        SettingsError: One of them is neither an address nor a network.
    """
    listed: list[Network] = []
    for item in names(env, name):
        try:
            listed.append(ip_network(item))
        except ValueError:
            raise refused(
                f"{PREFIX}{name}",
                f"{item[:60]!r} is no address and no network: use 10.0.0.7 or 10.0.0.0/24",
            ) from None
    return tuple(listed) or default


def account_names(env: Env, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the listed names of accounts, in lower case.

    Raises:
        SettingsError: A name can't be part of a variable's name, or is listed twice.
    """
    listed = tuple(item.lower() for item in names(env, name, default))
    for item in listed:
        if not _ACCOUNT.fullmatch(item):
            raise refused(
                f"{PREFIX}{name}",
                f"{item[:40]!r} is no name of an account: use up to 30 letters, digits and single "
                "underscores, beginning with a letter",
            )
    if len(set(listed)) < len(listed):
        raise refused(f"{PREFIX}{name}", "it lists a name twice")
    return listed


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches a server that listens at this address."""
    try:
        return address == "localhost" or ip_address(address).is_loopback
    except ValueError:
        return False


def is_blank(env: Env, name: str) -> bool:
    """Whether a variable is missing or blank, as a compose file or a script leaves an unset one."""
    value: str | None = env.str(name, "")
    return not (value or "").strip()


def refused(variable: str, why: str) -> SettingsError:
    """Return the error that refuses a variable."""
    return SettingsError(f"settings refused: {variable}: {why}", setting=variable)


# ---- typos


#: From 0 to 1. One or two letters may differ; a vendor's own `CONNECT_…` must not be reported.
_ALIKE = 0.8


@dataclass(frozen=True, slots=True)
class Typo:
    """A variable that is not read, and the setting that the user probably meant."""

    name: str
    suggestion: str

    def __str__(self) -> str:
        return f"{self.name} is not a setting. Did you mean {self.suggestion}?"


def find_typos(
    settings: type, environment: Mapping[str, str], accounts: tuple[str, ...] = ()
) -> Iterator[Typo]:
    """Find variables whose name is nearly that of a setting.

    Args:
        settings: The dataclass of all settings.
        environment: All variables, those of `.env` included.
        accounts: The names of several accounts; each has variables of its own.
    """
    variables = [name for description in descriptions(settings) for name in description.variables]
    owners = ["", *(f"{account.upper()}_" for account in accounts if account)]
    known = {f"{owner}{variable}" for owner in owners for variable in variables}
    for name in sorted(environment):
        variable = name.removeprefix(PREFIX)
        if not name.startswith(PREFIX) or variable in known or not environment[name].strip():
            continue
        for suggestion in get_close_matches(variable, known, n=1, cutoff=_ALIKE):
            yield Typo(name, f"{PREFIX}{suggestion}")

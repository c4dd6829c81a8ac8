"""Reading single variables of the environment, and the secrets that files hold for them.

A blank value counts as none, and no message shows a value that may hold a secret.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from environs import Env, ValidationError
from marshmallow.validate import OneOf, Range, Regexp

from connect_worker.exceptions import SettingsError
from connect_worker.observability.masking import register_secret

PREFIX: Final = "CONNECT_"
#: A number that has a default, or one that may be left out.
N = TypeVar("N", float, float | None)

#: So that no two have one variable, `EU` and `_API_KEY` beside `EU_` and `API_KEY`.
_ACCOUNT = re.compile(r"(?=.{1,30}$)[a-z][a-z0-9]*(_[a-z0-9]+)*", re.ASCII)
#: What a queue may be called: kombu and Redis take more, a command line and an ACL do not.
QUEUE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_MORE_THAN_NOTHING = Range(min=0, min_inclusive=False, error="must be more than 0")


def text(env: Env, name: str, *, validate: Regexp | OneOf | None = None) -> str:
    """Return a text; "" when there is none."""
    if is_blank(env, name):
        return ""
    value: str = env.str(name, "", validate=validate)
    return (value or "").strip()


def secret(env: Env, name: str, *, validate: Regexp | None = None) -> str:
    """Return a secret, given as `NAME` or as the file that `NAME_FILE` names; "" without both.

    Docker and Kubernetes mount secrets as files; a line break at a file's end is no part of it.

    Raises:
        SettingsError: Both are given, or the file can't be read or holds nothing usable.
    """
    variable = f"{PREFIX}{name}"
    file = text(env, f"{name}_FILE")
    if not file:
        return text(env, name, validate=validate)
    if not is_blank(env, name):
        raise _refused(f"{variable}_FILE", f"{variable} is given too: leave one of them out")
    try:
        value = Path(file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        said = exc.strerror if isinstance(exc, OSError) else "it is no UTF-8 text"
        raise _refused(f"{variable}_FILE", f"{file} can't be read: {said}") from None
    if not value:
        raise _refused(f"{variable}_FILE", f"{file} is empty")
    try:
        if validate is not None:
            validate(value)
    except ValidationError as exc:
        said = f"what is in {file} {' '.join(map(str, exc.messages))}"
        raise _refused(f"{variable}_FILE", said) from None
    return value


def hide_passwords(variable: str, url: str) -> None:
    """Have the passwords in a URL hidden from now on; several URLs have semicolons between.

    Raises:
        SettingsError: It can't be read, or its password is where programs show it.
    """
    for item in url.split(";"):
        try:
            parts = urlsplit(item)
            # Read here, for its own error would show what it takes for a port.
            _ = parts.port
        except ValueError:
            raise _refused(
                variable, "is no URL: write special characters of a password as %2F and the like"
            ) from None
        if "password" in parse_qs(parts.query):
            raise _refused(variable, "has its password in the query: put it before the @")
        register_secret(parts.password or "", unquote(parts.password or ""))


def encryption_keys(listed: str) -> tuple[str, ...]:
    """Return the keys that are listed with commas between, and have them hidden from now on.

    Raises:
        SettingsError: One of them is no key of Fernet's.
    """
    keys = tuple(part.strip() for part in listed.split(",") if part.strip())
    register_secret(*keys)
    for place, key in enumerate(keys, 1):
        if not re.fullmatch(r"[\w+/-]{43}=", key, re.ASCII):
            raise _refused(
                "CONNECT_ENCRYPTION_KEY",
                f"key {place} of {len(keys)} is none: it must be 32 random bytes in URL-safe "
                "Base64, such as `openssl rand -base64 32` prints",
            )
    return keys


def number(env: Env, name: str, default: N, *, validate: Range = _MORE_THAN_NOTHING) -> N:
    """Return a number, with or without a fraction."""
    if is_blank(env, name):
        return default
    value: N = env.float(name, default, validate=validate)
    return value


def whole(env: Env, name: str, default: int, *, validate: Range) -> int:
    """Return a whole number."""
    if is_blank(env, name):
        return default
    value: int = env.int(name, default, validate=validate)
    return value


def switch(env: Env, name: str, *, default: bool) -> bool:
    """Return yes or no."""
    if is_blank(env, name):
        return default
    value: bool = env.bool(name, default)
    return value


def names(env: Env, name: str) -> tuple[str, ...]:
    """Return what is listed with commas between."""
    if is_blank(env, name):
        return ()
    listed: list[str] = env.list(name, [])
    return tuple(part.strip() for part in listed if part.strip())


def queue_names(env: Env, name: str) -> tuple[str, ...]:
    """Return the listed names of queues, each once.

    Raises:
        SettingsError: One of them can't be the name of a queue.
    """
    found = names(env, name)
    for item in found:
        if not QUEUE_NAME.fullmatch(item) or item == "control":
            raise _refused(
                f"{PREFIX}{name}",
                f"{item[:40]!r} is no name of a queue: up to 64 letters, digits, '-', '_' and '.', "
                "and not `control`",
            )
    return tuple(dict.fromkeys(found))


def account_names(env: Env, name: str) -> tuple[str, ...]:
    """Return the listed names of accounts, in small letters.

    Raises:
        SettingsError: One of them can't be a part of a variable's name, or is there twice.
    """
    found = tuple(item.lower() for item in names(env, name))
    for item in found:
        if not _ACCOUNT.fullmatch(item):
            raise _refused(
                f"{PREFIX}{name}",
                f"{item[:40]!r} is no name of an account: up to 30 letters, digits and single "
                "underscores, beginning with a letter",
            )
    if len(set(found)) < len(found):
        raise _refused(f"{PREFIX}{name}", "it has a name twice")
    return found


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches a server that listens at this address."""
    try:
        return address == "localhost" or ip_address(address).is_loopback
    except ValueError:
        return False


def is_blank(env: Env, name: str) -> bool:
    """Whether it is not there, or empty: one that a compose file or a shell script left unset."""
    value: str | None = env.str(name, "")
    return not (value or "").strip()


def _refused(variable: str, why: str) -> SettingsError:
    return SettingsError(f"settings refused: {variable}: {why}", setting=variable)

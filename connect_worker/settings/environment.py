"""Reads single variables of the environment, and secrets from files.

A blank variable counts as missing. No error message shows a value that may contain a secret.
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
#: A number with a default, or one that may be missing.
N = TypeVar("N", float, float | None)

#: No two accounts have the same variable: `EU` and `_API_KEY` would be `EU_` and `API_KEY`.
_ACCOUNT = re.compile(r"(?=.{1,30}$)[a-z][a-z0-9]*(_[a-z0-9]+)*", re.ASCII)
#: The name of a queue. kombu and Redis allow more characters, a command line and an ACL do not.
QUEUE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
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
        raise _refused(f"{variable}_FILE", f"{variable} is set too: remove one of the two")
    if mask:
        register_secret(value)
    return value


def _secret_in(file: str, variable: str, validate: Regexp | None) -> str:
    try:
        value = Path(file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is no UTF-8 text"
        raise _refused(variable, f"{file} can't be read: {reason}") from None
    if not value:
        raise _refused(variable, f"{file} is empty")
    try:
        if validate is not None:
            validate(value)
    except ValidationError as exc:
        reason = f"the value in {file} {' '.join(map(str, exc.messages))}"
        raise _refused(variable, reason) from None
    return value


def server_url(env: Env, name: str, default: str, *, validate: Regexp) -> str:
    """Return the URL of a server, a secret, and mask its password from now on.

    Raises:
        SettingsError: As `secret` and `mask_passwords` raise it.
    """
    value = secret(env, name, default, validate=validate)
    mask_passwords(f"{PREFIX}{name}", value)
    return value


def login(env: Env, name: str, default: str = "") -> str:
    """Return a secret of the form `user:password`, and mask the password from now on."""
    value = secret(env, name, default)
    register_secret(value.partition(":")[2])
    return value


def mask_passwords(variable: str, url: str) -> None:
    """Mask the passwords in a URL from now on; semicolons separate several URLs.

    Raises:
        SettingsError: The URL is malformed, or its password is where programs show it.
    """
    for item in url.split(";"):
        try:
            parts = urlsplit(item)
            # Read here, for its own error would show what it takes for a port.
            _ = parts.port
        except ValueError:
            raise _refused(
                variable, "is no URL: quote special characters of a password, such as %2F for /"
            ) from None
        if "password" in parse_qs(parts.query):
            raise _refused(variable, "has its password in the query: put it before the @")
        register_secret(parts.password or "", unquote(parts.password or ""))


#: Stands in a list of encryption keys for values that are not encrypted.
PLAIN_KEY: Final = "plain"


def encryption_keys(env: Env, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the listed keys of a secret, separated by commas, and mask them from now on.

    Raises:
        SettingsError: One of them is no Fernet key.
    """
    keys = tuple(part.strip() for part in secret(env, name).split(",") if part.strip())
    register_secret(*(key for key in keys if key != PLAIN_KEY))
    if keys == (PLAIN_KEY,):
        raise _refused(f"{PREFIX}{name}", f"names no key: add one to {PLAIN_KEY!r}, or remove it")
    for position, key in enumerate(keys, 1):
        if key != PLAIN_KEY and not re.fullmatch(r"[\w+/-]{43}=", key, re.ASCII):
            raise _refused(
                f"{PREFIX}{name}",
                f"key {position} of {len(keys)} is no Fernet key: use 32 random bytes in URL-safe "
                "Base64, such as `openssl rand -base64 32` prints",
            )
    return keys or default


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
            raise _refused(
                f"{PREFIX}{name}",
                f"{item[:40]!r} is no name of a queue: use up to 64 letters, digits, '-', '_' and "
                "'.', and not `control`",
            )
    return tuple(dict.fromkeys(listed))


def account_names(env: Env, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the listed names of accounts, in lower case.

    Raises:
        SettingsError: A name can't be part of a variable's name, or is listed twice.
    """
    listed = tuple(item.lower() for item in names(env, name, default))
    for item in listed:
        if not _ACCOUNT.fullmatch(item):
            raise _refused(
                f"{PREFIX}{name}",
                f"{item[:40]!r} is no name of an account: use up to 30 letters, digits and single "
                "underscores, beginning with a letter",
            )
    if len(set(listed)) < len(listed):
        raise _refused(f"{PREFIX}{name}", "it lists a name twice")
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


def _refused(variable: str, why: str) -> SettingsError:
    return SettingsError(f"settings refused: {variable}: {why}", setting=variable)

"""The signature of a notification: a JSON Web Token in its `Authorization` header.

Connect signs with HS256 and the `jwt_secret` of the webhook; its documentation names no claims. So
every claim may be missing, and each claim that is present is checked. The token does not cover the
body, so the receiver trusts nothing in the body.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt

#: The only algorithm that is accepted, whatever the token's header names (such as `none`).
ALGORITHMS: Final = ("HS256",)
#: A token from Connect has a few hundred characters.
MAX_TOKEN_CHARACTERS: Final = 4096
#: How much Connect's clock and this machine's clock may differ.
LEEWAY_SECONDS: Final = 60.0
#: An older token is rejected. A notification is remembered for this long, or until its token
#: expires.
DAY_SECONDS: Final = 86_400.0
MAX_REMEMBERED_DAYS: Final = 7
#: Far beyond every time, and no problem for a float.
_MAX_SECONDS: Final = 2.0**53
_TIMES: Final = ("exp", "iat", "nbf")


class SignatureError(Exception):
    """The token is missing, malformed, wrong or too old. The text is for the log."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A token whose signature is valid."""

    #: Header and claims as they were signed; the signature itself has several encodings.
    signed: str
    #: The token's id (`jti`); "" without one.
    token_id: str
    #: How long the notification has to be remembered, to recognize a replay.
    remember_seconds: float

    def digest(self, body: bytes) -> str:
        """Return what identifies the notification when it is sent again.

        Several notifications may have the same token if it has no id: then the body counts too.
        """
        parts = (b"name", self.token_id.encode()) if self.token_id else (self.signed.encode(), body)
        return hashlib.sha256(b"\n".join(parts)).hexdigest()


def verify(authorization: str, secret: str, *, now: float) -> Signature:
    """Verify the header of a notification; `now` is in seconds since the epoch.

    Raises:
        SignatureError: The header is malformed, the signature wrong, or the token too old.
    """
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise SignatureError("no token")
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise SignatureError("the token is too long")
    options: Any = {"verify_aud": False, "verify_iss": False, "verify_sub": False}
    try:
        claims: Mapping[str, Any] = jwt.decode(
            token, secret, algorithms=list(ALGORITHMS), options=options, leeway=LEEWAY_SECONDS
        )
    except jwt.ExpiredSignatureError:
        raise SignatureError("expired") from None
    except jwt.InvalidSignatureError:
        raise SignatureError("wrong signature") from None
    except (jwt.PyJWTError, ValueError, OverflowError, RecursionError) as error:
        raise SignatureError(type(error).__name__) from None
    for name in _TIMES:
        if name in claims and not _is_time(claims[name]):
            raise SignatureError(f"{name} is not a time")
    return Signature(token.rpartition(".")[0], _token_id(claims), _remember(claims, now))


def _is_time(value: object) -> bool:
    """Whether a claim is a number of seconds (RFC 7519); Python's JSON also has `Infinity`."""
    return type(value) in (int, float) and abs(value) <= _MAX_SECONDS  # type: ignore[arg-type]


def _token_id(claims: Mapping[str, Any]) -> str:
    token_id = claims.get("jti")
    if not isinstance(token_id, str):
        return ""
    try:
        token_id.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair (`\ud800`) is no text.
        raise SignatureError("jti is not text") from None
    return token_id


def _remember(claims: Mapping[str, Any], now: float) -> float:
    """Return for how long the token would be accepted if it were sent again."""
    issued, expires = claims.get("iat"), claims.get("exp")
    if issued is not None and now - float(issued) > DAY_SECONDS:
        raise SignatureError("older than a day")
    if expires is None:
        return DAY_SECONDS + LEEWAY_SECONDS
    return min(
        max(float(expires) - now, 0.0) + 2 * LEEWAY_SECONDS, MAX_REMEMBERED_DAYS * DAY_SECONDS
    )

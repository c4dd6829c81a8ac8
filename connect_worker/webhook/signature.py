"""Who has signed a notification: a JSON Web Token in its `Authorization` header.

Connect signs with HS256 and the `jwt_secret` of the webhook; its documentation names no claims. So
every claim may be missing, and each that is there is checked. The token does not cover the body,
which is one more reason to believe nothing of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt

#: The only one that is taken, whatever a token says of itself: `none` least of all.
ALGORITHMS: Final = ("HS256",)
#: A token of Connect's has a few hundred characters.
MOST_CHARACTERS: Final = 4096
#: How far Connect's clock and this machine's may be apart.
LEEWAY_SECONDS: Final = 60.0
#: An older token is refused. So long, or until a token expires, a notification is remembered.
DAY_SECONDS: Final = 86_400.0
MOST_DAYS: Final = 7


class NotSigned(Exception):  # noqa: N818 - as the project's other errors are named
    """Nobody who knows the secret has signed it, or not lately. Its text is for the log."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A token whose signature is right."""

    #: Header and claims, as they were signed: the signature can be written in several ways.
    signed: str
    #: The token's own name; "" when it has none.
    name: str
    #: How long the notification has to be remembered.
    remember_seconds: float

    def digest(self, body: bytes) -> str:
        """Name the notification, so that it is known when it comes again.

        A token without a name may be the same for several notifications: then the body counts too.
        """
        parts = (b"name", self.name.encode()) if self.name else (self.signed.encode(), body)
        return hashlib.sha256(b"\n".join(parts)).hexdigest()


def verify(authorization: str, secret: str, *, now: float) -> Signature:
    """Check the header of a notification; `now` in seconds since the epoch.

    Raises:
        NotSigned: The header is missing or malformed, the signature wrong, or the token too old.
    """
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise NotSigned("no token")
    if len(token) > MOST_CHARACTERS:
        raise NotSigned("the token is too long")
    options: Any = {"verify_aud": False, "verify_iss": False, "verify_sub": False}
    try:
        claims: Mapping[str, Any] = jwt.decode(
            token, secret, algorithms=list(ALGORITHMS), options=options, leeway=LEEWAY_SECONDS
        )
    except jwt.ExpiredSignatureError:
        raise NotSigned("expired") from None
    except jwt.InvalidSignatureError:
        raise NotSigned("wrong signature") from None
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise NotSigned(type(error).__name__) from None
    return Signature(token.rpartition(".")[0], _name(claims), _remember(claims, now))


def _name(claims: Mapping[str, Any]) -> str:
    name = claims.get("jti")
    return name if isinstance(name, str) else ""


def _remember(claims: Mapping[str, Any], now: float) -> float:
    """Return how long a token could come again and would be taken."""
    issued, expires = claims.get("iat"), claims.get("exp")
    if issued is not None and now - float(issued) > DAY_SECONDS:
        raise NotSigned("older than a day")
    if expires is None:
        return DAY_SECONDS + LEEWAY_SECONDS
    return min(max(float(expires) - now, 0.0) + 2 * LEEWAY_SECONDS, MOST_DAYS * DAY_SECONDS)

"""Who may use the console: origin checks, the password, sessions, and what a session may confirm.

Sessions are in memory: after a restart all users sign in again.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar
from urllib.parse import urlsplit

from connect_worker.domain.states import RequestRecord
from connect_worker.operations.actions import Action, ActionResult

# ---- origin checks: is this the page that the browser means?

#: The address of a list with all of its filters is shorter.
MAX_PATH_CHARACTERS: Final = 2000
_PORTS: Final = {"http": 80, "https": 443}


def is_own_origin(headers: Mapping[str, str], host: str, console_url: str) -> bool:
    """Whether a request that changes something comes from a page of the console.

    Browsers send `Origin` with every POST, and most send `Sec-Fetch-Site`; `Referer` counts
    without an `Origin`. A script that sends none of them still needs the token of the form.

    The process itself speaks http, so an origin with https is the public address or none. Where
    the public address has https, a page with http at the same name is another site.
    """
    if headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return False
    source = headers.get("Origin", headers.get("Referer"))
    if source is None:
        return True
    public, direct = _origin(console_url), _origin(f"http://{host}")
    own = {public}
    if direct and not (public and public[:2] == ("https", direct[1])):
        own.add(direct)
    return _origin(source) in own - {None}


def is_wanted_load(headers: Mapping[str, str]) -> bool:
    """Whether a page is loaded by the console itself or by a person, who may come from elsewhere.

    Another site could load pages as images or frames, again and again: it sees nothing of them,
    but each costs time.
    """
    site = headers.get("Sec-Fetch-Site", "none")
    return site in ("none", "same-origin") or headers.get("Sec-Fetch-Dest") == "document"


def local_path(target: str) -> str:
    r"""Return a path of this console, or `/`; `//elsewhere` and `/\elsewhere` lead out of it."""
    if len(target) > MAX_PATH_CHARACTERS or not target.isprintable():
        return "/"
    return target if target.startswith("/") and target[1:2] not in ("/", "\\") else "/"


def _origin(url: str) -> tuple[str, str, int] | None:
    """Return scheme, name and port; None for what is no origin, such as `null`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    return parts.scheme, parts.hostname, _PORTS[parts.scheme] if port is None else port


# ---- the password


def is_password(entered: str, password: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(entered.encode("utf-8", "replace"), password.encode())


# ---- sessions

T = TypeVar("T")

#: A working day and its evening.
SESSION_SECONDS: Final = 12 * 3600.0
#: After so long without a page that the person asked for; a page's own refreshes do not count.
IDLE_SECONDS: Final = 3600.0
MAX_SESSIONS: Final = 200
#: How many unconfirmed actions, and how many reports, a session keeps.
MAX_PENDING: Final = 8


@dataclass(frozen=True, slots=True)
class PendingAction:
    """What a person was asked to confirm: exactly these requests are changed."""

    account: str
    action: Action
    records: list[RequestRecord]
    #: Already has the requests for which the action is not possible.
    result: ActionResult
    #: The page to return to.
    back: str


@dataclass(frozen=True, slots=True)
class ActionReport:
    """What became of a confirmed action."""

    pending: PendingAction
    #: Why it stopped before its end; "" when it did not.
    problem: str = ""


@dataclass(slots=True)
class Session:
    """One person's browser."""

    #: The name that the person gave when signing in.
    who: str
    until: float
    #: When it ends unless the person asks for another page.
    idle_until: float
    pending: dict[str, PendingAction] = field(default_factory=dict)
    reports: dict[str, ActionReport] = field(default_factory=dict)


class Sessions:
    """The open sessions, by a random name that only the cookie has.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: dict[str, Session] = {}

    def begin(self, who: str) -> str:
        """Open a session and return its name; of too many sessions the oldest ends."""
        name = secrets.token_urlsafe(32)
        now = self._clock()
        session = Session(who, now + SESSION_SECONDS, now + IDLE_SECONDS)
        keep_newest(self._open, name, session, limit=MAX_SESSIONS)
        return name

    def find(self, name: str) -> Session | None:
        """Return an open session."""
        session = self._open.get(name)
        if session is None or min(session.until, session.idle_until) <= self._clock():
            self.end(name)
            return None
        return session

    def touch(self, name: str) -> None:
        """Note that the person asked for a page."""
        if session := self.find(name):
            session.idle_until = self._clock() + IDLE_SECONDS

    def end(self, name: str) -> None:
        """Close a session; its cookie is worthless from now on."""
        self._open.pop(name, None)


def keep_newest(items: dict[str, T], name: str, item: T, *, limit: int = MAX_PENDING) -> None:
    """Add an item, and drop the oldest ones beyond the limit."""
    items[name] = item
    while len(items) > limit:
        del items[next(iter(items))]

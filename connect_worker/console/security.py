"""Who may use the console: origin checks, the password, sessions, and what a session may confirm.

Sessions are in memory: after a restart all users sign in again.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, TypeVar
from urllib.parse import urlsplit

from connect_worker.domain.states import RequestRecord
from connect_worker.operations.actions import Action, ActionResult

# ---- origin checks: is this the host, and the page, that the browser means?


def is_known_host(host: str, console_url: str) -> bool:
    """Whether a `Host` header names this console.

    A page of another site may make its own name lead to this address (DNS rebinding), and would
    then have the same origin as the console. So a name must be known; an IP address is not a name.
    """
    name = _host_name(f"//{host}")
    if not name:
        return False
    return name == "localhost" or _is_ip_address(name) or name == _host_name(console_url)


def is_own_origin(origin: str | None, fetch_site: str | None, host: str, console_url: str) -> bool:
    """Whether a request that changes something comes from a page of the console.

    Browsers send `Origin` with every POST, and most send `Sec-Fetch-Site`. A script that sends
    neither still needs the token of the form.
    """
    if fetch_site not in (None, "same-origin"):
        return False
    if origin is None:
        return True
    own = {host.lower(), _host_and_port(console_url)}
    return bool(_host_and_port(origin)) and _host_and_port(origin) in own


def local_path(target: str) -> str:
    r"""Return a path of this console, or `/`; `//elsewhere` and `/\elsewhere` lead out of it."""
    is_local = target.startswith("/") and target[1:2] not in ("/", "\\") and target.isprintable()
    return target if is_local else "/"


def _host_name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _host_and_port(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""


def _is_ip_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


# ---- the password

WINDOW_SECONDS: Final = 60.0
#: Wrong passwords within the window, from one address and from all addresses together.
MAX_WRONG_PER_ADDRESS: Final = 5
MAX_WRONG: Final = 50


class Throttle:
    """Makes an address wait after too many wrong passwords within a minute.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: The time and address of each wrong password, oldest first.
        self._wrong: deque[tuple[float, str]] = deque()

    def wait_seconds(self, address: str) -> float:
        """Return how long this address has to wait; 0 when it may try."""
        now = self._clock()
        while self._wrong and self._wrong[0][0] <= now - WINDOW_SECONDS:
            self._wrong.popleft()
        of_address = [at for at, other in self._wrong if other == address]
        waits = [0.0]
        if len(of_address) >= MAX_WRONG_PER_ADDRESS:
            waits.append(of_address[-MAX_WRONG_PER_ADDRESS] + WINDOW_SECONDS - now)
        if len(self._wrong) >= MAX_WRONG:
            waits.append(self._wrong[-MAX_WRONG][0] + WINDOW_SECONDS - now)
        return max(waits)

    def record_wrong(self, address: str) -> None:
        """Count a wrong password."""
        self._wrong.append((self._clock(), address))


def is_password(entered: str, password: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(entered.encode("utf-8", "replace"), password.encode())


# ---- sessions

T = TypeVar("T")

#: A working day and its evening.
SESSION_SECONDS: Final = 12 * 3600.0
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
        session = Session(who, self._clock() + SESSION_SECONDS)
        keep_newest(self._open, name, session, limit=MAX_SESSIONS)
        return name

    def find(self, name: str) -> Session | None:
        """Return an open session."""
        session = self._open.get(name)
        if session is None or session.until <= self._clock():
            self.end(name)
            return None
        return session

    def end(self, name: str) -> None:
        """Close a session; its cookie is worthless from now on."""
        self._open.pop(name, None)


def keep_newest(items: dict[str, T], name: str, item: T, *, limit: int = MAX_PENDING) -> None:
    """Add an item, and drop the oldest ones beyond the limit."""
    items[name] = item
    while len(items) > limit:
        del items[next(iter(items))]

"""Who has signed in; in memory, so that a restart signs everybody out."""

from __future__ import annotations

import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from connect_worker.domain.states import RequestRecord
from connect_worker.operations.actions import Action, Result

# The password: compared without telling how much of it was right, and not tried in a row.

WINDOW_SECONDS: Final = 60.0
#: Wrong passwords within the window, from one address and from all together.
MOST_OF_ONE: Final = 5
MOST_OF_ALL: Final = 50


class Throttle:
    """Remembers wrong passwords for a minute.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: When, and from which address; the oldest first.
        self._wrong: deque[tuple[float, str]] = deque()

    def wait_seconds(self, address: str) -> float:
        """Return how long this address has to wait until it may try; 0 when it may."""
        now = self._clock()
        while self._wrong and self._wrong[0][0] <= now - WINDOW_SECONDS:
            self._wrong.popleft()
        its_own = [at for at, whose in self._wrong if whose == address]
        waits = [0.0]
        if len(its_own) >= MOST_OF_ONE:
            waits.append(its_own[-MOST_OF_ONE] + WINDOW_SECONDS - now)
        if len(self._wrong) >= MOST_OF_ALL:
            waits.append(self._wrong[-MOST_OF_ALL][0] + WINDOW_SECONDS - now)
        return max(waits)

    def note_wrong(self, address: str) -> None:
        """Count a wrong password."""
        self._wrong.append((self._clock(), address))


def is_right(given: str, password: str) -> bool:
    """Compare, in a time that depends on neither."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), password.encode())


T = TypeVar("T")

#: A working day and its evening.
SESSION_SECONDS: Final = 12 * 3600.0
MOST_SESSIONS: Final = 200
#: Of its questions and answers a session remembers the last ones.
MOST_PAPERS: Final = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """What a person was asked to confirm: exactly this is done."""

    account: str
    act: Action
    entries: list[RequestRecord]
    #: Holds those already that it can't be done to.
    result: Result
    #: The page from which it was asked for.
    back: str


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a plan."""

    plan: Plan
    #: Why it broke off; "" when it did not.
    problem: str = ""


@dataclass(slots=True)
class Session:
    """One person's browser."""

    who: str
    until: float
    plans: dict[str, Plan] = field(default_factory=dict)
    reports: dict[str, Report] = field(default_factory=dict)


class Sessions:
    """The open sessions, by a random id that only the cookie has.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: dict[str, Session] = {}

    def begin(self, who: str) -> str:
        """Open a session; of too many the oldest ends."""
        name = secrets.token_urlsafe(32)
        keep(self._open, name, Session(who, self._clock() + SESSION_SECONDS), MOST_SESSIONS)
        return name

    def find(self, name: str) -> Session | None:
        """Return an open session."""
        session = self._open.get(name)
        if session is None or session.until <= self._clock():
            self.end(name)
            return None
        return session

    def end(self, name: str) -> None:
        """Close a session, wherever its cookie is."""
        self._open.pop(name, None)


def keep(papers: dict[str, T], name: str, paper: T, most: int = MOST_PAPERS) -> None:
    """Put a paper on the pile; the oldest goes when there are too many."""
    papers[name] = paper
    while len(papers) > most:
        del papers[next(iter(papers))]

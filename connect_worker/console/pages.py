"""What all pages have in common: who may see them, what browsers are told, and how errors look."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from tornado.web import HTTPError, RequestHandler

from connect_worker.console.origin_checks import is_known_host, is_own_origin
from connect_worker.console.sessions import Session, Sessions, Throttle
from connect_worker.engine.ports import Ledger
from connect_worker.exceptions import LedgerUnavailable
from connect_worker.logger import LogEvent
from connect_worker.operations.actions import count
from connect_worker.operations.formatting import clean, span

# What the console is told at its start.


@dataclass(frozen=True, slots=True)
class Account:
    """One account, and what of its settings is told or needed here."""

    ledger: Ledger
    #: Seconds between two polls, by kind.
    poll_seconds: Mapping[str, float] = field(default_factory=dict)
    max_calls_per_second: float | None = None
    #: How long a discarded request is remembered.
    keep_days: float = 7.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """The accounts that it shows, and how it is reached."""

    #: By name; the first one is shown when none is named.
    accounts: Mapping[str, Account]
    #: "": nobody may change anything, and everybody may look.
    password: str = field(default="", repr=False)
    #: Where people find the console, and Flower; "" when nobody has said.
    console_url: str = ""
    flower_url: str = ""

    @property
    def is_read_only(self) -> bool:
        """Whether nobody may change anything."""
        return not self.password


T = TypeVar("T")

log: Final = logging.getLogger("connect_worker.console")

#: Nothing but the console's own files, no script or style in a page, and no frame around it. With
#: Trusted Types not even the console's own script can make markup of a text.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # Nothing is told to other sites. With `no-referrer` browsers would say `Origin: null` to the
    # console itself, and a form of its own could not be told from one of another site.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Server": "connect-worker",
}
_SIGNED_OUT: Final = "Sign in again: the session has ended."


@dataclass(frozen=True, slots=True)
class House:
    """What the handlers of one console share."""

    deployment: Deployment
    sessions: Sessions
    throttle: Throttle
    #: Where the ledger is read, which may take its time.
    threads: Executor
    cookie: str


class Page(RequestHandler):
    """A page that only those see who may, for one of the accounts."""

    #: Whether it is shown to people who have not signed in.
    is_open = False
    #: Which tab it belongs to.
    tab = ""

    def initialize(self, house: House) -> None:
        """Take what all handlers share."""
        self.house = house
        self.deployment = house.deployment

    def set_default_headers(self) -> None:
        """Tell the browser to be careful, and to keep nothing."""
        for name, text in HEADERS.items():
            self.set_header(name, text)
        self.set_header("Cache-Control", "no-store")

    def check_xsrf_cookie(self) -> None:
        """Refuse to change anything for another site, or for anybody in a read-only console."""
        self._check_host()
        if self.deployment.is_read_only:
            raise HTTPError(403, reason="This console is read-only: it has no password")
        headers = self.request.headers
        if not is_own_origin(
            headers.get("Origin"),
            headers.get("Sec-Fetch-Site"),
            self.request.host,
            self.deployment.console_url,
        ):
            raise HTTPError(403, reason="This came from another site")
        super().check_xsrf_cookie()

    def prepare(self) -> None:
        """Let in who may see the page; others sign in first."""
        self._check_host()
        if self.is_open or self.may_look:
            return
        if self.is_fragment or self.request.method != "GET":
            raise HTTPError(401, reason=_SIGNED_OUT)
        self.redirect(f"/login?{urlencode({'next': self.request.uri or '/'})}")

    def _check_host(self) -> None:
        if not is_known_host(self.request.host, self.deployment.console_url):
            raise HTTPError(421, reason="Unknown host name: set CONNECT_CONSOLE_URL")

    # ---- who asks, and for what

    @property
    def session(self) -> Session | None:
        """The session of who has signed in."""
        return self.house.sessions.find(self.session_name)

    @property
    def session_name(self) -> str:
        """What the cookie says; "" when it is not one of this console's."""
        return (self.get_signed_cookie(self.house.cookie, max_age_days=1) or b"").decode()

    @property
    def may_look(self) -> bool:
        """Whether the page may be shown."""
        return self.deployment.is_read_only or self.session is not None

    @property
    def may_act(self) -> bool:
        """Whether requests may be changed."""
        return not self.deployment.is_read_only and self.session is not None

    @property
    def is_fragment(self) -> bool:
        """Whether only the part that changes by itself is asked for."""
        return self.get_query_argument("part", "") == "live"

    @property
    def account(self) -> str:
        """The account that is asked for.

        Raises:
            HTTPError: There is none of that name.
        """
        name = self.get_argument("account", next(iter(self.deployment.accounts)))
        if name not in self.deployment.accounts:
            raise HTTPError(404, reason="There is no such account")
        return name

    async def read(self, question: Callable[[Ledger], T]) -> T:
        """Ask the account's ledger, in a thread: others are answered meanwhile.

        Raises:
            LedgerUnavailable: It does not answer.
        """
        return await self.read_of(self.account, question)

    async def read_of(self, account: str, question: Callable[[Ledger], T]) -> T:
        """Ask one account's ledger."""
        ledger, loop = self.deployment.accounts[account].ledger, asyncio.get_running_loop()
        return await loop.run_in_executor(self.house.threads, question, ledger)

    # ---- how it looks

    def show(self, name: str, **facts: Any) -> None:
        """Answer with the template of this name, or with the part of it that changes."""
        self.render(f"{name}_live.html" if self.is_fragment else f"{name}.html", **facts)

    def link(self, path: str, **words: str | int | None) -> str:
        """Return the address of a page of this account."""
        names = list(self.deployment.accounts)
        asked = self.get_argument("account", "")
        given = {"account": asked if asked in names[1:] else "", **words}
        query = urlencode({name: text for name, text in given.items() if text})
        return f"{path}?{query}" if query else path

    def get_template_namespace(self) -> dict[str, Any]:
        """Return what all templates know."""
        return {
            **super().get_template_namespace(),
            "clean": clean,
            "count": count,
            "deployment": self.deployment,
            "link": self.link,
            "account": self.get_argument("account", "") or next(iter(self.deployment.accounts)),
            "may_act": self.may_act,
            "session": self.session,
            "span": span,
            "tab": self.tab,
            "utc": utc,
        }

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Say what is wrong and what to do; never show a traceback."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        is_away = isinstance(error, LedgerUnavailable)
        if is_away:
            self.set_status(503)
            self.set_header("Retry-After", "5")
            said = clean(str(error))
        elif status_code == 500:
            said = "Something went wrong here; the console's log says what."
        else:
            said = self._reason
        self.render("error.html", said=said, is_away=is_away, status=self.get_status())

    def log_exception(self, *details: Any) -> None:
        """Log what is a fault of the program; a ledger that is away is one line."""
        error = details[1]
        if isinstance(error, LedgerUnavailable):
            log.warning(LogEvent("console.ledger_unavailable", error=clean(str(error))))
        elif not isinstance(error, HTTPError):
            log.error("console page failed", exc_info=error)

    def note(self, event: str, /, **facts: object) -> None:
        """Write a line about what somebody has done here."""
        log.info(LogEvent(event, **facts, address=self.request.remote_ip))


class Missing(Page):
    """Where nothing is."""

    is_open = True

    def prepare(self) -> None:
        """Say that there is nothing.

        Raises:
            HTTPError: Always.
        """
        super().prepare()
        raise HTTPError(404, reason="There is no such page")


def utc(at: float) -> str:
    """Return a moment for people, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")

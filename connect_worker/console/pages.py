"""What all pages share: who may see them, their headers, access to the ledger, and error pages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from tornado.web import HTTPError, RequestHandler

from connect_worker.console.security import (
    Session,
    Sessions,
    Throttle,
    is_known_host,
    is_own_origin,
)
from connect_worker.engine.ports import Ledger
from connect_worker.exceptions import LedgerUnavailable
from connect_worker.logger import LogEvent
from connect_worker.operations import webserver
from connect_worker.operations.formatting import (
    format_count,
    format_duration,
    sanitize,
    utc_time,
)
from connect_worker.operations.requests import reason

T = TypeVar("T")

log: Final = logging.getLogger("connect_worker.console")

#: Only the console's own files; no script or style in a page; no frame around it. With Trusted
#: Types not even the console's own script can turn a text into markup.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # Other sites learn nothing. With `no-referrer` browsers would send `Origin: null` to the
    # console itself, and it could not distinguish its own forms from those of another site.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Server": "connect-worker",
}
_SIGNED_OUT: Final = "Sign in again: the session has ended."


@dataclass(frozen=True, slots=True)
class Account:
    """One account, with the settings that its pages need."""

    ledger: Ledger
    #: Seconds between two polls, by kind.
    poll_seconds: Mapping[str, float] = field(default_factory=dict)
    max_calls_per_second: float | None = None
    #: How many days the ledger keeps a discarded request.
    keep_days: float = 7.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """The accounts that the console shows, and how it is reached."""

    #: By name; the first one is shown when the address names none.
    accounts: Mapping[str, Account]
    #: "" makes the console read-only, without signing in.
    password: str = field(default="", repr=False)
    #: The public addresses of the console and of Flower; "" when not set.
    console_url: str = ""
    flower_url: str = ""

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be changed in the console."""
        return not self.password


@dataclass
class AppState(webserver.AppState):
    """What the handlers of one console share."""

    deployment: Deployment
    sessions: Sessions
    throttle: Throttle
    #: The name of the session's cookie.
    cookie: str


class Page(RequestHandler):
    """A page about one account, for the people who may see it."""

    #: Whether the page is shown to people who have not signed in.
    is_public = False
    #: The tab that is marked in the navigation.
    tab = ""

    def initialize(self, state: AppState) -> None:
        """Take what all handlers share."""
        self.state = state
        self.deployment = state.deployment

    def set_default_headers(self) -> None:
        """Send the security headers, and forbid caching."""
        for name, text in HEADERS.items():
            self.set_header(name, text)
        self.set_header("Cache-Control", "no-store")

    def check_xsrf_cookie(self) -> None:
        """Reject changes from other sites, and every change in a read-only console.

        Raises:
            HTTPError: The change is rejected.
        """
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
            raise HTTPError(403, reason="This request came from another site")
        super().check_xsrf_cookie()

    def prepare(self) -> None:
        """Let people in who may see the page; send the others to the sign-in page.

        Raises:
            HTTPError: The host is unknown, or the session has ended.
        """
        self._check_host()
        if self.is_public or self.may_read:
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
        """The session of the person who has signed in."""
        return self.state.sessions.find(self.session_name)

    @property
    def session_name(self) -> str:
        """The session's name in the cookie; "" without a cookie of this console."""
        return (self.get_signed_cookie(self.state.cookie, max_age_days=1) or b"").decode()

    @property
    def may_read(self) -> bool:
        """Whether this visitor may see the page."""
        return self.deployment.is_read_only or self.session is not None

    @property
    def may_change(self) -> bool:
        """Whether this visitor may change requests."""
        return not self.deployment.is_read_only and self.session is not None

    @property
    def is_fragment(self) -> bool:
        """Whether only the part that refreshes itself is requested."""
        return self.get_query_argument("part", "") == "live"

    @property
    def account(self) -> str:
        """The name of the account that the page is about.

        Raises:
            HTTPError: There is no account of that name.
        """
        name = self.get_argument("account", next(iter(self.deployment.accounts)))
        if name not in self.deployment.accounts:
            raise HTTPError(404, reason="There is no such account")
        return name

    async def read(self, function: Callable[[Ledger], T]) -> T:
        """Call a function with the account's ledger in a thread.

        Raises:
            LedgerUnavailable: The ledger does not answer.
        """
        return await self.read_account(self.account, function)

    async def read_account(self, account: str, function: Callable[[Ledger], T]) -> T:
        """Do the same with the ledger of another account."""
        ledger, loop = self.deployment.accounts[account].ledger, asyncio.get_running_loop()
        return await loop.run_in_executor(self.state.threads, function, ledger)

    # ---- what is sent

    def show(self, name: str, **values: Any) -> None:
        """Render the template of this name, or only its part that refreshes itself."""
        self.render(f"{name}_live.html" if self.is_fragment else f"{name}.html", **values)

    def link(self, path: str, **parameters: str | int | None) -> str:
        """Return the address of a page about this account."""
        names = list(self.deployment.accounts)
        requested = self.get_argument("account", "")
        account = requested if requested in names[1:] else ""
        pairs = {"account": account, **parameters}
        query = urlencode({name: text for name, text in pairs.items() if text})
        return f"{path}?{query}" if query else path

    def get_template_namespace(self) -> dict[str, Any]:
        """Return the names that all templates know."""
        return {
            **super().get_template_namespace(),
            "account": self.get_argument("account", "") or next(iter(self.deployment.accounts)),
            "deployment": self.deployment,
            "format_count": format_count,
            "format_duration": format_duration,
            "link": self.link,
            "may_change": self.may_change,
            "reason": reason,
            "sanitize": sanitize,
            "session": self.session,
            "tab": self.tab,
            "utc_time": utc_time,
        }

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Show what is wrong and what to do; never a traceback."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        is_unavailable = isinstance(error, LedgerUnavailable)
        if is_unavailable:
            self.set_status(503)
            self.set_header("Retry-After", "5")
            message = sanitize(str(error))
        elif status_code == 500:
            message = "An error occurred in the console; its log has the details."
        else:
            message = self._reason
        self.render(
            "error.html", message=message, is_unavailable=is_unavailable, status=self.get_status()
        )

    def log_exception(self, *details: Any) -> None:
        """Log errors of the program with a traceback, and a missing ledger in one line."""
        error = details[1]
        if isinstance(error, LedgerUnavailable):
            log.warning(LogEvent("console.ledger_unavailable", error=sanitize(str(error))))
        elif not isinstance(error, HTTPError):
            log.error(LogEvent("console.page_failed"), exc_info=error)

    def audit(self, event: str, /, **fields: object) -> None:
        """Log what a person did in the console."""
        log.info(LogEvent(event, **fields, address=self.request.remote_ip))


class NotFoundPage(Page):
    """Answers for every unknown path."""

    is_public = True

    def prepare(self) -> None:
        """Answer 404.

        Raises:
            HTTPError: Always.
        """
        super().prepare()
        raise HTTPError(404, reason="There is no such page")

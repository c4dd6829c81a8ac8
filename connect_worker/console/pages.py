"""What all pages share: who may see them, their headers, access to the ledger, and error pages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from tornado.web import HTTPError, RequestHandler

from connect_worker._web_access import (
    Throttle,
    is_https,
    is_known_host,
    visitor_address,
)
from connect_worker.console.security import (
    Session,
    Sessions,
    is_own_origin,
    is_wanted_load,
    local_path,
)
from connect_worker.engine.ports import Ledger
from connect_worker.exceptions import LedgerUnavailable
from connect_worker.logger import LogEvent, event_logger
from connect_worker.observability.logging import LogThrottle
from connect_worker.observability.output import (
    format_count,
    format_duration,
    sanitize,
    shorten,
    utc_time,
)
from connect_worker.operations import webserver
from connect_worker.operations.requests import reason
from connect_worker.settings.environment import Network

T = TypeVar("T")

log: Final = event_logger("connect_worker.console")

#: Only the console's own files; no script or style in a page; no frame around it. With Trusted
#: Types not even the console's own script can turn a text into markup.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Permitted-Cross-Domain-Policies": "none",
    "Server": "connect-worker",
}
#: A longer parameter or field is refused before anything looks at it.
MAX_ARGUMENT_BYTES: Final = 8 * 1024
#: How many searches through all records run at the same time, and how many may wait for them.
MAX_SEARCHES: Final = 2
MAX_WAITING_SEARCHES: Final = 16
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
    #: The proxies whose `X-Forwarded-For` counts.
    trusted_proxies: tuple[Network, ...] = ()

    @property
    def is_https(self) -> bool:
        """Whether browsers reach the console by https."""
        return is_https(self.console_url)

    @property
    def cookie_flags(self) -> dict[str, Any]:
        """How its cookies are set: only this host gets them, and no script."""
        return {"httponly": True, "samesite": "Strict", "secure": self.is_https}

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
    #: Of sign-ins that are refused.
    log_throttle: LogThrottle = field(default_factory=LogThrottle)
    #: The searches that run at the same time; each occupies a thread until its end.
    searches: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_SEARCHES))
    #: How many searches run or wait.
    searching: int = 0


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
        self._is_gone = False

    def set_default_headers(self) -> None:
        """Forbid caching; the security headers come with every answer of the application."""
        self.set_header("Cache-Control", "no-store")

    def on_connection_close(self) -> None:
        """Note that nobody waits for the page any more."""
        self._is_gone = True

    def decode_argument(self, value: bytes, name: str | None = None) -> str:
        """Decode a parameter or field.

        Raises:
            HTTPError: It is too long.
        """
        if len(value) > MAX_ARGUMENT_BYTES:
            raise HTTPError(400, reason=f"A field has more than {MAX_ARGUMENT_BYTES} bytes")
        return super().decode_argument(value, name)

    def check_xsrf_cookie(self) -> None:
        """Reject changes from other sites, and every change in a read-only console.

        Raises:
            HTTPError: The change is rejected.
        """
        self._check_host()
        if self.deployment.is_read_only:
            raise HTTPError(403, reason="This console is read-only: it has no password")
        headers = self.request.headers
        if not is_own_origin(headers, self.request.host, self.deployment.console_url):
            raise HTTPError(
                403,
                reason="This request came from another site. If it did not, set "
                "CONNECT_CONSOLE_URL to the address in your browser",
            )
        super().check_xsrf_cookie()

    def prepare(self) -> None:
        """Let people in who may see the page; send the others to the sign-in page.

        Raises:
            HTTPError: The host is unknown, or the session has ended.
        """
        self._check_host()
        if not is_wanted_load(self.request.headers):
            raise HTTPError(403, reason="Another site may link to this page, and not include it")
        if not self.is_fragment:
            self.state.sessions.touch(self.session_name)
        if self.is_public or self.may_read:
            return
        if self.is_fragment or self.request.method != "GET":
            raise HTTPError(401, reason=_SIGNED_OUT)
        target = local_path(self.request.uri or "/")
        self.redirect(f"/login?{urlencode({'next': target})}")

    def _check_host(self) -> None:
        if not is_known_host(self.request.host, self.deployment.console_url):
            raise HTTPError(421, reason="Unknown host name: set CONNECT_CONSOLE_URL")

    # ---- who asks, and for what

    @property
    def address(self) -> str:
        """The address of the visitor."""
        return visitor_address(self.request, self.deployment.trusted_proxies)

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

    @property
    def _requested_account(self) -> str:
        """The name in the address; "" when it names none that there is, as on an error page."""
        try:
            name = self.get_argument("account", "")
        except HTTPError:
            return ""
        return name if name in self.deployment.accounts else ""

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

    async def search(self, function: Callable[[Ledger, Callable[[], bool]], T]) -> T:
        """Call a function that walks through all records, and may ask whether to stop.

        The threads are for all pages, so only a few may walk. A walk that nobody waits for any
        more stops.

        Raises:
            HTTPError: Too many wait already.
            LedgerUnavailable: The ledger does not answer.
        """
        state = self.state
        if state.searching >= MAX_SEARCHES + MAX_WAITING_SEARCHES:
            raise HTTPError(503, reason="Too many searches are running: try again in a few seconds")
        state.searching += 1
        try:
            async with state.searches:
                return await self.read(lambda ledger: function(ledger, lambda: self._is_gone))
        finally:
            state.searching -= 1

    # ---- what is sent

    def show(self, name: str, **values: Any) -> None:
        """Render the template of this name, or only its part that refreshes itself."""
        self.render(f"{name}_live.html" if self.is_fragment else f"{name}.html", **values)

    def link(self, path: str, **parameters: str | int | None) -> str:
        """Return the address of a page about this account."""
        names = list(self.deployment.accounts)
        requested = self._requested_account
        account = requested if requested in names[1:] else ""
        pairs = {"account": account, **parameters}
        query = urlencode({name: text for name, text in pairs.items() if text})
        return f"{path}?{query}" if query else path

    def get_template_namespace(self) -> dict[str, Any]:
        """Return the names that all templates know."""
        return {
            **super().get_template_namespace(),
            "account": self._requested_account or next(iter(self.deployment.accounts)),
            "deployment": self.deployment,
            "format_count": format_count,
            "format_duration": format_duration,
            "link": self.link,
            "may_change": self.may_change,
            "reason": reason,
            "sanitize": sanitize,
            "session": self.session,
            "shorten": shorten,
            "tab": self.tab,
            "utc_time": utc_time,
        }

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Show what is wrong and what to do; never a traceback."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        is_unavailable = isinstance(error, LedgerUnavailable)
        if is_unavailable:
            self.set_status(503)
            message = sanitize(str(error))
        elif status_code == 500:
            message = "An error occurred in the console; its log has the details."
        else:
            message = self._reason
        if self.get_status() == 503:
            self.set_header("Retry-After", "5")
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
        log.info(LogEvent(event, **fields, address=self.address))


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

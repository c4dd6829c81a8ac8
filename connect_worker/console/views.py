"""The pages for reading: the status, the list, one request; and the pages to sign in and out."""

from __future__ import annotations

import json
import math
from typing import Final

from tornado.web import HTTPError

from connect_worker.console.charts import LastDay, last_day
from connect_worker.console.pages import Account, Page
from connect_worker.console.requests import DEFAULT_STATE, Query, RequestPage, read_page
from connect_worker.console.security import is_password, local_path
from connect_worker.domain.kinds import has_periods
from connect_worker.domain.states import RequestKind
from connect_worker.observability.output import (
    MAX_NAME_CHARACTERS,
    sanitize,
    utc_time,
)
from connect_worker.operations.actions import ACTIONS, PAUSE_NAMES, describe_pause
from connect_worker.operations.requests import (
    MAX_ID_CHARACTERS,
    STATE_WORDS,
    facts,
    find_by_id,
    stored_outcome,
    timeline,
    without_values,
)
from connect_worker.operations.status import OPEN_STATES, StatusReport, read_status

#: How many hours the charts show, the current one included.
HOURS: Final = 24
MAX_WHO_CHARACTERS: Final = 40
_TOO_LONG: Final = f"Shorten the id and the filters to {MAX_ID_CHARACTERS} characters each"


class StatusPage(Page):
    """The status of each kind, and charts of the last day."""

    tab = "status"

    async def get(self) -> None:
        """Show it."""
        account = self.deployment.accounts[self.account]
        report, days = await self.read(lambda _: read_report(account))
        self.show(
            "status",
            report=report,
            days=days,
            states=OPEN_STATES,
            pause_names=PAUSE_NAMES,
            describe_pause=describe_pause,
            max_name=MAX_NAME_CHARACTERS,
        )


def read_report(account: Account) -> tuple[StatusReport, dict[RequestKind, LastDay]]:
    """Read an account's status, and the charts of its last day."""
    report = read_status(
        account.ledger,
        poll_seconds=account.poll_seconds,
        max_calls_per_second=account.max_calls_per_second,
    )
    hours = account.ledger.completed_by_hour(HOURS)
    return report, {kind: last_day(kind, hours) for kind in RequestKind}


class RequestListPage(Page):
    """Requests that have something in common, a page at a time."""

    tab = "requests"

    async def get(self) -> None:
        """Show one page of the list."""
        query = query_of(self)
        page: RequestPage
        if query.is_search:
            page = await self.search(
                lambda ledger, is_cancelled: read_page(ledger, query, is_cancelled)
            )
        else:
            page = await self.read(lambda ledger: read_page(ledger, query))
        self.show(
            "requests", page=page, query=page.query, states=STATE_WORDS, kinds=list(RequestKind)
        )


class RequestDetailsPage(Page):
    """One request: its facts, its timeline, its decision."""

    tab = "requests"

    async def get(self) -> None:
        """Show it; of a usage listing, the latest period."""
        request_id = self.get_query_argument("id", "")
        if len(request_id) > MAX_ID_CHARACTERS:
            raise HTTPError(400, reason=_TOO_LONG)
        if has_periods(request_id):
            records = await self.search(lambda ledger, _: find_by_id(ledger, request_id))
        else:
            records = await self.read(lambda ledger: find_by_id(ledger, request_id))
        now = await self.read(lambda ledger: ledger.now())
        if not records:
            self.set_status(404)
            keep_days = self.deployment.accounts[self.account].keep_days
            self.render("no_request.html", request_id=request_id, keep_days=keep_days)
            return
        *others, record = records
        decision = None
        if record.decision is not None:
            document = without_values(stored_outcome(record))
            decision = json.dumps(document, ensure_ascii=False, indent=2)
        self.show(
            "request",
            record=record,
            others=others,
            facts=list(facts(record, now, format_time=utc_time)),
            entries=timeline(record),
            decision=decision,
            actions=[action for action in ACTIONS.values() if not action.why_not(record)],
        )


def query_of(page: Page) -> Query:
    """Return the list that an address or a form asks for.

    Raises:
        HTTPError: There is no such state or kind, or a filter is too long.
    """
    state, kind = page.get_argument("state", "") or DEFAULT_STATE, page.get_argument("kind", "")
    if state not in STATE_WORDS or kind not in ("", *RequestKind):
        raise HTTPError(400, reason="There is no such state or kind")
    number = page.get_argument("page", "1")
    product, prefix, error = (page.get_argument(name, "") for name in ("product", "id", "error"))
    if max(map(len, (product, prefix, error))) > MAX_ID_CHARACTERS:
        raise HTTPError(400, reason=_TOO_LONG)
    return Query(
        state=state,
        kind=RequestKind(kind) if kind else None,
        product=product,
        prefix=prefix,
        error=error,
        newest_first=page.get_argument("order", "") == "newest",
        # Python refuses to read thousands of digits; a page after the last one shows the last one.
        page=max(1, int(number[:9])) if number.isascii() and number.isdigit() else 1,
    )


class SignInPage(Page):
    """Asks for the password."""

    is_public = True

    def get(self) -> None:
        """Show the form; people who need not sign in go on."""
        if self.may_read:
            self.redirect(local_path(self.get_query_argument("next", "/")))
            return
        self._show_form()

    def post(self) -> None:
        """Begin a session if the password is right."""
        throttle, address = self.state.throttle, self.address
        if wait := math.ceil(throttle.wait_seconds(address)):
            self.set_status(429)
            self.set_header("Retry-After", str(wait))
            self._log_refusal(why="too many wrong passwords")
            self._show_form(f"Too many wrong passwords. Try again in {wait} seconds.")
            return
        who = self.get_body_argument("who", "")[:MAX_WHO_CHARACTERS]
        who = sanitize(who) or "somebody"
        entered = self.get_body_argument("password", "", strip=False)
        if not is_password(entered, self.deployment.password):
            throttle.record_wrong(address)
            self.set_status(403)
            self._log_refusal(by=who, why="wrong password")
            self._show_form("Wrong password.")
            return
        throttle.record_right(address)
        # Always a new session: another person could know the name of an older one.
        self.state.sessions.end(self.session_name)
        name = self.state.sessions.begin(who)
        flags = self.deployment.cookie_flags
        self.set_signed_cookie(self.state.cookie, name, expires_days=None, **flags)
        self.audit("console.signed_in", by=who)
        self.redirect(local_path(self.get_body_argument("next", "/")), status=303)

    def _log_refusal(self, **fields: object) -> None:
        if (more := self.state.log_throttle.facts()) is not None:
            self.audit("console.sign_in_refused", **fields, **more)

    def _show_form(self, problem: str = "") -> None:
        self.render(
            "sign_in.html", problem=problem, next_page=local_path(self.get_argument("next", "/"))
        )


class SignOut(Page):
    """Ends a session."""

    def post(self) -> None:
        """Forget the session here, and its cookie in the browser."""
        session = self.session
        self.state.sessions.end(self.session_name)
        self.clear_cookie(self.state.cookie, **self.deployment.cookie_flags)
        self.audit("console.signed_out", by=session.who if session else "")
        self.redirect("/login", status=303)

"""The pages that change something: confirm, execute and report an action; pause and resume."""

from __future__ import annotations

import secrets
from typing import Any, Final

from tornado.web import HTTPError

from connect_worker.console.pages import Account, Page
from connect_worker.console.request_list import read_all
from connect_worker.console.security import (
    ActionReport,
    PendingAction,
    Session,
    keep_newest,
    local_path,
)
from connect_worker.console.views import query_of
from connect_worker.domain.states import RequestKey, RequestRecord
from connect_worker.exceptions import LedgerUnavailable
from connect_worker.operations.actions import (
    ACTIONS,
    ActionResult,
    apply_action,
    is_pause_name,
    partition,
)
from connect_worker.operations.formatting import sanitize

#: How many requests are shown before and after an action.
MAX_SHOWN: Final = 20
#: A longer reason of a pause is cut.
MAX_REASON_CHARACTERS: Final = 200


class ChangingPage(Page):
    """A page for people who may change requests."""

    tab = "requests"

    @property
    def operator(self) -> Session:
        """The session of the person who changes something.

        Raises:
            HTTPError: The console is read-only, or the person has not signed in.
        """
        session = self.session
        if session is None or not self.may_change:
            raise HTTPError(403, reason="Nothing can be changed here without signing in")
        return session


class ConfirmHandler(ChangingPage):
    """Shows which requests an action would change, and asks."""

    async def post(self) -> None:
        """Prepare the action for the selected requests, or for all that match."""
        session, action = self.operator, ACTIONS.get(self.get_body_argument("action", ""))
        if action is None:
            raise HTTPError(400, reason="There is no such action")
        back = local_path(self.get_body_argument("back", "/"))
        if self.get_body_argument("scope", "selected") == "all":
            query = query_of(self)
            records: list[RequestRecord] = await self.read(lambda ledger: read_all(ledger, query))
            missing: list[str] = []
        else:
            records, missing = await self._selected()
        result = ActionResult(not_found=missing)
        possible = partition(action, records, result)
        pending = PendingAction(self.account, action, possible, result, back)
        token = secrets.token_urlsafe(16)
        keep_newest(session.pending, token, pending)
        self.render("confirm.html", pending=pending, token=token, max_shown=MAX_SHOWN)

    async def _selected(self) -> tuple[list[RequestRecord], list[str]]:
        try:
            keys = [RequestKey.parse(text) for text in self.get_body_arguments("request")]
        except ValueError:
            raise HTTPError(400, reason="There is no such request") from None
        records = await self.read(lambda ledger: ledger.get_records(keys))
        known = {record.ref for record in records}
        return records, [key.id for key in keys if key not in known]


class ExecuteHandler(ChangingPage):
    """Executes a confirmed action."""

    async def post(self) -> None:
        """Execute the action once, and redirect to its report."""
        session, token = self.operator, self.get_body_argument("token", "")
        pending = session.pending.pop(token, None)
        if pending is None:
            raise HTTPError(409, reason="This was done already, or is too old: choose again")

        account = self.deployment.accounts[pending.account]
        problem = await self.read_account(
            pending.account, lambda _: self._change(account, pending, session.who)
        )
        keep_newest(session.reports, token, ActionReport(pending, problem))
        self.redirect(self.link("/result", token=token), status=303)

    def _change(self, account: Account, pending: PendingAction, who: str) -> str:
        """Change each request, and log it; return why it stopped, or "" at the end."""
        action, result = pending.action, pending.result
        for record in pending.records:
            key = record.ref
            try:
                is_done = apply_action(
                    action, account.ledger, key, result, keep_days=account.keep_days
                )
            except LedgerUnavailable as error:
                result.refused[key.id] = "unknown: the ledger stopped answering"
                return sanitize(str(error))
            verdict: dict[str, Any] = {} if is_done else {"refused": result.refused[key.id]}
            event = f"console.{action.name}"
            self.audit(event, request=key.id, kind=key.kind, by=who, **verdict)
        return ""


class ResultHandler(ChangingPage):
    """Shows what an action did, as often as the page is loaded."""

    def get(self) -> None:
        """Show the report."""
        report = self.operator.reports.get(self.get_query_argument("token", ""))
        if report is None:
            raise HTTPError(404, reason="This report is no longer available")
        self.render("result.html", report=report, pending=report.pending, max_shown=MAX_SHOWN)


class PauseHandler(ChangingPage):
    """Stops all workers from starting processors."""

    tab = "status"

    async def post(self) -> None:
        """Pause, and redirect to the status, which shows the pause."""
        who, name = self.operator.who, self.get_body_argument("name", "")
        if not is_pause_name(name):
            raise HTTPError(400, reason="Name all, a kind of request or a product (PRD-000)")
        reason = self.get_body_argument("reason", "")[:MAX_REASON_CHARACTERS]
        await self.read(lambda ledger: ledger.pause(name, reason=reason))
        self.audit("console.pause", name=name, reason=reason, by=who)
        self.redirect(self.link("/"), status=303)


class ResumeHandler(ChangingPage):
    """Ends a pause."""

    tab = "status"

    async def post(self) -> None:
        """Resume, and redirect to the status."""
        who, name = self.operator.who, self.get_body_argument("name", "")
        number = await self.read(lambda ledger: ledger.resume(name))
        self.audit("console.resume", name=name, requests=number, by=who)
        self.redirect(self.link("/"), status=303)

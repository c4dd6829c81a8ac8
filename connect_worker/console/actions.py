"""The pages that change something: confirm, execute and report an action; pause and resume."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Final

from tornado.web import HTTPError

from connect_worker.console.pages import Account, Page
from connect_worker.console.requests import read_all
from connect_worker.console.security import (
    ActionReport,
    PendingAction,
    Session,
    keep_newest,
    local_path,
)
from connect_worker.console.views import query_of
from connect_worker.domain.states import RequestKey, RequestRecord
from connect_worker.engine.ports import Ledger
from connect_worker.exceptions import LedgerUnavailable
from connect_worker.observability.output import (
    MAX_NAME_CHARACTERS,
    MAX_REASON_CHARACTERS,
    sanitize,
    shorten,
)
from connect_worker.operations.actions import (
    ACTIONS,
    Action,
    ActionResult,
    apply_action,
    is_pause_name,
    partition,
    stored_pause,
)
from connect_worker.operations.requests import MAX_ID_CHARACTERS

#: How many requests are selected one by one; a page has fewer.
MAX_SELECTED: Final = 500
#: How many requests are shown before and after an action.
MAX_SHOWN: Final = 20
_UNKNOWN_PAUSE: Final = (
    f"Name all, a kind of request or a product (PRD-000), in at most {MAX_NAME_CHARACTERS} "
    "characters"
)


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
            possible, result = await self.search(
                lambda ledger, is_cancelled: _split(action, read_all(ledger, query, is_cancelled))
            )
        else:
            keys = self._selected()
            possible, result = await self.read(
                lambda ledger: _split(action, ledger.get_records(keys), keys)
            )
        pending = PendingAction(self.account, action, possible, result, back)
        token = secrets.token_urlsafe(16)
        keep_newest(session.pending, token, pending)
        self.render("confirm.html", pending=pending, token=token, max_shown=MAX_SHOWN)

    def _selected(self) -> list[RequestKey]:
        texts = self.get_body_arguments("request")
        if len(texts) > MAX_SELECTED:
            raise HTTPError(400, reason=f"Select at most {MAX_SELECTED} requests, or all")
        if max(map(len, texts), default=0) > MAX_ID_CHARACTERS:
            raise HTTPError(400, reason="There is no such request")
        try:
            return [RequestKey.parse(text) for text in texts]
        except ValueError:
            raise HTTPError(400, reason="There is no such request") from None


def _split(
    action: Action, records: list[RequestRecord], keys: Sequence[RequestKey] = ()
) -> tuple[list[RequestRecord], ActionResult]:
    """Return the requests that the action can change, and what is wrong with the others."""
    known = {record.ref for record in records}
    result = ActionResult(not_found=[key.id for key in keys if key not in known])
    return partition(action, records, result), result


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
            raise HTTPError(400, reason=_UNKNOWN_PAUSE)
        reason = shorten(self.get_body_argument("reason", ""), MAX_REASON_CHARACTERS)
        await self.read(lambda ledger: ledger.pause(name, reason=reason))
        self.audit("console.pause", name=name, reason=reason, by=who)
        self.redirect(self.link("/"), status=303)


def _resume(ledger: Ledger, name: str) -> tuple[str, int]:
    stored = stored_pause(ledger.pauses(), name)
    return stored, ledger.resume(stored)


class ResumeHandler(ChangingPage):
    """Ends a pause."""

    tab = "status"

    async def post(self) -> None:
        """Resume, and redirect to the status."""
        who, name = self.operator.who, self.get_body_argument("name", "")
        name, number = await self.read(lambda ledger: _resume(ledger, name))
        self.audit("console.resume", name=shorten(name), requests=number, by=who)
        self.redirect(self.link("/"), status=303)

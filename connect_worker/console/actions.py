"""Rerun, repost, discard: asked first, then done, then told."""

from __future__ import annotations

import secrets
from typing import Any

from tornado.web import HTTPError

from connect_worker.console.pages import Account, Page
from connect_worker.console.request_list import read_all
from connect_worker.console.sessions import Plan, Report, Session, keep
from connect_worker.console.sign_in import local
from connect_worker.console.views import query_of
from connect_worker.domain.states import RequestKey, RequestRecord
from connect_worker.exceptions import LedgerUnavailable
from connect_worker.operations.actions import ACTIONS, Action, Result, apply_action, partition
from connect_worker.operations.formatting import clean
from connect_worker.operations.pauses import may_pause

# Pause and resume, as the commands of these names do.

#: Longer reasons are no help to anybody.
_LONGEST = 200


#: So many are shown before and after.
SHOWN = 20


class Acting(Page):
    """A page of somebody who may change requests."""

    tab = "list"

    @property
    def actor(self) -> Session:
        """Who acts.

        Raises:
            HTTPError: Nobody may, or nobody has signed in.
        """
        session = self.session
        if session is None or not self.may_act:
            raise HTTPError(403, reason="Nobody may change anything here")
        return session


class Ask(Acting):
    """Shows whom it concerns, and asks."""

    async def post(self) -> None:
        """Make a plan of those chosen, or of all that match."""
        session, act = self.actor, ACTIONS.get(self.get_body_argument("act", ""))
        if act is None:
            raise HTTPError(400, reason="There is no such action")
        back = local(self.get_body_argument("back", "/"))
        if self.get_body_argument("scope", "selected") == "all":
            query = query_of(self)
            entries: list[RequestRecord] = await self.read(lambda ledger: read_all(ledger, query))
            missing: list[str] = []
        else:
            entries, missing = await self._chosen()
        plan = await self.read(lambda _: _plan(self.account, act, entries, missing, back))
        token = secrets.token_urlsafe(16)
        keep(session.plans, token, plan)
        self.render("ask.html", plan=plan, token=token, shown=SHOWN)

    async def _chosen(self) -> tuple[list[RequestRecord], list[str]]:
        try:
            refs = [RequestKey.parse(text) for text in self.get_body_arguments("ref")]
        except ValueError:
            raise HTTPError(400, reason="There is no such request") from None
        found = await self.read(lambda ledger: ledger.get_records(refs))
        known = {entry.ref for entry in found}
        return found, [ref.id for ref in refs if ref not in known]


class Carry(Acting):
    """Does what was agreed to."""

    async def post(self) -> None:
        """Carry a plan out, once, and lead to the page that tells it."""
        session, token = self.actor, self.get_body_argument("plan", "")
        plan = session.plans.pop(token, None)
        if plan is None:
            raise HTTPError(409, reason="This was done already, or is too old: choose again")

        account = self.deployment.accounts[plan.account]
        problem = await self.read_of(
            plan.account, lambda _: self._carry_out(account, plan, session.who)
        )
        keep(session.reports, token, Report(plan, problem))
        self.redirect(self.link("/done", plan=token), status=303)

    def _carry_out(self, account: Account, plan: Plan, who: str) -> str:
        """Do it to each, with a line in the log; return why it broke off, if it did."""
        act, result = plan.act, plan.result
        for entry in plan.entries:
            ref = entry.ref
            try:
                is_done = apply_action(
                    act, account.ledger, ref, result, keep_days=account.keep_days
                )
            except LedgerUnavailable as error:
                result.refused[ref.id] = "not known: the ledger went away"
                return clean(str(error))
            verdict: dict[str, Any] = {} if is_done else {"refused": result.refused[ref.id]}
            self.note(act.name, request=ref.id, kind=ref.kind, by=who, **verdict)
        return ""


class Done(Acting):
    """Tells what was done; as often as it is asked."""

    def get(self) -> None:
        """Show it."""
        report = self.actor.reports.get(self.get_query_argument("plan", ""))
        if report is None:
            raise HTTPError(404, reason="This is not remembered any more")
        self.render("done.html", report=report, plan=report.plan, shown=SHOWN)


def _plan(
    account: str, act: Action, entries: list[RequestRecord], missing: list[str], back: str
) -> Plan:
    result = Result(not_found=missing)
    return Plan(account, act, partition(act, entries, result), result, back)


class Pause(Acting):
    """Holds processors back, over all workers."""

    tab = "board"

    async def post(self) -> None:
        """Do it, and lead to the board, which tells it."""
        who, name = self.actor.who, self.get_body_argument("name", "")
        if not may_pause(name):
            raise HTTPError(400, reason="Name all, a kind of request or a product (PRD-000)")
        reason = self.get_body_argument("reason", "")[:_LONGEST]
        await self.read(lambda ledger: ledger.pause(name, reason=reason))
        self.note("pause", name=name, reason=reason, by=who)
        self.redirect(self.link("/"), status=303)


class Resume(Acting):
    """Ends a pause."""

    tab = "board"

    async def post(self) -> None:
        """Do it, and lead to the board."""
        who, name = self.actor.who, self.get_body_argument("name", "")
        going_on = await self.read(lambda ledger: ledger.resume(name))
        self.note("resume", name=name, waiting=going_on, by=who)
        self.redirect(self.link("/"), status=303)

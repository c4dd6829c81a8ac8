"""Pause and resume, as the commands of these names do."""

from __future__ import annotations

from tornado.web import HTTPError

from connect_worker.console.actions import Acting
from connect_worker.desk.pauses import may_pause

#: Longer reasons are no help to anybody.
_LONGEST = 200


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

"""The pages for looking: the board, the list, and one request."""

from __future__ import annotations

import json

from tornado.web import HTTPError

from connect_worker.console.charts import Day, day_of
from connect_worker.console.pages import Account, Page, utc
from connect_worker.console.request_list import Query, Sheet, read_sheet
from connect_worker.domain.states import RequestKind
from connect_worker.operations.actions import ACTIONS
from connect_worker.operations.filters import find
from connect_worker.operations.pauses import NAMES, line_of
from connect_worker.operations.request_details import decision_of, facts, timeline, without_values
from connect_worker.operations.status import GROUPS, StatusReport, read_status

#: The hour that goes on included.
HOURS = 24


class ShowBoard(Page):
    """How the work stands, kind by kind, and how the last day was."""

    tab = "board"

    async def get(self) -> None:
        """Show it."""
        account = self.deployment.accounts[self.account]
        board, days = await self.read(lambda _: look(account))
        self.show("board", board=board, days=days, pausable=NAMES, line_of=line_of)


def look(account: Account) -> tuple[StatusReport, dict[RequestKind, Day]]:
    """Read how an account stands, and draw its last day."""
    board = read_status(
        account.ledger,
        poll_seconds=account.poll_seconds,
        max_calls_per_second=account.max_calls_per_second,
    )
    hours = account.ledger.completed_by_hour(HOURS)
    return board, {kind: day_of(kind, hours) for kind in RequestKind}


class ShowList(Page):
    """Requests that have something in common, a page at a time."""

    tab = "list"

    async def get(self) -> None:
        """Show one page."""
        query = query_of(self)
        sheet: Sheet = await self.read(lambda ledger: read_sheet(ledger, query))
        self.show("list", sheet=sheet, query=sheet.query, groups=GROUPS, kinds=list(RequestKind))


class ShowStory(Page):
    """One request: its facts, its timeline, its decision."""

    tab = "list"

    async def get(self) -> None:
        """Show it; of a listing, the latest period."""
        name = self.get_query_argument("id", "")
        entries, now = await self.read(lambda ledger: (find(ledger, name), ledger.now()))
        if not entries:
            self.set_status(404)
            self.render(
                "unknown.html",
                name=name,
                keep_days=self.deployment.accounts[self.account].keep_days,
            )
            return
        entry = entries[-1]
        decision = None
        if entry.decision is not None:
            shown = without_values(decision_of(entry))
            decision = json.dumps(shown, ensure_ascii=False, indent=2)
        self.show(
            "story",
            entry=entry,
            others=entries[:-1],
            facts=list(facts(entry, now, when=utc)),
            lines=timeline(entry),
            decision=decision,
            acts=[act for act in ACTIONS.values() if not act.objection(entry)],
        )


def query_of(page: Page) -> Query:
    """Read from an address or a form what a person asks to see.

    Raises:
        HTTPError: There is no such state or kind.
    """
    group, kind = page.get_argument("state", "parked") or "parked", page.get_argument("kind", "")
    if group not in GROUPS or kind not in ("", *RequestKind):
        raise HTTPError(400, reason="There is no such state or kind")
    number = page.get_argument("page", "1")
    return Query(
        group=group,
        kind=RequestKind(kind) if kind else None,
        product=page.get_argument("product", ""),
        prefix=page.get_argument("id", ""),
        error=page.get_argument("error", ""),
        newest=page.get_argument("order", "") == "newest",
        page=int(number) if number.isascii() and number.isdigit() and int(number[:9]) > 0 else 1,
    )

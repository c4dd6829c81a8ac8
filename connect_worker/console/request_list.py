"""The list of requests: which of them, in which order, and one page of it at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from connect_worker.domain.states import RequestKind, RequestRecord
from connect_worker.engine.ports import Ledger
from connect_worker.operations.filters import Choice
from connect_worker.operations.status import GROUPS

PAGE_SIZE: Final = 50


@dataclass(frozen=True, slots=True)
class Query:
    """What a person asked to see; "" and None: anything."""

    group: str = "parked"
    kind: RequestKind | None = None
    product: str = ""
    prefix: str = ""
    #: A part of the last error, in any case.
    error: str = ""
    newest: bool = False
    #: From 1.
    page: int = 1

    @property
    def choice(self) -> Choice:
        """Return what the requests have in common."""
        return Choice(self.kind, GROUPS[self.group], self.product, self.prefix, self.error)

    @property
    def is_filtered(self) -> bool:
        """Whether it leaves out any of the group."""
        return bool(self.kind or self.product or self.prefix or self.error)

    def words(self) -> dict[str, str]:
        """Return it as parameters of an address, the defaults left out."""
        found = {
            "state": self.group if self.group != "parked" else "",
            "kind": self.kind or "",
            "product": self.product,
            "id": self.prefix,
            "error": self.error,
            "order": "newest" if self.newest else "",
            "page": str(self.page) if self.page > 1 else "",
        }
        return {name: text for name, text in found.items() if text}

    def at(self, page: int) -> Query:
        """Return the same, at another page."""
        return replace(self, page=page)


@dataclass(frozen=True, slots=True)
class Sheet:
    """One page of the list."""

    query: Query
    entries: list[RequestRecord]
    total: int
    #: The ledger's clock.
    now: float

    @property
    def pages(self) -> int:
        """How many there are, 1 at least."""
        return max(1, -(-self.total // PAGE_SIZE))

    @property
    def first(self) -> int:
        """The number of the first request on it, from 1."""
        return (self.query.page - 1) * PAGE_SIZE + 1


def read_sheet(ledger: Ledger, query: Query) -> Sheet:
    """Read one page; one beyond the end is the last one.

    Parked ones need not be read to be counted, unless a text is looked for in them.

    Raises:
        LedgerUnavailable: It does not answer.
    """
    if query.group == "parked" and not (query.product or query.error):
        refs = [ref for ref in ledger.parked(query.kind) if ref.id.startswith(query.prefix)]
        if query.newest:
            refs.reverse()
        begin, query = _cut(query, len(refs))
        # One that was rerun since then is there, and is no longer parked.
        entries = ledger.get_records(refs[begin : begin + PAGE_SIZE])
        return Sheet(query, entries, len(refs), ledger.now())
    found = read_all(ledger, query)
    begin, query = _cut(query, len(found))
    return Sheet(query, found[begin : begin + PAGE_SIZE], len(found), ledger.now())


def read_all(ledger: Ledger, query: Query) -> list[RequestRecord]:
    """Read all that match, in their order: parked ones by when they were, others by their age.

    Raises:
        LedgerUnavailable: It does not answer.
    """
    by_parking = query.group == "parked"
    return sorted(
        query.choice.of(ledger),
        key=lambda item: (item.changed if by_parking else item.first_seen, str(item.ref)),
        reverse=query.newest,
    )


def _cut(query: Query, total: int) -> tuple[int, Query]:
    last = max(1, -(-total // PAGE_SIZE))
    page = min(query.page, last)
    return (page - 1) * PAGE_SIZE, query.at(page)

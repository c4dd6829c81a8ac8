"""The list of requests: which requests, in which order, and one page at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from connect_worker.domain.states import RequestKind, RequestRecord, State
from connect_worker.engine.ports import Ledger
from connect_worker.operations.requests import RequestFilter, first_matches, states_named

PAGE_SIZE: Final = 50
#: The list shows parked requests unless its address names a state.
DEFAULT_STATE: Final = State.PARKED.value


@dataclass(frozen=True, slots=True)
class Query:
    """The parameters of a list's address; "" and None match every request."""

    #: A state, or a group of states.
    state: str = DEFAULT_STATE
    kind: RequestKind | None = None
    product: str = ""
    #: The beginning of the request's id.
    prefix: str = ""
    #: A part of the last error, in upper or lower case.
    error: str = ""
    newest_first: bool = False
    #: From 1.
    page: int = 1

    @property
    def request_filter(self) -> RequestFilter:
        """What the requests have in common."""
        states = states_named(self.state)
        return RequestFilter(self.kind, states, self.product, self.prefix, self.error)

    @property
    def is_filtered(self) -> bool:
        """Whether it selects by more than the state."""
        return bool(self.kind or self.product or self.prefix or self.error)

    @property
    def by_parking(self) -> bool:
        """Whether requests are ordered by when they were parked, not by the age of their cycle."""
        return self.state == State.PARKED.value

    def parameters(self) -> dict[str, str]:
        """Return the parameters of its address, without those that have their default."""
        parameters = {
            "state": "" if self.by_parking else self.state,
            "kind": self.kind or "",
            "product": self.product,
            "id": self.prefix,
            "error": self.error,
            "order": "newest" if self.newest_first else "",
            "page": str(self.page) if self.page > 1 else "",
        }
        return {name: text for name, text in parameters.items() if text}

    @property
    def is_search(self) -> bool:
        """Whether each record has to be looked at; parked requests have an index of their own."""
        return not self.by_parking or bool(self.product or self.error)

    def at_page(self, page: int) -> Query:
        """Return the same query at another page."""
        return replace(self, page=page)

    def sort_key(self, record: RequestRecord) -> tuple[float, str]:
        """Return what the list is sorted by."""
        return (record.changed if self.by_parking else record.first_seen, str(record.ref))


@dataclass(frozen=True, slots=True)
class RequestPage:
    """One page of the list."""

    query: Query
    records: list[RequestRecord]
    total: int
    #: The ledger's clock.
    now: float

    @property
    def pages(self) -> int:
        """The number of pages, at least 1."""
        return max(1, -(-self.total // PAGE_SIZE))

    @property
    def first(self) -> int:
        """The number of the first request on the page, from 1."""
        return (self.query.page - 1) * PAGE_SIZE + 1


def read_page(
    ledger: Ledger, query: Query, is_cancelled: Callable[[], bool] = lambda: False
) -> RequestPage:
    """Read one page; for a page beyond the end, the last one.

    A page of parked requests reads only its own records, unless product or error is searched for.

    Raises:
        LedgerUnavailable: The ledger does not answer.
    """
    if not query.is_search:
        keys = [key for key in ledger.parked(query.kind) if key.id.startswith(query.prefix)]
        if query.newest_first:
            keys.reverse()
        begin, query = _slice(query, len(keys))
        # A request that was rerun since then is shown, although it is no longer parked.
        records = ledger.get_records(keys[begin : begin + PAGE_SIZE])
        return RequestPage(query, records, len(keys), ledger.now())
    limit = query.page * PAGE_SIZE
    records, total = first_matches(
        ledger,
        query.request_filter,
        key=query.sort_key,
        limit=limit,
        largest=query.newest_first,
        is_cancelled=is_cancelled,
    )
    begin, query = _slice(query, total)
    return RequestPage(query, records[begin : begin + PAGE_SIZE], total, ledger.now())


def read_all(
    ledger: Ledger, query: Query, is_cancelled: Callable[[], bool] = lambda: False
) -> list[RequestRecord]:
    """Read all requests of a list, in its order.

    Raises:
        LedgerUnavailable: The ledger does not answer.
    """
    records = query.request_filter.search(ledger, is_cancelled=is_cancelled)
    return sorted(records, key=query.sort_key, reverse=query.newest_first)


def _slice(query: Query, total: int) -> tuple[int, Query]:
    """Return where the page begins, and the query at a page that exists."""
    page = min(query.page, max(1, -(-total // PAGE_SIZE)))
    return (page - 1) * PAGE_SIZE, query.at_page(page)

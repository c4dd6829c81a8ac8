"""Which requests an operator means: by id, or by state, kind, product and error."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from connect_worker.domain.kinds import is_request_id
from connect_worker.domain.states import FINAL_STATES, RequestKey, RequestKind, RequestRecord, State
from connect_worker.engine.ports import RecordReader

#: The states that workers leave without an operator; the cycle has not ended.
ACTIVE_STATES: Final = frozenset(State) - FINAL_STATES - {State.PARKED}
#: Words for several states at once, for `list --state` and the console's `?state=`.
STATE_GROUPS: Final[Mapping[str, frozenset[State]]] = MappingProxyType(
    {"active": ACTIVE_STATES, "ended": FINAL_STATES, "all": frozenset(State)}
)
#: All words that name states: each state, and the groups.
STATE_WORDS: Final = (*(state.value for state in State), *STATE_GROUPS)

#: Connect's ids have 20 characters, a listing's with its period up to 90.
MAX_ID_CHARACTERS: Final = 200


def states_named(word: str) -> frozenset[State]:
    """Return the states that one of `STATE_WORDS` means.

    Examples:
        >>> sorted(state.value for state in states_named("ended"))
        ['completed', 'discarded', 'superseded']

    Raises:
        ValueError: There is no such word.
    """
    return STATE_GROUPS.get(word) or frozenset({State(word)})


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """What requests have in common; "" and None match every request."""

    kind: RequestKind | None = None
    states: frozenset[State] = ACTIVE_STATES | {State.PARKED}
    product: str = ""
    #: The beginning of the request's id.
    prefix: str = ""
    #: A part of the last error, in upper or lower case.
    error: str = ""

    def search(
        self, ledger: RecordReader, *, is_cancelled: Callable[[], bool] = _never
    ) -> Iterator[RequestRecord]:
        """Yield the matching requests of a ledger; end when nobody waits for them any more."""
        # Without states the ledger does not compare each record's state.
        states = () if self.states == frozenset(State) else self.states
        for record in ledger.iter_records(kind=self.kind, states=states, prefix=self.prefix):
            if is_cancelled():
                return
            has_error = self.error.lower() in record.error.lower()
            if has_error and self.product in ("", record.product):
                yield record


def first_matches(
    ledger: RecordReader,
    request_filter: RequestFilter,
    *,
    key: Callable[[RequestRecord], tuple[float, str]],
    limit: int,
    largest: bool = False,
    is_cancelled: Callable[[], bool] = _never,
) -> tuple[list[RequestRecord], int]:
    """Return the first matching requests of an order, and how many match in all.

    Only the requests that are returned are kept in memory, however many match.
    """
    total = 0

    def count() -> Iterator[RequestRecord]:
        nonlocal total
        for record in request_filter.search(ledger, is_cancelled=is_cancelled):
            total += 1
            yield record

    # With a limit of 0 `heapq` would read, and so count, nothing.
    select = heapq.nlargest if largest else heapq.nsmallest
    records = select(max(limit, 1), count(), key=key)[:limit]
    return records, total


def find_by_id(ledger: RecordReader, request_id: str) -> list[RequestRecord]:
    """Return the requests with this id: one or none; for a usage listing, one for each period."""
    if len(request_id) > MAX_ID_CHARACTERS:
        return []
    exact = [
        record
        for kind in RequestKind
        if (record := ledger.get_record(RequestKey(kind, request_id)))
    ]
    # Only the periods of a listing are worth a walk through the records.
    if exact or not is_request_id(RequestKind.USAGE, request_id):
        return exact
    return sorted(
        ledger.iter_records(kind=RequestKind.USAGE, prefix=f"{request_id}@"),
        key=lambda record: record.ref.id,
    )

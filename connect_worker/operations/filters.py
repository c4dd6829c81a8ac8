"""Which requests a person means: by id, or by what they have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from connect_worker.domain.states import FINAL_STATES, RequestKey, RequestKind, RequestRecord, State
from connect_worker.engine.ports import RecordReader

OPEN_STATES = frozenset(State) - FINAL_STATES


@dataclass(frozen=True, slots=True)
class Choice:
    """What requests have in common; "" and None: anything."""

    kind: RequestKind | None = None
    states: frozenset[State] = OPEN_STATES
    product: str = ""
    prefix: str = ""
    #: A part of the last error, in any case.
    error: str = ""

    def of(self, ledger: RecordReader) -> Iterator[RequestRecord]:
        """Yield the requests of a ledger that it fits."""
        # Of all states the ledger need not ask each record.
        states = () if self.states == frozenset(State) else self.states
        for entry in ledger.iter_records(kind=self.kind, states=states, prefix=self.prefix):
            wanted = self.error.lower() in entry.error.lower()
            if wanted and self.product in ("", entry.product):
                yield entry


def find(ledger: RecordReader, request_id: str) -> list[RequestRecord]:
    """Return the requests with this id: one, or none; of a listing, one for each period."""
    exact = [
        entry for kind in RequestKind if (entry := ledger.get_record(RequestKey(kind, request_id)))
    ]
    if exact or not request_id:
        return exact
    return sorted(
        ledger.iter_records(kind=RequestKind.USAGE, prefix=f"{request_id}@"),
        key=lambda entry: entry.ref.id,
    )

"""How far the demo is: what the ledger counts, and whether anything is left to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from connect_worker.desk.rows import Row
from connect_worker.processing.states import Kind


@dataclass(frozen=True, slots=True)
class Tally:
    """All kinds at one moment, as the ledger has them and as the sandbox has them."""

    rows: Mapping[Kind, Row]
    #: What is to be resolved yet, by kind; seen in the sandbox, after the ledger was read.
    open_requests: Mapping[Kind, int]

    @property
    def total(self) -> Row:
        """The sum of the rows."""
        return sum(self.rows.values(), Row())

    @property
    def left(self) -> int:
        """How many are to be resolved yet, parked ones included."""
        return sum(self.open_requests.values())

    @property
    def is_quiet(self) -> bool:
        """Whether nothing more will happen: the ledger is idle, and what is still open is parked.

        The ledger is read first: a report that it has as settled has put its file into the sandbox.
        """
        return not self.total.active and all(
            count <= self.rows[kind].parked for kind, count in self.open_requests.items()
        )

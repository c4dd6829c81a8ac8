"""Usage records as a table: what is wrong with each, and the cells of those that are right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from operator import attrgetter
from typing import Any, Final

from connect_worker.exceptions import InvalidUsage
from connect_worker.models import UsageRecord
from connect_worker.resources import usage_cells as cells
from connect_worker.resources.usage_cells import Cell

Reader = Callable[[Any], Cell]

#: Where the refusal stops listing, and the table stops reading.
MOST_PROBLEMS: Final = 10
#: A sheet's rows, without the header (Excel's limit).
MOST_RECORDS: Final = 1_048_575


class UsageTable:
    """The records as rows of cells. Reads them once, and checks each when its row is asked for.

    What is kept of a record is the hash of its id, to find ids that stand twice: about 75 bytes.

    Args:
        records: Any iterable of `UsageRecord`, a generator for instance.
        most_records: What a sheet can hold.

    Raises:
        InvalidUsage: There is no record.
    """

    def __init__(self, records: Iterable[UsageRecord], *, most_records: int = MOST_RECORDS) -> None:
        rest = iter(records)
        first = next(rest, None)
        if first is None:
            raise InvalidUsage(["there are no records"])
        #: Connect's eight, and of the optional ones those that the first record sets: the header is
        #: written before the other records are seen.
        self.columns = tuple(
            name
            for name, (_, is_optional) in COLUMNS.items()
            if not is_optional or getattr(first, name, None) is not None
        )
        self._records = chain((first,), rest)
        self._values = attrgetter(*self.columns)
        self._readers = tuple((name, COLUMNS[name][0]) for name in self.columns)
        self._unwritten = tuple(name for name in COLUMNS if name not in self.columns)
        self._places = [self.columns.index(f"{end}_time_utc") for end in ("start", "end")]
        self._seen: set[int] = set()
        self._most = most_records

    def rows(self) -> Iterator[list[Cell]]:
        """Yield the cells of each right record, in the order of `columns`.

        Raises:
            InvalidUsage: At the end, or after so many problems, when there are any.
        """
        problems: list[str] = []
        for number, record in enumerate(self._records, start=1):
            row: list[Cell] = []
            faults = self._read(record, row)
            if number > self._most:
                faults = [f"one more than the {self._most:,} that a sheet can hold"]
            if not faults:
                yield row
                continue
            name = f"record {number}{_in_brackets(getattr(record, 'record_id', None))}"
            problems += [f"{name}: {fault}" for fault in faults]
            if len(problems) >= MOST_PROBLEMS or number > self._most:
                break
        if problems:
            raise InvalidUsage(problems[:MOST_PROBLEMS])

    def _read(self, record: UsageRecord, row: list[Cell]) -> list[str]:
        """Add the record's cells to the row; return what is wrong with it."""
        if not isinstance(record, UsageRecord):
            return [f"it is no UsageRecord but a {type(record).__name__}"]
        faults = []
        for (column, read), value in zip(self._readers, self._values(record), strict=True):
            try:
                row.append(read(value))
            except (ValueError, OverflowError) as exc:
                faults.append(f"{column} {exc}")
        faults += [
            f"{column} is set, and the first record has none: set it there, too"
            for column in self._unwritten
            if getattr(record, column) not in (None, "")
        ]
        return faults or self._compare(row)

    def _compare(self, row: list[Cell]) -> list[str]:
        """Return what is wrong between the cells of a row, or between the rows."""
        faults = []
        start, end = (_to_the_second(row[place]) for place in self._places)
        if end < start:
            faults.append(f"end_time_utc {end} is before start_time_utc {start}")
        mark = hash(str(row[0]))
        if mark in self._seen:
            faults.append("record_id stands twice")
        self._seen.add(mark)
        return faults


def _in_brackets(record_id: Any) -> str:
    return "" if record_id in (None, "") else f" ({str(record_id)[:60]})"


def _to_the_second(time: Cell) -> str:
    """Return a time as Connect reads it: a date is its midnight."""
    return f"{time} 00:00:00" if len(str(time)) == len("2026-10-01") else str(time)


#: The columns, in the order in which connect-sdk 22 has them: reader, and whether it is optional.
#: Which of the optional ones a product wants depends on its usage schema, which Connect knows.
COLUMNS: Final[Mapping[str, tuple[Reader, bool]]] = {
    "record_id": (cells.required, False),
    "record_note": (cells.plain, True),
    "item_search_criteria": (cells.item_criteria, False),
    "item_search_value": (cells.required, False),
    "amount": (cells.amount, True),
    "quantity": (cells.quantity, False),
    "start_time_utc": (cells.time, False),
    "end_time_utc": (cells.time, False),
    "asset_search_criteria": (cells.asset_criteria, False),
    "asset_search_value": (cells.required, False),
    "item_name": (cells.plain, True),
    "item_mpn": (cells.plain, True),
    "item_unit": (cells.plain, True),
    "item_precision": (cells.plain, True),
    "category_id": (cells.plain, True),
    "asset_recon_id": (cells.plain, True),
    "tier": (cells.plain, True),
}

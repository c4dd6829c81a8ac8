"""Usage records as the spreadsheet that Connect takes: checks, cells, and the XLSX file.

The sheet is written here and not by a library because of its size: a report may have hundreds of
thousands of records. 200,000 of them, made one by one, with eight columns (seconds of one core, 2
of them for making the records; resident memory above that before; Python 3.11):

    openpyxl 3.1                         60 s    563 MB
    openpyxl 3.1, write_only             56 s      1 MB
    XlsxWriter 3.3, constant_memory      32 s      1 MB
    here, checks and upload included     13 s     26 MB

The file has the minimum that makes a workbook (ECMA-376, part 1, 12.2 and 18.3). Texts are in their
cells: otherwise all of them would have to be kept for a table of texts at the end.

Each reader (`required`, `number`, …) returns the cell for a value, and raises ValueError with what
is wrong, as the end of a sentence that begins with the column.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from string import ascii_uppercase
from tempfile import SpooledTemporaryFile
from typing import IO, Any, Final
from zipfile import ZIP_DEFLATED, ZipFile

from connect_worker.exceptions import InvalidUsage
from connect_worker.models.usage import UsageRecord

Cell = str | int | float | None

#: The most characters in a cell (Excel's limit).
MOST_LETTERS: Final = 32_767
#: How Connect finds the item; the seed's example names the first two.
ITEM_CRITERIA: Final = ("item.mpn", "item.local_id", "item.global_id")

#: Control characters and lone surrogates, which XML can't hold.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_NUMBER = re.compile(r"[+-]?\d{1,40}(\.\d{0,40})?([eE][+-]?\d{1,3})?", re.ASCII)
_CONNECTS_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)


def plain(value: Any) -> Cell:
    """Read an optional cell."""
    match value:
        case None | "":
            return None
        case str():
            if len(value) > MOST_LETTERS:
                raise ValueError(f"is longer than {MOST_LETTERS:,} characters")
            if _UNWRITABLE.search(value):
                raise ValueError("has a character that no spreadsheet can hold")
            # A str itself: an enumeration's member would print as its name.
            return str.__str__(value)
        case date():
            return time(value) if isinstance(value, datetime) else value.isoformat()
        case bool():
            raise ValueError("is a bool; a text or a number is expected")
        case int() | float() | Decimal():
            return number(value)
        case _:
            raise ValueError(f"is a {type(value).__name__}; a text or a number is expected")


def required(value: Any) -> Cell:
    """Read a cell that may not be empty; a text of spaces is."""
    cell = plain(value)
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        raise ValueError("is missing")
    return cell


def item_criteria(value: Any) -> Cell:
    """Read the field by which Connect finds the item."""
    if value not in ITEM_CRITERIA:
        required(value)
        raise ValueError(f"is {_shown(value)}; it must be one of {', '.join(ITEM_CRITERIA)}")
    return str.__str__(value)


def asset_criteria(value: Any) -> Cell:
    """Read the field by which Connect finds the asset: its id, or one of its parameters."""
    cell = required(value)
    if isinstance(cell, str):
        name, _, parameter = cell.partition(".")
        if cell == "asset.id" or (name == "parameter" and parameter.strip()):
            return cell
    raise ValueError(f"is {_shown(value)}; it must be asset.id or parameter.{{id}}")


def number(value: Any) -> int | float:
    """Read a number, or its text, which items of a request may have as their quantity."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        text = value.strip()
        value = int(text) if text.isdecimal() else float(text)
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise ValueError(f"is {_shown(value)}, which is not a number")  # noqa: TRY004 - a finding
    if not math.isfinite(value):
        raise ValueError(f"is {value}, which is not a number")
    # The plain number, also of a subclass (of numpy, of an enumeration).
    return int(value) if isinstance(value, int) else float(value)


def amount(value: Any) -> Cell:
    """Read an optional number; it may be below zero."""
    return None if value in (None, "") else number(value)


def quantity(value: Any) -> Cell:
    """Read how much was used; it may not be below zero: "unlimited" (-1) is not a quantity."""
    if value is None or value == "":
        raise ValueError("is missing")
    used = number(value)
    if used < 0:
        raise ValueError(f"is {used}, which is below zero")
    return used


def time(value: Any) -> Cell:
    """Read a time as Connect's text of it, in UTC; without a zone it is taken for UTC.

    A date is its midnight: Connect does not take a date alone.
    """
    match value:
        case None | "":
            raise ValueError("is missing")
        case str():
            return _time_of_text(value.strip())
        case datetime():
            moment = value.astimezone(UTC) if value.tzinfo else value
            return moment.replace(tzinfo=None).isoformat(" ", "seconds")
        case date():
            return f"{value.isoformat()} 00:00:00"
        case _:
            raise ValueError(f"is a {type(value).__name__}; a time is expected")


@lru_cache(maxsize=1024)
def _time_of_text(text: str) -> Cell:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"is {_shown(text)}; expected is YYYY-MM-DD HH:MM:SS, or a date alone for its midnight"
        ) from None
    return text if _CONNECTS_TIME.fullmatch(text) else time(moment)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


#: The name that Connect looks for.
SHEET: Final = "usage_records"
#: A sheet larger than this goes to the disk while it is written.
BYTES_IN_MEMORY: Final = 8 * 1024 * 1024

_ROWS_AT_ONCE: Final = 500
_CHUNK_BYTES: Final = 64 * 1024
_HEAD: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS: Final = "http://schemas.openxmlformats.org/package/2006/relationships"
_TYPES: Final = "http://schemas.openxmlformats.org/package/2006/content-types"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MEDIA: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_PARTS: Final = {
    "[Content_Types].xml": f'<Types xmlns="{_TYPES}">'
    '<Default Extension="rels" '
    'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_MEDIA}.sheet.main+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_MEDIA}.worksheet+xml"/>'
    "</Types>",
    "_rels/.rels": f'<Relationships xmlns="{_RELATIONS}">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
    "</Relationships>",
    "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>'
    f'<sheet name="{SHEET}" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_RELATIONS}">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
    "</Relationships>",
}

_SHEET_PART: Final = "xl/worksheets/sheet1.xml"
_SHEET_HEAD: Final = f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetData>'
_SHEET_END: Final = "</sheetData></worksheet>"

#: Characters that XML needs escaped. A carriage return would be read as a line feed.
_SPECIAL = re.compile("[&<>\r]")
_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}


@contextmanager
def spreadsheet(records: Iterable[UsageRecord]) -> Iterator[IO[bytes]]:
    """Write an XLSX file of the records, one row each, and lend it for a `with` block.

    Every record is checked. Memory grows by one hash for each record only (see `UsageTable`),
    because a large file goes to the disk.

    Raises:
        InvalidUsage: A record is invalid, or there is none; the block does not run.
    """
    with ExitStack() as files:
        file = files.enter_context(SpooledTemporaryFile(max_size=BYTES_IN_MEMORY))
        table = UsageTable(records)
        header = table.columns
        write_workbook(file, [header], table.rows())
        if table.columns != header:
            complete = files.enter_context(SpooledTemporaryFile(max_size=BYTES_IN_MEMORY))
            _write_package(complete, _with_header(file, old=header, new=table.columns))
            file.close()
            file = complete
        file.seek(0)
        yield file


def write_workbook(file: IO[bytes], *groups: Iterable[Sequence[Cell]]) -> None:
    """Write a workbook whose one sheet has the rows of all groups, and its names as text."""
    texts = chain((_SHEET_HEAD,), _batches(row for group in groups for row in group), (_SHEET_END,))
    _write_package(file, (text.encode() for text in texts))


def _with_header(file: IO[bytes], *, old: Sequence[Cell], new: Sequence[Cell]) -> Iterator[bytes]:
    """Yield the XML of a workbook's sheet, with another header: later records have more columns."""
    with ZipFile(file) as package, package.open(_SHEET_PART) as part:
        part.read(len(f"{_SHEET_HEAD}{_row(1, old)}"))
        yield f"{_SHEET_HEAD}{_row(1, new)}".encode()
        while chunk := part.read(_CHUNK_BYTES):
            yield chunk


def _write_package(file: IO[bytes], sheet: Iterable[bytes]) -> None:
    with ZipFile(file, "w", ZIP_DEFLATED) as package:
        for name, text in _PARTS.items():
            package.writestr(name, _HEAD + text)
        with package.open(_SHEET_PART, "w") as part:
            for chunk in sheet:
                part.write(chunk)


def _batches(rows: Iterable[Sequence[Cell]]) -> Iterator[str]:
    """Yield the rows' XML, many at a time: the compressor is slow to call."""
    batch: list[str] = []
    for number, row in enumerate(rows, start=1):
        batch.append(_row(number, row))
        if len(batch) == _ROWS_AT_ONCE:
            yield "".join(batch)
            batch.clear()
    yield "".join(batch)


def _row(number: int, row: Sequence[Cell]) -> str:
    cells = "".join(map(_cell, ascii_uppercase, [number] * len(row), row))
    return f'<row r="{number}">{cells}</row>'


def _cell(letter: str, number: int, value: Cell) -> str:
    """Return a cell's XML. A text stays a text, even if it looks like a formula or a date."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return f'<c r="{letter}{number}"><v>{value!r}</v></c>'
    if _SPECIAL.search(value):
        value = _SPECIAL.sub(lambda match: _ESCAPES[match[0]], value)
    text = f'<is><t xml:space="preserve">{value}</t></is>'
    return f'<c r="{letter}{number}" t="inlineStr">{text}</c>'


Reader = Callable[[Any], Cell]

#: How many problems are collected before the table stops reading.
MOST_PROBLEMS: Final = 10
#: A sheet's rows, without the header (Excel's limit).
MOST_RECORDS: Final = 1_048_575


class UsageTable:
    """The records as rows of cells. Reads them once, and checks each when its row is read.

    Of each record it keeps the hash of its id, about 75 bytes, to find ids that come twice.

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
        #: Connect's eight, and the optional ones that the first record sets. `rows` adds those that
        #: a later record sets, at the end.
        self.columns = tuple(
            name
            for name, (_, is_optional) in COLUMNS.items()
            if not is_optional or getattr(first, name, None) is not None
        )
        self._records = chain((first,), rest)
        self._prepare()
        self._places = [self.columns.index(f"{end}_time_utc") for end in ("start", "end")]
        self._seen: set[int] = set()
        self._most = most_records

    def _prepare(self) -> None:
        self._values = attrgetter(*self.columns)
        self._readers = tuple((name, COLUMNS[name][0]) for name in self.columns)
        self._unwritten = tuple(name for name in COLUMNS if name not in self.columns)

    def rows(self) -> Iterator[list[Cell]]:
        """Yield the cells of each valid record, in the order of `columns`.

        A row has no cells for columns that a later record adds.

        Raises:
            InvalidUsage: Records are invalid; raised at the end, or after `MOST_PROBLEMS` of them.
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
            return [f"it is not a UsageRecord but a {type(record).__name__}"]
        added = [name for name in self._unwritten if getattr(record, name) not in (None, "")]
        if added:
            self.columns = (*self.columns, *added)
            self._prepare()
        faults = []
        for (column, read), value in zip(self._readers, self._values(record), strict=True):
            try:
                row.append(read(value))
            except (ValueError, OverflowError) as exc:
                faults.append(f"{column} {exc}")
        return faults or self._compare(row)

    def _compare(self, row: list[Cell]) -> list[str]:
        """Return what is wrong between the cells of a row, or between two rows."""
        faults = []
        start, end = (str(row[place]) for place in self._places)
        if end < start:
            faults.append(f"end_time_utc {end} is before start_time_utc {start}")
        mark = hash(str(row[0]))
        if mark in self._seen:
            faults.append("record_id is used twice")
        self._seen.add(mark)
        return faults


def _in_brackets(record_id: Any) -> str:
    return "" if record_id in (None, "") else f" ({str(record_id)[:60]})"


#: The columns, in the order in which connect-sdk 22 has them: reader, and whether it is optional.
#: Which of the optional ones a product needs depends on its usage schema in Connect.
COLUMNS: Final[Mapping[str, tuple[Reader, bool]]] = {
    "record_id": (required, False),
    "record_note": (plain, True),
    "item_search_criteria": (item_criteria, False),
    "item_search_value": (required, False),
    "amount": (amount, True),
    "quantity": (quantity, False),
    "start_time_utc": (time, False),
    "end_time_utc": (time, False),
    "asset_search_criteria": (asset_criteria, False),
    "asset_search_value": (required, False),
    "item_name": (plain, True),
    "item_mpn": (plain, True),
    "item_unit": (plain, True),
    "item_precision": (plain, True),
    "category_id": (plain, True),
    "asset_recon_id": (plain, True),
    "tier": (plain, True),
}

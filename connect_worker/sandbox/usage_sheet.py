"""Reads the rows of an uploaded workbook in bounded memory, whatever the file is.

A small file may inflate to gigabytes, or its few bytes may stand for a million columns, and
openpyxl keeps whole parts of it in memory. So each part is first read once as a stream, which
counts and keeps nothing. openpyxl reads only a file that is within the limits.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any, Final
from xml.parsers.expat import ExpatError, ParserCreate
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from openpyxl import load_workbook

#: Of the file as it was sent, its parts, and a sheet's rows (Excel's limit) and columns.
MAX_FILE_BYTES: Final = 128 * 1024 * 1024
MAX_PARTS: Final = 200
MAX_ROWS: Final = 1_048_576
MAX_COLUMNS: Final = 100
#: What a part inflates to, by the name of its root. Sheets are read as a stream; of the table of
#: texts (`sst`) and of all other parts openpyxl keeps everything.
MAX_BYTES: Final = {"worksheet": 1024 * 1024 * 1024, "sst": 32 * 1024 * 1024}
MAX_PART_BYTES: Final = 4 * 1024 * 1024
#: What is no XML (a picture, a printer's settings) is not looked at.
MAX_OTHER_BYTES: Final = 64 * 1024
#: Elements and characters of a row; a cell has up to four elements.
MAX_ROW_ELEMENTS: Final = 4 * MAX_COLUMNS
MAX_CHARACTERS: Final = 1024 * 1024
#: Elements of a part outside of its rows.
MAX_ELEMENTS: Final = {"sst": 1_000_000}
MAX_PART_ELEMENTS: Final = 20_000

_CHUNK: Final = 64 * 1024
_ROW: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main row"


class UnreadableSpreadsheetError(Exception):
    """The upload is not a workbook with a sheet of usage records, or is too large."""


def rows_of(content: bytes, sheet: str | None = None) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a workbook's sheet; of the first one without a name.

    Raises:
        UnreadableSpreadsheetError: There is no workbook or no such sheet, or a limit is exceeded.
    """
    _require_bounded(content)
    try:
        book = load_workbook(BytesIO(content), read_only=True, data_only=True, keep_links=False)
        names = book.sheetnames
        if sheet is not None and sheet not in names:
            raise UnreadableSpreadsheetError(
                f"there is no sheet '{sheet}', only {', '.join(names)[:200]}"
            )
        page: Any = book[sheet] if sheet else book.worksheets[0]
        # The sheet's own word on its size would widen each row.
        page.reset_dimensions()
        for number, row in enumerate(page.iter_rows(values_only=True), start=1):
            _require(number <= MAX_ROWS, f"it has more than {MAX_ROWS:,} rows")
            _require(len(row) <= MAX_COLUMNS, f"row {number} has more than {MAX_COLUMNS} columns")
            yield row
    except UnreadableSpreadsheetError:
        raise
    except Exception as error:  # openpyxl raises what a malformed part happens to lead to
        raise UnreadableSpreadsheetError(f"not a spreadsheet ({str(error)[:200]})") from error


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise UnreadableSpreadsheetError(f"the file is too large: {problem}")


def _require_bounded(content: bytes) -> None:
    _require(len(content) <= MAX_FILE_BYTES, f"it has more than {MAX_FILE_BYTES:,} bytes")
    try:
        with ZipFile(BytesIO(content)) as package:
            parts = package.infolist()
            _require(len(parts) <= MAX_PARTS, f"it has more than {MAX_PARTS} parts")
            for part in parts:
                _scan(package, part)
    except (BadZipFile, EOFError, ExpatError, NotImplementedError, OSError, RuntimeError) as error:
        raise UnreadableSpreadsheetError(f"not a spreadsheet ({error})") from error


def _scan(package: ZipFile, part: ZipInfo) -> None:
    """Read one part as a stream, and count what openpyxl would keep of it."""
    # A block of the other methods may inflate without a bound.
    if part.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise UnreadableSpreadsheetError(f"{part.filename[:60]} is not compressed as a workbook is")
    # zipfile reads no more of a part than the size that the file declares.
    if not part.filename.lower().endswith((".xml", ".rels", ".vml")):
        _require(part.file_size <= MAX_OTHER_BYTES, f"{part.filename[:60]} is no part of a sheet")
        return
    _require(part.file_size <= max(MAX_BYTES.values()), f"{part.filename[:60]} inflates too much")
    counter = _PartCounter(part)
    with package.open(part) as stream:
        while chunk := stream.read(_CHUNK):
            counter.feed(chunk)
    counter.feed(b"", last=True)


class _PartCounter:
    """Counts the elements and characters of each row, and those outside of the rows."""

    def __init__(self, part: ZipInfo) -> None:
        self._size = part.file_size
        self._name = part.filename[:60]
        self._root = ""
        self._in_row = False
        self._rows = self._row_elements = self._row_characters = 0
        self._elements = self._characters = 0
        self._fed = 0
        self._parser = ParserCreate(namespace_separator=" ")
        self._parser.StartDoctypeDeclHandler = self._refuse_declaration
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._add_text

    def feed(self, chunk: bytes, *, last: bool = False) -> None:
        self._parser.Parse(chunk, last)
        self._fed += len(chunk)
        # The parser keeps a tag or a comment until its end.
        waits = self._fed - max(self._parser.CurrentByteIndex, 0)
        _require(last or waits <= MAX_CHARACTERS, f"{self._name} has a tag without an end")

    def _refuse_declaration(self, *_: object) -> None:
        raise UnreadableSpreadsheetError(f"{self._name} declares a document type")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._root:
            self._root = name.rpartition(" ")[2]
            most = MAX_BYTES.get(self._root, MAX_PART_BYTES)
            _require(self._size <= most, f"{self._name} inflates too much")
        if name == _ROW and not self._in_row:
            self._in_row = True
            self._rows += 1
            self._row_elements = self._row_characters = 0
            _require(self._rows <= MAX_ROWS, f"{self._name} has more than {MAX_ROWS:,} rows")
        if self._in_row:
            self._row_elements += 1
            most = MAX_ROW_ELEMENTS
            _require(self._row_elements <= most, f"a row has more than {MAX_COLUMNS} columns")
        else:
            self._elements += 1
            most = MAX_ELEMENTS.get(self._root, MAX_PART_ELEMENTS)
            _require(self._elements <= most, f"{self._name} has more than {most:,} elements")
        for attribute, value in attributes.items():
            self._add_text(attribute)
            self._add_text(value)

    def _end(self, name: str) -> None:
        if name == _ROW:
            self._in_row = False

    def _add_text(self, text: str) -> None:
        if self._in_row:
            self._row_characters += len(text)
            too_many = self._row_characters > MAX_CHARACTERS
            _require(not too_many, f"a row has more than {MAX_CHARACTERS:,} characters")
        elif self._root == "worksheet":
            self._characters += len(text)
            too_many = self._characters > MAX_CHARACTERS
            _require(not too_many, f"{self._name} has too many characters outside of its rows")

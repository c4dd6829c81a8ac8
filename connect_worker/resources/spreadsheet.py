"""Usage records as the spreadsheet that Connect takes.

The sheet is written here and not by a library, for its size: a report may have hundreds of
thousands of records. 200,000 of them, made one by one, with eight columns (seconds of one core,
2 of them for making the records; resident memory above that before; Python 3.11):

    openpyxl 3.1                         60 s    563 MB
    openpyxl 3.1, write_only             56 s      1 MB
    XlsxWriter 3.3, constant_memory      32 s      1 MB
    here, checks and upload included     13 s     26 MB

What is written is the least that is a workbook (ECMA-376, part 1, 12.2 and 18.3). Texts stand in
their cells, so that none has to be kept for a table of texts at the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from string import ascii_uppercase
from tempfile import SpooledTemporaryFile
from typing import IO, Final
from zipfile import ZIP_DEFLATED, ZipFile

from connect_worker.models import UsageRecord
from connect_worker.resources.usage_cells import Cell
from connect_worker.resources.usage_records import UsageTable

#: The name that Connect looks for.
SHEET: Final = "usage_records"
#: A sheet larger than this goes to the disk while it is written.
BYTES_IN_MEMORY: Final = 8 * 1024 * 1024

_ROWS_AT_ONCE: Final = 500
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

#: What XML wants written otherwise. A carriage return would be read as a line feed.
_SPECIAL = re.compile("[&<>\r]")
_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}


@contextmanager
def spreadsheet(records: Iterable[UsageRecord]) -> Iterator[IO[bytes]]:
    """Write an XLSX file of the records, one row each, and lend it for a `with` block.

    Every record is checked on the way. The memory needed does not grow with them, but for a hash
    each (see `UsageTable`), as the file goes to the disk when it is large.

    Raises:
        InvalidUsage: Records can't be right, or there is none; nothing is lent.
    """
    with SpooledTemporaryFile(max_size=BYTES_IN_MEMORY) as file:
        table = UsageTable(records)
        write_workbook(file, [table.columns], table.rows())
        file.seek(0)
        yield file


def write_workbook(file: IO[bytes], *groups: Iterable[Sequence[Cell]]) -> None:
    """Write a workbook whose one sheet has the rows of all groups, and its names as text."""
    with ZipFile(file, "w", ZIP_DEFLATED) as package:
        for name, text in _PARTS.items():
            package.writestr(name, _HEAD + text)
        with package.open("xl/worksheets/sheet1.xml", "w") as part:
            part.write(f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetData>'.encode())
            for text in _batches(row for group in groups for row in group):
                part.write(text.encode())
            part.write(b"</sheetData></worksheet>")


def _batches(rows: Iterable[Sequence[Cell]]) -> Iterator[str]:
    """Yield the rows' XML, many at a time: the compressor is slow to call."""
    batch: list[str] = []
    for number, row in enumerate(rows, start=1):
        cells = "".join(map(_cell, ascii_uppercase, [number] * len(row), row))
        batch.append(f'<row r="{number}">{cells}</row>')
        if len(batch) == _ROWS_AT_ONCE:
            yield "".join(batch)
            batch.clear()
    yield "".join(batch)


def _cell(letter: str, number: int, value: Cell) -> str:
    """Return a cell's XML. A text is one, whatever it looks like: no formula, no error, no date."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return f'<c r="{letter}{number}"><v>{value!r}</v></c>'
    if _SPECIAL.search(value):
        value = _SPECIAL.sub(lambda found: _ESCAPES[found[0]], value)
    text = f'<is><t xml:space="preserve">{value}</t></is>'
    return f'<c r="{letter}{number}" t="inlineStr">{text}</c>'

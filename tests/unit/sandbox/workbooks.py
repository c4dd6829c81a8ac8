"""Builds spreadsheets of usage records, right and wrong."""

import zipfile
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any

from openpyxl import Workbook

HEADER = (
    "record_id",
    "item_search_criteria",
    "item_search_value",
    "quantity",
    "start_time_utc",
    "end_time_utc",
    "asset_search_criteria",
    "asset_search_value",
)
RECORD = (
    "rec-1",
    "item.mpn",
    "SKUA",
    12.5,
    "2026-11-01 00:00:00",
    "2026-11-02 10:00:00",
    "parameter.purchase_id",
    "TEN-1",
)


def workbook(
    rows: Sequence[Sequence[Any]],
    *,
    header: Sequence[str] = HEADER,
    sheet: str = "usage_records",
) -> bytes:
    """A workbook with one sheet of these rows under this header."""
    book = Workbook(write_only=True)
    page: Any = book.create_sheet(sheet)
    page.append(list(header))
    for row in rows:
        page.append(list(row))
    stream = BytesIO()
    book.save(stream)
    return stream.getvalue()


MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
SHEET = "xl/worksheets/sheet1.xml"
STRINGS = "xl/sharedStrings.xml"
#: A sheet of this many rows or cells, or a table of as many texts.
MANY = 2_000_000
#: Characters.
LARGE = 64_000_000


def with_part(name: str, text: str, *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A workbook with this part in place of its own."""
    stream = BytesIO()
    with (
        zipfile.ZipFile(BytesIO(workbook([RECORD]))) as source,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as changed,
    ):
        for part in source.namelist():
            if part != name:
                changed.writestr(part, source.read(part))
        changed.writestr(name, text, compress_type=compression)
    return stream.getvalue()


def sheet(rows: str, *, before: str = "", namespace: str = "") -> bytes:
    """A workbook whose sheet has this XML in its table."""
    data = f"{before}<sheetData>{rows}</sheetData>"
    return with_part(SHEET, f'<worksheet xmlns="{MAIN}" {namespace}>{data}</worksheet>')


def with_a_lie(content: bytes, part: str) -> bytes:
    """The workbook, which declares that a part inflates to 100 bytes."""
    changed = bytearray(content)
    with zipfile.ZipFile(BytesIO(content)) as package:
        size = package.getinfo(part).file_size.to_bytes(4, "little")
    while (place := changed.find(size)) >= 0:
        changed[place : place + 4] = (100).to_bytes(4, "little")
    return bytes(changed)


def with_parts(count: int) -> bytes:
    """A workbook with this many empty parts more."""
    stream = BytesIO(workbook([RECORD]))
    with zipfile.ZipFile(stream, "a") as package:
        for number in range(count):
            package.writestr(f"xl/{number}.xml", "")
    return stream.getvalue()


#: Small files that are large, or take forever, when they are read carelessly.
BOMBS: Mapping[str, Callable[[], bytes]] = {
    "a part of 64 MB": lambda: with_part("xl/styles.xml", "<styleSheet>" + " " * LARGE),
    "a picture of 64 MB": lambda: with_part("xl/media/image1.png", " " * LARGE),
    "a part that lies": lambda: with_a_lie(
        with_part("xl/styles.xml", "<styleSheet>" + " " * 10_000_000), "xl/styles.xml"
    ),
    "bzip2": lambda: with_part(SHEET, " " * 10_000_000, compression=zipfile.ZIP_BZIP2),
    "many parts": lambda: with_parts(5_000),
    "texts": lambda: with_part(STRINGS, f'<sst xmlns="{MAIN}">' + "<si/>" * MANY + "</sst>"),
    "styles": lambda: with_part(
        "xl/styles.xml", f'<styleSheet xmlns="{MAIN}"><cellXfs>' + "<xf/>" * 500_000
    ),
    "cells in a row": lambda: sheet("<row>" + "<c/>" * MANY + "</row>"),
    "elements beside the rows": lambda: sheet("", before="<x/>" * MANY),
    "rows of another namespace": lambda: sheet(
        "<f:row><f:c/></f:row>" * MANY, namespace='xmlns:f="f"'
    ),
    "a text of 64 MB": lambda: sheet("<row><c><v>" + "1" * LARGE + "</v></c></row>"),
    "texts in all cells": lambda: sheet(
        "<row>" + f"<c><is><t>{'x' * 1_000_000}</t></is></c>" * 90 + "</row>"
    ),
    "an attribute of 64 MB": lambda: sheet('<row x="' + "1" * LARGE + '"/>'),
    "attributes": lambda: sheet("<row>" + f'<c x="{"1" * 900_000}"/>' * 90 + "</row>"),
    "a comment of 64 MB": lambda: sheet("<!--" + "1" * LARGE + "-->"),
    "a cell far to the right": lambda: sheet('<row><c r="XFD1"><v>1</v></c></row>' * 10_000),
    "a row far below": lambda: sheet('<row r="99999999999"><c r="A1"><v>1</v></c></row>'),
    "a row whose number has 5,000 digits": lambda: sheet(f'<row r="{"9" * 5_000}"/>'),
    "a wide sheet by its own word": lambda: sheet(
        "<row/>" * 1_048_577, before='<dimension ref="A1:XFD1048576"/>'
    ),
    "entities": lambda: with_part(
        SHEET,
        "<!DOCTYPE x ["
        '<!ENTITY e0 "ha">'
        + "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(9))
        + f']><worksheet xmlns="{MAIN}"><sheetData>&e9;</sheetData></worksheet>',
    ),
}

"""The sheet, as another library reads it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from io import BytesIO
from typing import Any
from xml.etree import ElementTree
from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from connect_worker.exceptions import InvalidUsage
from connect_worker.models import UsageRecord
from connect_worker.resources.usage_sheet import BYTES_IN_MEMORY, Cell, spreadsheet, write_workbook
from connect_worker.sandbox import usage as connects
from connect_worker.sandbox.products import Product

from .usage_rows import CELLS, record, records

TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn"]), min_size=1)
NUMBERS = st.integers(0, 10**18) | st.floats(0, allow_nan=False, allow_infinity=False)


def content_of(*given: UsageRecord) -> bytes:
    with spreadsheet(given) as file:
        return file.read()


def read(content: bytes, *, read_only: bool = True) -> list[tuple[Any, ...]]:
    """The sheet's rows as openpyxl reads them."""
    book = load_workbook(BytesIO(content), read_only=read_only)
    assert book.sheetnames == ["usage_records"]
    return list(book["usage_records"].iter_rows(values_only=True))


@pytest.mark.parametrize("read_only", [False, True])
def test_a_record_is_a_row_below_the_header(read_only: bool) -> None:
    header, row = read(content_of(record()), read_only=read_only)
    assert dict(zip(header, row, strict=True)) == CELLS


def test_the_later_columns_stand_among_the_others() -> None:
    more = {"record_note": "n", "amount": 9.5, "item_name": "Sku", "item_mpn": "SKUA", "tier": 1}
    header, row = read(content_of(record(**more)))
    assert dict(zip(header, row, strict=True)) == {**CELLS, **more}
    assert header[:2] == ("record_id", "record_note")


def test_every_column_that_any_record_has_is_in_the_header() -> None:
    given = [record(), record(record_id="r2", tier=1), record(record_id="r3", amount=5, tier=2)]
    header, *rows = read(content_of(*given))
    assert header == (*CELLS, "tier", "amount")
    assert [row[8:] for row in rows] == [(), (1,), (2, 5)]
    assert connects.check_spreadsheet(content_of(*given), Product(0), {"AS-1"}).valid == 3


LOOKS = ("=1+1", "=HYPERLINK(x)", "#N/A", "#REF!", "+1", "-1", "@x", "0012", "TRUE", "2026-10-01")
MARKUP = ("a & b", "<b>", "]]>", "&amp;", '"', "_x0041_")
SPACES = (" two  spaces ", "a\nb", "a\r\nb", "a\tb")
SCRIPTS = ("Größe", "日本語", "🦆", "e\u0301", "\u200f")


@pytest.mark.parametrize("text", [*LOOKS, *MARKUP, *SPACES, *SCRIPTS, "x" * 32_767], ids=ascii)
def test_a_text_stays_that_text_whatever_a_spreadsheet_would_make_of_it(text: str) -> None:
    content = content_of(record(asset_search_value=text))
    cell = load_workbook(BytesIO(content))["usage_records"].cell(2, 8)
    assert (cell.value, cell.data_type) == (text, "s")


@pytest.mark.parametrize("number", [0, 1, 2.5, 0.1 + 0.2, 1e-7, 1e22, 10**15 + 1, 1.5e300])
def test_a_number_stays_that_number(number: float) -> None:
    _, row = read(content_of(record(quantity=number)))
    assert (row[3], type(row[3])) == (number, type(number))


@given(st.lists(st.tuples(TEXTS, NUMBERS, st.none() | TEXTS | NUMBERS), max_size=5))
@hypothesis_settings(max_examples=60, deadline=None)
def test_what_is_written_is_read(rows: list[tuple[Cell, ...]]) -> None:
    # Ends every row with a text: a reader leaves out the empty cells there.
    ended = [(*row, "end") for row in rows]
    file = BytesIO()
    write_workbook(file, [("a", "b", "c", "end")], ended)
    found = read(file.getvalue())
    assert found == [("a", "b", "c", "end"), *ended]
    assert [list(map(type, row)) for row in found[1:]] == [list(map(type, row)) for row in ended]


def test_the_file_is_a_package_whose_parts_are_well_formed_and_all_declared() -> None:
    with ZipFile(BytesIO(content_of(*records(2)))) as package:
        assert package.testzip() is None
        parts = {name: ElementTree.fromstring(package.read(name)) for name in package.namelist()}
    declared = {
        node.attrib["PartName"].removeprefix("/")
        for node in parts["[Content_Types].xml"]
        if "PartName" in node.attrib
    }
    assert declared == {name for name in parts if name.endswith(".xml")} - {"[Content_Types].xml"}
    cells = [
        node.attrib["r"] for node in parts["xl/worksheets/sheet1.xml"].iter() if "r" in node.attrib
    ]
    assert cells[:3] == ["1", "A1", "B1"]
    assert cells[-1] == "H3"


def test_the_sandbox_takes_a_sheet_with_and_without_the_later_columns() -> None:
    product, assets = Product(0), {"AS-1"}
    plain = connects.check_spreadsheet(content_of(*records(3)), product, assets)
    assert (plain.valid, plain.errors) == (3, ())
    later = {"amount": 1.5, "record_note": "n", "item_name": "i", "item_mpn": "m", "tier": 1}
    later |= {"item_unit": "u", "item_precision": "integer", "category_id": "c"}
    full = connects.check_spreadsheet(
        content_of(record(**later, asset_recon_id="r")), product, assets
    )
    assert (full.valid, full.errors) == (1, ())


def test_nothing_is_lent_when_a_record_is_refused() -> None:
    with pytest.raises(InvalidUsage, match="record 2"), spreadsheet([record(), record()]):
        pytest.fail("the sheet was lent")


def test_the_memory_needed_hardly_grows_with_the_records() -> None:
    def many(count: int) -> Iterator[UsageRecord]:
        for number in range(count):
            # The last record adds a column: the header is written again.
            yield record(record_id=f"rec-{number}", tier=1 if number == count - 1 else None)

    def peak(count: int) -> int:
        tracemalloc.start()
        try:
            with spreadsheet(many(count)):
                return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, more = peak(1_000), peak(4_000)
    # The hash of an id, and the compressed row as long as the file is small.
    assert more - few < 3_000 * 200
    assert more < BYTES_IN_MEMORY

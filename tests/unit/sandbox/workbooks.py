"""Builds spreadsheets of usage records, right and wrong."""

from collections.abc import Sequence
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
    "2026-11-01",
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

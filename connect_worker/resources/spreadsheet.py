"""Usage records as the spreadsheet that Connect takes."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO

from openpyxl import Workbook

from connect_worker.models import UsageRecord

#: The sheet's name and its columns, in Connect's order.
SHEET = "usage_records"
COLUMNS = (
    "record_id",
    "item_search_criteria",
    "item_search_value",
    "quantity",
    "start_time_utc",
    "end_time_utc",
    "asset_search_criteria",
    "asset_search_value",
)


def spreadsheet(records: Iterable[UsageRecord]) -> bytes:
    """Return an XLSX file with one row per record, written row by row."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet(SHEET)
    sheet.append(COLUMNS)
    for record in records:
        sheet.append([getattr(record, column) for column in COLUMNS])
    buffer = BytesIO()
    book.save(buffer)
    return buffer.getvalue()

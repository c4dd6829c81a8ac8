"""Usage records as the spreadsheet that Connect takes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from io import BytesIO
from typing import Any

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell

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
        sheet.append([_cell(sheet, getattr(record, column)) for column in COLUMNS])
    buffer = BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def _cell(sheet: Any, value: Any) -> Any:
    """Return what stands for the value in a row: times as Connect's text, texts as texts."""
    if isinstance(value, datetime):
        moment = value.astimezone(UTC) if value.tzinfo else value
        return f"{moment:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, date):
        return f"{value:%Y-%m-%d}"
    if isinstance(value, str) and value[:1] in ("=", "#"):
        # By itself openpyxl makes a formula or an error value of it.
        cell = WriteOnlyCell(sheet, value)
        cell.data_type = "s"
        return cell
    return value

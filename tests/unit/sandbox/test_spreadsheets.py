"""Usage spreadsheets are really read."""

import json
import subprocess
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from connect_worker.sandbox import usage, usage_sheet
from connect_worker.sandbox.products import Product
from tests.support.sandbox_server import Client

from .workbooks import BOMBS, HEADER, RECORD, workbook

ASSETS = {"AS-1"}


def check(*rows: Sequence[Any]) -> usage.SpreadsheetCheck:
    return usage.check_spreadsheet(workbook(rows), Product(0), ASSETS)


def changed(**cells: Any) -> list[Any]:
    return list({**dict(zip(HEADER, RECORD, strict=True)), **cells}.values())


def test_good_records_are_counted() -> None:
    second = changed(record_id="rec-2", asset_search_criteria="asset.id", asset_search_value="AS-1")
    assert check(RECORD, second) == usage.SpreadsheetCheck(valid=2, invalid=0, errors=())


@pytest.mark.parametrize(
    ("cells", "complaint"),
    [
        ({"record_id": None}, "record_id is empty"),
        ({"item_search_criteria": "item.color"}, "item_search_criteria"),
        ({"item_search_value": "NOPE"}, "is not an item"),
        ({"quantity": "many"}, "is not a number"),
        ({"quantity": -1}, "below zero"),
        ({"quantity": None}, "is not a number"),
        ({"start_time_utc": "yesterday"}, "is not a time"),
        ({"start_time_utc": "2026-11-01"}, "is not a time"),
        ({"start_time_utc": "2026-11-03 00:00:00"}, "after end_time_utc"),
        ({"asset_search_criteria": "by name"}, "asset_search_criteria"),
        ({"asset_search_value": ""}, "asset_search_value is empty"),
        (
            {"asset_search_criteria": "asset.id", "asset_search_value": "AS-0"},
            "is not a known asset",
        ),
    ],
)
def test_a_bad_cell_is_named_with_its_row(cells: dict[str, Any], complaint: str) -> None:
    found = check(changed(record_id="rec-2"), changed(**cells))
    assert (found.valid, found.invalid) == (1, 1)
    assert found.errors[0].startswith("row 3: ")
    assert complaint in found.errors[0]


def test_a_record_id_stands_once() -> None:
    assert "stands twice" in check(RECORD, RECORD).errors[0]


def test_a_file_without_records_is_invalid() -> None:
    assert check().errors == ("the file has no records",)


def test_an_order_of_columns_with_newer_ones_between_is_read() -> None:
    header = (HEADER[0], "record_note", *HEADER[1:3], "amount", *HEADER[3:], "tier")
    row = (RECORD[0], None, *RECORD[1:3], None, *RECORD[3:], None)
    content = workbook([row], header=header)
    assert usage.check_spreadsheet(content, Product(0), ASSETS).valid == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no workbook",
        workbook([RECORD], sheet="Sheet1"),
        workbook([RECORD], header=HEADER[::-1]),
        workbook([RECORD], header=HEADER[:-1]),
        workbook([RECORD], header=(*HEADER, "color")),
    ],
)
def test_an_unreadable_file_is_distinguished_from_bad_records(content: bytes) -> None:
    with pytest.raises(usage_sheet.UnreadableSpreadsheetError):
        usage.check_spreadsheet(content, Product(0), ASSETS)


def test_the_template_has_the_documented_columns() -> None:
    with pytest.raises(usage_sheet.UnreadableSpreadsheetError, match="no sheet"):
        usage.check_spreadsheet(workbook([], sheet="other"), Product(0), ASSETS)
    assert usage.check_spreadsheet(usage.spreadsheet_template(), Product(0), ASSETS).errors == (
        "the file has no records",
    )


def test_bad_records_make_the_file_invalid_and_a_new_upload_mends_it(client: Client) -> None:
    listing = client.get("listings")[0]
    reference = {name: {"id": listing[name]["id"]} for name in ("product", "contract")}
    draft = client.post("usage/files", {"name": "Report", **reference})
    path = f"usage/files/{draft['id']}"
    bad = client.call("POST", f"{path}/upload", upload=workbook([RECORD, changed(quantity="?")]))
    assert (bad.status_code, bad.json()["status"]) == (201, "invalid")
    assert bad.json()["records"] == {"valid": 0 + 1, "invalid": 1}
    assert "row 3" in bad.json()["error_details"]
    client.refused("POST", f"{path}/submit", {})
    good = client.call("POST", f"{path}/upload", upload=workbook([RECORD]))
    assert (good.json()["status"], good.json()["error_details"]) == ("ready", None)
    unreadable = client.call("POST", f"{path}/upload", upload=b"nothing")
    assert unreadable.status_code == 400


READ_A_BOMB = """
import json, re, sys
from connect_worker.sandbox import usage_sheet, usage
from connect_worker.sandbox.products import Product

content = open(sys.argv[1], "rb").read()
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024
before = peak()
try:
    usage.check_spreadsheet(content, Product(0), set())
    said = "read"
except usage_sheet.UnreadableSpreadsheetError as error:
    said = str(error)
print(json.dumps([said, peak() - before]))
"""
QUICK = {"a part of 64 MB", "elements beside the rows", "a row far below", "entities", "bzip2"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in BOMBS],
)
def test_a_bomb_is_refused_in_bounded_memory(name: str, tmp_path: Path) -> None:
    file = tmp_path / "bomb.xlsx"
    file.write_bytes(BOMBS[name]())
    assert file.stat().st_size < 1_000_000
    # In a process of its own: the peak of this one is that of other tests.
    read = [sys.executable, "-c", READ_A_BOMB, str(file)]
    ended = subprocess.run(read, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    said, megabytes = json.loads(ended.stdout)
    assert said != "read"
    assert len(said) < 300
    assert megabytes < 20


def test_no_more_rows_and_columns_are_read_than_a_sheet_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wide = workbook([RECORD], header=(*HEADER, *[""] * usage_sheet.MAX_COLUMNS, "tier"))
    with pytest.raises(usage_sheet.UnreadableSpreadsheetError, match="more than 100 columns"):
        usage.check_spreadsheet(wide, Product(0), ASSETS)
    monkeypatch.setattr(usage_sheet, "MAX_ROWS", 3)
    assert check(RECORD, changed(record_id="rec-2")).valid == 2
    with pytest.raises(usage_sheet.UnreadableSpreadsheetError, match="more than 3 rows"):
        check(RECORD, changed(record_id="rec-2"), changed(record_id="rec-3"))


def test_a_workbook_as_excel_writes_it_is_read() -> None:
    # With a table of texts, styles, a theme and document properties.
    book = Workbook()
    page = book.create_sheet("usage_records", 0)
    for row in (HEADER, RECORD):
        page.append(row)
    stream = BytesIO()
    book.save(stream)
    assert usage.check_spreadsheet(stream.getvalue(), Product(0), ASSETS).valid == 1


def test_only_the_first_mistakes_are_named() -> None:
    found = check(*[changed(record_id=f"rec-{number}", quantity="?") for number in range(300)])
    assert found.invalid == 300
    assert len(found.errors) == usage.MAX_ERRORS

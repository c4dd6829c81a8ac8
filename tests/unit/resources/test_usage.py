"""Usage records as a spreadsheet, and what is told when a report does not get through."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from io import BytesIO
from itertools import zip_longest
from typing import Any

import pytest
from api.scripted import KEY, Call, Reply, Server, serving
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from connect_worker.config import Config
from connect_worker.exceptions import (
    FileCreationError,
    FileRetrievalError,
    InvalidResponse,
    LeaseLost,
    LedgerUnavailable,
    Message,
    NotFound,
    RateLimited,
    Retryable,
)
from connect_worker.models import Product, UsageFile, UsageRecord
from connect_worker.processing.retry import account_trouble
from connect_worker.resources import UsageAutomation
from connect_worker.resources.spreadsheet import COLUMNS, spreadsheet


def rows_of(content: bytes) -> list[tuple[Any, ...]]:
    book = load_workbook(BytesIO(content), read_only=True)
    assert book.sheetnames == ["usage_records"]
    return list(book["usage_records"].iter_rows(values_only=True))


def record(**fields: Any) -> UsageRecord:
    filled: dict[str, Any] = {"record_id": "r", "quantity": 1, **fields}
    return UsageRecord(**filled)


def row_of(**fields: Any) -> dict[str, Any]:
    header, row = rows_of(spreadsheet([record(**fields)]))
    # A reader leaves out the empty cells at a row's end.
    return dict(zip_longest(header, row))


def test_the_columns_are_connects_in_its_order() -> None:
    [header] = rows_of(spreadsheet([]))
    assert header == COLUMNS
    assert ", ".join(COLUMNS) == (
        "record_id, item_search_criteria, item_search_value, quantity, start_time_utc, "
        "end_time_utc, asset_search_criteria, asset_search_value"
    )


def test_a_record_is_a_row() -> None:
    fields: dict[str, Any] = {
        "item_search_criteria": "item.mpn",
        "item_search_value": "SKUA",
        "quantity": 2.5,
        "start_time_utc": "2026-10-01 00:00:00",
        "end_time_utc": "2026-11-01 00:00:00",
        "asset_search_criteria": "parameter.param_b",
        "asset_search_value": "tenant2",
    }
    assert row_of(record_id="unique", **fields) == {"record_id": "unique", **fields}


@pytest.mark.parametrize("name", ["record_id", "usage_record_id"])
def test_both_names_of_the_id_are_one_column(name: str) -> None:
    fields: dict[str, Any] = {name: "unique"}
    _, row = rows_of(spreadsheet([UsageRecord(**fields)]))
    assert row[0] == "unique"


def test_a_missing_value_is_an_empty_cell() -> None:
    assert row_of()["asset_search_value"] is None


@pytest.mark.parametrize("text", ["=1+1", "=HYPERLINK(x)", "#N/A", "#REF!", "+1", "-1", "0012"])
def test_a_text_stays_a_text_whatever_a_spreadsheet_would_make_of_it(text: str) -> None:
    content = spreadsheet([record(asset_search_value=text)])
    cell = load_workbook(BytesIO(content))["usage_records"].cell(2, 8)
    assert (cell.value, cell.data_type) == (text, "s")


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 10, 1, 12, 30, 5, 999, tzinfo=UTC), "2026-10-01 12:30:05"),
        (datetime(2026, 10, 1, 1, tzinfo=timezone(timedelta(hours=3))), "2026-09-30 22:00:00"),
        (datetime(2026, 10, 1), "2026-10-01 00:00:00"),
        (date(2026, 10, 1), "2026-10-01"),
        ("2026-10-01", "2026-10-01"),
    ],
)
def test_times_are_written_in_utc_as_connect_reads_them(moment: Any, text: str) -> None:
    assert row_of(start_time_utc=moment)["start_time_utc"] == text


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=8),
            st.integers(0, 10**9) | st.floats(0, 10**9).map(lambda value: round(value, 3)),
        ),
        max_size=5,
    )
)
@hypothesis_settings(max_examples=20, deadline=None)
def test_what_is_written_is_read(values: list[tuple[str, float]]) -> None:
    given = [record(record_id=text, quantity=number) for text, number in values]
    _, *rows = rows_of(spreadsheet(given))
    assert [(row[0], row[3]) for row in rows] == values


# ---- reports that do not get through


DRAFT = Reply(201, {"id": "UF-1", "status": "draft"})
READY = Reply(201, {"id": "UF-1", "status": "ready"})


def automation(server: Server) -> UsageAutomation:
    return UsageAutomation(Config.local(server.url, KEY))


def submit(server: Server) -> UsageFile:
    return automation(server).submit_usage(UsageFile(name="Usage"), [record()])


def test_a_file_is_created_and_then_uploaded() -> None:
    with serving(DRAFT, READY) as server:
        assert submit(server).status == "ready"
        create, upload = server.calls
    assert (create.method, create.path) == ("POST", "/public/v1/usage/files/")
    assert create.json == {"name": "Usage"}
    assert (upload.method, upload.path) == ("POST", "/public/v1/usage/files/UF-1/upload/")
    assert b'name="usage_file"; filename="usage_file.xlsx"' in upload.body


@pytest.mark.parametrize("status", [200, 201, 204])
def test_an_upload_may_be_answered_with_any_success(status: int) -> None:
    body = None if status == 204 else {"id": "UF-1", "status": "ready"}
    with serving(DRAFT, Reply(status, body)) as server:
        assert submit(server).id == "UF-1"


@pytest.mark.parametrize(
    "script",
    [
        (Reply(400, {"error_code": "VAL_001", "errors": ["no such product"]}),),
        (DRAFT, Reply(400, {"error_code": "VAL_003", "errors": ["no spreadsheet"]})),
        (Reply(201, b"<html>"),),
        (Reply(201),),
        (Reply(201, {"status": "draft"}),),
        (DRAFT, Reply(action="reset")),
    ],
)
def test_a_report_that_fails_is_a_creation_error_with_its_cause(script: tuple[Reply, ...]) -> None:
    with serving(*script) as server, pytest.raises(FileCreationError) as raised:
        submit(server)
    assert isinstance(raised.value, Retryable)
    assert isinstance(raised.value.__cause__, Message)
    assert str(raised.value.__cause__) in str(raised.value)


def test_a_429_is_still_known_as_one() -> None:
    reply = Reply(429, headers={"Retry-After": "7"})
    with serving(reply) as server, pytest.raises(FileCreationError) as raised:
        submit(server)
    trouble = account_trouble(raised.value)
    assert trouble is not None
    assert trouble.asked_seconds == 7
    assert isinstance(raised.value.__cause__, RateLimited)


@pytest.mark.parametrize("error", [LeaseLost("taken over"), LedgerUnavailable("away")])
def test_an_error_of_the_job_is_not_taken_for_one_of_the_file(error: Exception) -> None:
    class Stopped(UsageAutomation):
        def _create(self, usage_file: UsageFile) -> Any:
            raise error

    stopped = Stopped(Config.local("http://127.0.0.1:1", KEY))
    with pytest.raises(type(error)) as raised:
        stopped.submit_usage(UsageFile(name="Usage"), [])
    assert raised.value is error


# ---- templates


def fetch(play: Any) -> bytes:
    with serving(play) as server:
        return automation(server).get_usage_template(Product(id="PRD-1"))


def test_a_template_is_fetched_from_its_link_without_the_key() -> None:
    calls: list[Call] = []

    def play(call: Call) -> Reply:
        calls.append(call)
        if call.path.endswith("/template/"):
            return Reply(body={"template_link": f"http://{call.headers['Host']}/storage/x.xlsx"})
        return Reply(body=b"PK\3\4")

    assert fetch(play) == b"PK\3\4"
    assert calls[0].path == "/public/v1/usage/products/PRD-1/template/"
    assert "Authorization" not in calls[1].headers


@pytest.mark.parametrize("body", [None, {}, {"template_link": None}, {"template_link": ""}, []])
def test_a_product_without_a_template_is_told(body: Any) -> None:
    with pytest.raises(FileRetrievalError, match="PRD-1 has no usage template"):
        fetch(Reply(body=body))


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        (Reply(404), NotFound),
        (Reply(body=b"<html>"), InvalidResponse),
        (Reply(body={"template_link": "no address"}), Message),
    ],
)
def test_a_template_that_cannot_be_fetched_is_a_retrieval_error(
    reply: Reply, cause: type[Exception]
) -> None:
    with pytest.raises(FileRetrievalError, match="PRD-1 can't be fetched") as raised:
        fetch(reply)
    assert isinstance(raised.value.__cause__, cause)

"""Which usage records are refused, how that is reported, and which columns there are."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any

import pytest

from connect_worker.exceptions import FileCreationError, InvalidUsage, Permanent
from connect_worker.models import UsageRecord
from connect_worker.resources.usage_sheet import COLUMNS, MOST_PROBLEMS, UsageTable

from .usage_rows import CELLS, problems, record, records, rows

STANDARD = tuple(CELLS)


def said_of(**fields: Any) -> str:
    """What is wrong with one record, without its name."""
    [problem] = problems([record(**fields)])
    return problem.partition(": ")[2]


# ---- what can't be right


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"record_id": None}, "record_id is missing"),
        ({"record_id": " "}, "record_id is missing"),
        ({"quantity": None}, "quantity is missing"),
        ({"quantity": ""}, "quantity is missing"),
        ({"quantity": "many"}, "quantity is 'many', which is not a number"),
        ({"quantity": "unlimited"}, "quantity is 'unlimited', which is not a number"),
        ({"quantity": "1_0"}, "quantity is '1_0', which is not a number"),
        ({"quantity": "1e999"}, "quantity is inf, which is not a number"),
        ({"quantity": float("nan")}, "quantity is nan, which is not a number"),
        ({"quantity": float("inf")}, "quantity is inf, which is not a number"),
        ({"quantity": Decimal("NaN")}, "quantity is NaN, which is not a number"),
        ({"quantity": True}, "quantity is True, which is not a number"),
        ({"quantity": [1]}, "quantity is [1], which is not a number"),
        ({"quantity": -1}, "quantity is -1, which is below zero"),
        ({"quantity": "-0.5"}, "quantity is -0.5, which is below zero"),
        ({"start_time_utc": None}, "start_time_utc is missing"),
        ({"end_time_utc": ""}, "end_time_utc is missing"),
        (
            {"start_time_utc": "01-10-2026"},
            (
                "start_time_utc is '01-10-2026'; expected is YYYY-MM-DD HH:MM:SS, "
                "or a date alone for its midnight"
            ),
        ),
        (
            {"end_time_utc": "2026-02-30"},
            (
                "end_time_utc is '2026-02-30'; expected is YYYY-MM-DD HH:MM:SS, "
                "or a date alone for its midnight"
            ),
        ),
        ({"end_time_utc": 1730419200}, "end_time_utc is a int; a time is expected"),
        (
            {"end_time_utc": "2026-09-30"},
            "end_time_utc 2026-09-30 00:00:00 is before start_time_utc 2026-10-01 00:00:00",
        ),
        (
            {"end_time_utc": datetime(2026, 10, 1, 1, tzinfo=timezone(timedelta(hours=2)))},
            "end_time_utc 2026-09-30 23:00:00 is before start_time_utc 2026-10-01 00:00:00",
        ),
        ({"item_search_criteria": None}, "item_search_criteria is missing"),
        (
            {"item_search_criteria": "item.color"},
            (
                "item_search_criteria is 'item.color'; "
                "it must be one of item.mpn, item.local_id, item.global_id"
            ),
        ),
        ({"item_search_value": None}, "item_search_value is missing"),
        ({"item_search_value": ""}, "item_search_value is missing"),
        ({"asset_search_criteria": None}, "asset_search_criteria is missing"),
        *(
            (
                {"asset_search_criteria": criteria},
                f"asset_search_criteria is {criteria!r}; it must be asset.id or parameter.{{id}}",
            )
            for criteria in ("by name", "asset", "parameter", "parameter.", "parameter. ", 7)
        ),
        ({"asset_search_value": "\t"}, "asset_search_value is missing"),
        ({"asset_search_value": True}, "asset_search_value is a bool; a text or a number is …"),
        ({"asset_search_value": {}}, "asset_search_value is a dict; a text or a number is …"),
        ({"item_search_value": "x" * 32_768}, "item_search_value is longer than 32,767 characters"),
        (
            {"item_search_value": "a\x00b"},
            "item_search_value has a character that no spreadsheet can hold",
        ),
        ({"record_id": "\ud800"}, "record_id has a character that no spreadsheet can hold"),
        ({"amount": "free"}, "amount is 'free', which is not a number"),
        ({"tier": object}, "tier is a type; a text or a number is …"),
    ],
    ids=str,
)
def test_a_record_that_cannot_be_right_is_refused_by_field(
    fields: dict[str, Any], problem: str
) -> None:
    assert said_of(**fields) == problem.replace("…", "expected")


def test_a_record_is_named_by_number_and_id_with_all_that_is_wrong() -> None:
    given = [*records(2), record(record_id="rec-3", quantity=None, item_search_value=None)]
    assert problems(given) == [
        "record 3 (rec-3): item_search_value is missing",
        "record 3 (rec-3): quantity is missing",
    ]


def test_an_empty_record_lacks_every_standard_field() -> None:
    assert problems([UsageRecord()]) == [f"record 1: {name} is missing" for name in STANDARD]


def test_what_is_no_record_is_reported() -> None:
    given: list[Any] = [record(), dict(CELLS)]
    assert problems(given) == ["record 2: it is not a UsageRecord but a dict"]
    first: list[Any] = [dict(CELLS)]
    assert problems(first) == ["record 1: it is not a UsageRecord but a dict"]


@pytest.mark.parametrize("again", ["rec-1", "7"])
def test_an_id_stands_once(again: str) -> None:
    given = [*records(2), record(record_id=7), record(record_id=again)]
    assert problems(given) == [f"record 4 ({again}): record_id is used twice"]


def test_a_report_without_records_is_refused() -> None:
    with pytest.raises(InvalidUsage, match="there are no records"):
        UsageTable([])


def test_the_refusal_stops_after_ten_problems_and_reads_no_further() -> None:
    read = []

    def many() -> Iterator[UsageRecord]:
        for number in range(1000):
            read.append(number)
            yield record(record_id=f"rec-{number}", quantity=None)

    found = problems(many())
    assert len(found) == len(read) == MOST_PROBLEMS
    assert found[-1] == "record 10 (rec-9): quantity is missing"


def test_the_refusal_is_one_error_that_a_retry_cannot_help_and_survives_pickling() -> None:
    with pytest.raises(FileCreationError) as raised:
        rows([record(quantity=None)])
    error = raised.value
    assert isinstance(error, Permanent)
    assert str(error) == "the usage can't be submitted: record 1 (rec-1): quantity is missing"
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (InvalidUsage, str(error))
    assert again.problems == ["record 1 (rec-1): quantity is missing"]


def test_a_sheet_cannot_hold_more_than_its_rows() -> None:
    table = UsageTable(records(4), most_records=3)
    with pytest.raises(InvalidUsage, match=r"record 4 .*: one more than the 3 that a sheet"):
        list(table.rows())


# ---- what is right


class Plan(StrEnum):
    GOLD = "gold"


class Size(IntEnum):
    LARGE = 3


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (0, 0),
        (12, 12),
        (2.5, 2.5),
        (1e22, 1e22),
        (12345678901234567, 12345678901234567),
        ("12", 12),
        (" 0.10 ", 0.1),
        ("5e2", 500.0),
        (Decimal("0.1"), 0.1),
        (Size.LARGE, 3),
    ],
)
def test_quantities_are_written_as_numbers(value: Any, cell: float) -> None:
    [row] = rows([record(quantity=value)])
    assert (row["quantity"], type(row["quantity"])) == (cell, type(cell))


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 10, 1, 12, 30, 5, 999, tzinfo=UTC), "2026-10-01 12:30:05"),
        (datetime(2026, 10, 1, 1, tzinfo=timezone(timedelta(hours=3))), "2026-09-30 22:00:00"),
        (datetime(2026, 10, 1), "2026-10-01 00:00:00"),
        (date(2026, 10, 1), "2026-10-01 00:00:00"),
        ("2026-10-01", "2026-10-01 00:00:00"),
        ("2026-10-01 10:00:00", "2026-10-01 10:00:00"),
        ("2026-10-01T10:00:00+02:00", "2026-10-01 08:00:00"),
        ("2026-10-01T10:00:00Z", "2026-10-01 10:00:00"),
        ("20261001", "2026-10-01 00:00:00"),
        ("2026-W40-4", "2026-10-01 00:00:00"),
    ],
)
def test_times_are_written_in_utc_as_connect_reads_them(moment: Any, text: str) -> None:
    [row] = rows([record(start_time_utc=moment)])
    assert row["start_time_utc"] == text


@pytest.mark.parametrize("start", ["2026-10-01", "2026-10-01 00:00:00"])
@pytest.mark.parametrize("end", ["2026-10-01", "2026-10-01 00:00:00"])
def test_a_period_may_be_a_moment(start: str, end: str) -> None:
    assert rows([record(start_time_utc=start, end_time_utc=end)])


@pytest.mark.parametrize("criteria", ["item.mpn", "item.local_id", "item.global_id"])
def test_items_are_found_by_any_of_connects_names(criteria: str) -> None:
    assert rows([record(item_search_criteria=criteria)])


@pytest.mark.parametrize("criteria", ["asset.id", "parameter.tenant", "parameter.a.b"])
def test_assets_are_found_by_id_or_parameter(criteria: str) -> None:
    assert rows([record(asset_search_criteria=criteria)])


@pytest.mark.parametrize(
    ("value", "cell"), [("0012", "0012"), (12, 12), (Plan.GOLD, "gold"), (" x ", " x ")]
)
def test_a_search_value_stays_what_it_is(value: Any, cell: Any) -> None:
    [row] = rows([record(asset_search_value=value)])
    assert (row["asset_search_value"], type(row["asset_search_value"])) == (cell, type(cell))


@pytest.mark.parametrize("name", ["record_id", "usage_record_id"])
def test_both_names_of_the_id_are_one_column(name: str) -> None:
    fields: dict[str, Any] = {key: value for key, value in CELLS.items() if key != "record_id"}
    fields[name] = "unique"
    [row] = rows([UsageRecord(**fields)])
    assert row["record_id"] == "unique"


def test_a_record_that_was_loaded_is_as_good_as_one_that_was_made() -> None:
    [row] = rows([UsageRecord.deserialize_json({**CELLS, "quantity": "2.5", "amount": "7"})])
    assert row == {**CELLS, "amount": 7}


# ---- the columns


def test_the_eight_columns_are_always_there_in_connects_order() -> None:
    assert UsageTable([record()]).columns == STANDARD
    assert ", ".join(STANDARD) == (
        "record_id, item_search_criteria, item_search_value, quantity, start_time_utc, "
        "end_time_utc, asset_search_criteria, asset_search_value"
    )


def test_a_later_column_is_written_when_the_first_record_sets_it() -> None:
    first = record(amount=-7.5, usage_record_note="refund", item_npm="SKU", tier=2)
    second = record(record_id="rec-2", amount=None, record_note="")
    table = UsageTable(iter([first, second]))
    extra = [column for column in table.columns if column not in STANDARD]
    assert extra == ["record_note", "amount", "item_mpn", "tier"]
    assert [column for column in table.columns if column in STANDARD] == list(STANDARD)
    written = [dict(zip(table.columns, row, strict=True)) for row in table.rows()]
    assert [written[0][name] for name in extra] == ["refund", -7.5, "SKU", 2]
    assert [written[1][name] for name in extra] == [None] * 4


def test_an_empty_text_in_the_first_record_asks_for_the_column() -> None:
    given = [record(record_note=""), record(record_id="rec-2", record_note="late")]
    assert [row["record_note"] for row in rows(given)] == [None, "late"]


OPTIONAL = [name for name in COLUMNS if name not in STANDARD]


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_column_that_a_later_record_sets_comes_last(name: str) -> None:
    table = UsageTable([record(), record(record_id="rec-2", **{name: 1})])
    first, second = table.rows()
    assert table.columns == (*STANDARD, name)
    assert (len(first), second[-1]) == (len(STANDARD), 1)


def test_a_date_in_a_note_stays_a_date() -> None:
    [row] = rows([record(record_note=date(2026, 10, 1))])
    assert row["record_note"] == "2026-10-01"


def test_every_field_of_a_record_has_its_column() -> None:
    fields = set(UsageRecord._attributes) - {"id"}
    named = {UsageRecord._aliases.get(name, name) for name in COLUMNS}
    assert named == fields

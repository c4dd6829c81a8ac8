"""Usage records to write, and what a table makes of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from connect_worker.exceptions import InvalidUsage
from connect_worker.models import UsageRecord
from connect_worker.resources.usage_sheet import Cell, UsageTable

CELLS: dict[str, Any] = {
    "record_id": "rec-1",
    "item_search_criteria": "item.mpn",
    "item_search_value": "SKUA",
    "quantity": 2.5,
    "start_time_utc": "2026-10-01 00:00:00",
    "end_time_utc": "2026-11-01 00:00:00",
    "asset_search_criteria": "parameter.tenant",
    "asset_search_value": "tenant2",
}


def record(**fields: Any) -> UsageRecord:
    """A right record, but for the fields that are given."""
    return UsageRecord(**{**CELLS, **fields})


def records(count: int) -> list[UsageRecord]:
    return [record(record_id=f"rec-{number}") for number in range(1, count + 1)]


def rows(given: Iterable[UsageRecord]) -> list[dict[str, Cell]]:
    """The table's rows, by column."""
    table = UsageTable(given)
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows()]


def problems(given: Iterable[UsageRecord]) -> list[str]:
    """What the table says is wrong."""
    with pytest.raises(InvalidUsage) as raised:
        rows(given)
    return raised.value.problems

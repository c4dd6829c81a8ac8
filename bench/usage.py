"""Writing a usage file of 200,000 records, compared with plain openpyxl.

`python -m bench.usage WRITER COUNT` writes one file, in its own process.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.child import run_child
from bench.sample import Row, Sample, Target, in_turns, ratio_row
from bench.testbed import Testbed
from connect_worker.models import UsageRecord

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


def measure(testbed: Testbed) -> Iterator[Row]:
    """Yield the ratio of the times, and the peak memory."""
    count = testbed.size(200_000, quick=10_000)
    memory: dict[str, list[float]] = {"ours": [], "openpyxl": []}

    def seconds(writer: str) -> float:
        result = run_child(testbed, "bench.usage", writer, count)
        memory[writer].append(result["megabytes"])
        return float(result["seconds"])

    pairs = in_turns(testbed.size(3, quick=1), lambda: seconds("ours"), lambda: seconds("openpyxl"))
    yield ratio_row(
        f"a usage file of {count:,} records: time",
        pairs,
        peer="plain openpyxl: Workbook, append, save; ours checks each record",
        side_unit="s",
        target=Target(0.5),
    )
    yield Row(
        what=f"a usage file of {count:,} records: peak memory above idle",
        measured=Sample(tuple(memory["ours"])),
        unit="MB",
        target=Target(100),
        peer="plain openpyxl",
        ours=Sample(tuple(memory["ours"])),
        theirs=Sample(tuple(memory["openpyxl"])),
        side_unit="MB",
    )


def main(writer: str, count: str) -> None:
    """Write a file; print the seconds and the megabytes above idle as JSON."""
    write = {"ours": _write_ours, "openpyxl": _write_openpyxl}[writer]
    # Write a small file first, so that everything is imported.
    write(_records(1))
    Path("/proc/self/clear_refs").write_text("5")
    idle, started = _megabytes("VmRSS"), time.perf_counter()
    write(_records(int(count)))
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "megabytes": _megabytes("VmHWM") - idle}))


def _write_ours(records: Iterable[UsageRecord]) -> None:
    from connect_worker.resources.usage_sheet import spreadsheet

    with spreadsheet(records) as file:
        assert file.read(2) == b"PK"


def _write_openpyxl(records: Iterable[UsageRecord]) -> None:
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(COLUMNS)
    for record in records:
        sheet.append([getattr(record, column) for column in COLUMNS])
    with tempfile.TemporaryFile() as file:
        book.save(file)


def _records(count: int) -> Iterator[UsageRecord]:
    for number in range(count):
        yield UsageRecord(
            record_id=f"R-{number:08d}",
            item_search_criteria="item.mpn",
            item_search_value="SKU-A",
            quantity=number % 1000,
            start_time_utc="2026-10-01 00:00:00",
            end_time_utc="2026-11-01 00:00:00",
            asset_search_criteria="parameter.purchase_id",
            asset_search_value=f"TEN-{number % 5000:06d}",
        )


def _megabytes(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith(name))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])

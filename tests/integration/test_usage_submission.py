"""A usage report becomes one file at Connect, uploaded once, whatever breaks on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from connect_worker.domain.states import RequestKey, RequestKind, State
from connect_worker.models import Contract, Product, UsageFile, UsageListing, UsageRecord
from tests.support.engine_harness import EngineHarness

from .conftest import Open

LONG = 3600.0
MANY = 20_000
CREATE, UPLOAD = "usage/files/?$", "usage/files/UF-[^/]+/upload"


def record(number: int, **fields: Any) -> UsageRecord:
    filled: dict[str, Any] = {
        "record_id": f"record {number}",
        "item_search_criteria": "item.mpn",
        "item_search_value": "SKUA",
        "quantity": number,
        "start_time_utc": "2026-10-01 00:00:00",
        "end_time_utc": "2026-11-01 00:00:00",
        "asset_search_criteria": "parameter.tenant",
        "asset_search_value": f"=tenant {number}",
        **fields,
    }
    return UsageRecord(**filled)


def three() -> list[UsageRecord]:
    return [record(number) for number in range(3)]


class Reports:
    """A processor that submits reports of each listing, the same ones in every run."""

    def __init__(self, *reports: Any) -> None:
        self.reports = reports
        self.runs = 0

    def __call__(self, automation: Any, request: UsageListing) -> str:
        self.runs += 1
        submitted = [
            automation.submit_usage(
                UsageFile(
                    name=f"Usage {number}",
                    product=Product(id=request.product.id),
                    contract=Contract(id=request.contract.id),
                ),
                report(),
            )
            for number, report in enumerate(self.reports)
        ]
        return f"reported as {', '.join(file.id for file in submitted)}"


@pytest.fixture
def start(open_for: Open) -> Any:
    """Open a workplace that submits these reports, and find a listing to report on."""

    def opened(reports: Reports) -> tuple[EngineHarness, RequestKey]:
        harness = open_for(lambda self, request: reports(self, request), RequestKind.USAGE)
        harness.poll()
        ref = harness.messages[0]
        harness.messages.clear()
        return harness, ref

    return opened


def files(opened: EngineHarness, ref: RequestKey) -> list[tuple[str, int, int]]:
    """Status, uploads and valid records of each file that Connect has of the listing."""
    found: Iterable[Any] = opened.sandbox.entry(ref.request_id)["usage_files"]
    return [(file["status"], file["uploads"], file["records_valid"]) for file in found]


def test_a_report_is_one_file_uploaded_once(start: Any) -> None:
    opened, ref = start(Reports(three))
    assert opened.handle(ref).text == "reported"
    assert files(opened, ref) == [("ready", 1, 3)]
    assert opened.entry(ref).state is State.COMPLETED
    opened.handle(ref)
    assert files(opened, ref) == [("ready", 1, 3)]


def test_a_generator_of_many_records_is_read_completely(start: Any) -> None:
    def many() -> Iterator[UsageRecord]:
        return (record(number) for number in range(MANY))

    opened, ref = start(Reports(many))
    opened.handle(ref)
    assert files(opened, ref) == [("ready", 1, MANY)]


@pytest.mark.parametrize(
    ("action", "path"),
    [
        pytest.param("reset_before", CREATE, id="creation lost"),
        pytest.param("reset_after", CREATE, id="reply of the creation lost"),
        pytest.param("status", CREATE, id="creation answered with a 500"),
        pytest.param("html", CREATE, id="creation answered by a proxy"),
        pytest.param("reset_before", UPLOAD, id="stopped between creation and upload"),
        pytest.param("reset_after", UPLOAD, id="reply of the upload lost"),
        pytest.param("status", UPLOAD, id="upload answered with a 500"),
    ],
)
def test_a_report_that_broke_is_resumed_where_it_stopped(
    start: Any, action: str, path: str
) -> None:
    reports = Reports(three)
    opened, ref = start(reports)
    with opened.fault(action, method="POST", path=path):
        opened.handle(ref)
        entry = opened.entry(ref)
        assert entry.state is State.RETRY
        assert entry.error.startswith("FileCreationError: the usage file can't be submitted: ")
        opened.later(ref, LONG)
    assert files(opened, ref) == [("ready", 1, 3)]
    assert opened.entry(ref).state is State.COMPLETED
    assert reports.runs == 2


def test_a_rerun_goes_on_with_the_report_that_is_missing(start: Any) -> None:
    read = 0

    def first() -> Iterator[UsageRecord]:
        nonlocal read
        read += 1
        yield from three()

    reports = Reports(first, three)
    opened, ref = start(reports)
    creation: dict[str, Any] = {"method": "POST", "path": CREATE}
    with opened.fault("delay", seconds=0, **creation), opened.fault("reset_before", **creation):
        opened.handle(ref)
        assert files(opened, ref) == [("ready", 1, 3)]
        opened.later(ref, LONG)
    assert files(opened, ref) == [("ready", 1, 3), ("ready", 1, 3)]
    assert (reports.runs, read) == (2, 1)


# ---- what no retry repairs


def test_a_record_that_cannot_be_right_parks_the_report_and_creates_nothing(start: Any) -> None:
    def wrong() -> Iterator[UsageRecord]:
        yield from three()
        yield record(7, quantity=None, end_time_utc="2026-09-01")

    reports = Reports(wrong)
    opened, ref = start(reports)
    opened.handle(ref)
    entry = opened.entry(ref)
    assert (entry.state, reports.runs) == (State.PARKED, 1)
    assert entry.error == (
        "InvalidUsage: the usage can't be submitted: record 4 (record 7): quantity is missing"
    )
    assert files(opened, ref) == []


@pytest.mark.parametrize(("path", "left"), [(CREATE, []), (UPLOAD, [("draft", 0, 0)])])
def test_a_report_that_connect_refuses_is_parked_at_once(
    start: Any, path: str, left: list[tuple[str, int, int]]
) -> None:
    reports = Reports(three)
    opened, ref = start(reports)
    with opened.fault("status", method="POST", path=path, status=400, times=None):
        opened.handle(ref)
    entry = opened.entry(ref)
    assert (entry.state, reports.runs) == (State.PARKED, 1)
    assert "answered 400" in entry.error
    assert files(opened, ref) == left


def test_a_person_lets_a_corrected_report_go_on(start: Any) -> None:
    given = [record(1, quantity=-1)]
    opened, ref = start(Reports(lambda: given))
    opened.handle(ref)
    assert opened.entry(ref).state is State.PARKED
    given[:] = [record(1)]
    opened.engine.ledger.rerun(ref)
    opened.handle(ref)
    assert files(opened, ref) == [("ready", 1, 1)]

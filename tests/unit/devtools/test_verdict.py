from __future__ import annotations

from typing import Any

import pytest

from connect_worker.devtools.verdict import judge, still_open

APPROVED = {"action": "approve"}


def entry(request_id: str = "PR-1", **changes: Any) -> dict[str, Any]:
    """An entry of the sandbox's report: a purchase that was approved."""
    return {
        "id": request_id,
        "kind": "fulfillment",
        "product": "PRD-1",
        "initial_status": "pending",
        "status": "approved",
        "accepted": [APPROVED],
        "refused": [],
        "vendor": {"effects": 1},
        **changes,
    }


def listing(*files: dict[str, Any], product: str = "PRD-1") -> dict[str, Any]:
    return entry(
        "LST-1",
        kind="usage",
        product=product,
        initial_status="listed",
        status="listed",
        accepted=[],
        usage_files=list(files),
    )


def usage_file(*, uploads: int = 1, invalid: int = 0) -> dict[str, Any]:
    return {"id": "UF-1", "uploads": uploads, "records": 3, "records_invalid": invalid}


def reasons(*entries: dict[str, Any], parked: dict[str, str] | None = None) -> list[str]:
    report = {"totals": {}, "requests": {item["id"]: item for item in entries}}
    return [problem.reason for problem in judge(report, parked=parked or {}).problems]


def test_one_outcome_each_and_one_upload_per_listing_is_as_it_should_be() -> None:
    assert reasons(entry(), listing(usage_file())) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"accepted": [], "status": "pending"}, "no decision, its status is pending"),
        ({"accepted": [APPROVED] * 2}, "2 decisions instead of 1: approve, approve"),
        ({"initial_status": "invalid"}, "1 decision instead of 0: approve"),
        (
            {"refused": [{"action": "approve", "status": 400}]},
            "Connect refused approve with status 400",
        ),
        ({"vendor": {"effects": 2}}, "the vendor's system created 2 tenants"),
    ],
)
def test_a_request_that_was_not_resolved_once_is_named(
    changes: dict[str, Any], reason: str
) -> None:
    assert reasons(entry(**changes)) == [reason]


def test_a_file_that_nobody_was_to_act_on_needs_no_outcome() -> None:
    left = entry(kind="usage-file", initial_status="invalid", status="invalid", accepted=[])

    assert reasons(left) == []


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([], "0 usage files instead of 1"),
        ([usage_file(), usage_file()], "2 usage files instead of 1"),
        ([usage_file(uploads=2)], "usage file UF-1 was uploaded 2 times"),
        ([usage_file(uploads=0)], "usage file UF-1 was uploaded 0 times"),
        ([usage_file(invalid=2)], "2 of 3 records of usage file UF-1 are invalid"),
    ],
)
def test_a_listing_without_one_good_report_is_named(
    files: list[dict[str, Any]], reason: str
) -> None:
    assert reasons(entry(), listing(*files)) == [reason]


def test_a_product_that_nobody_bought_has_no_usage() -> None:
    assert reasons(entry(), listing(product="PRD-2")) == []


def test_a_parked_request_is_explained_by_its_error() -> None:
    parked = entry(accepted=[], status="pending")

    assert reasons(parked, parked={"PR-1": "no such template"}) == ["parked: no such template"]


def test_requests_are_counted_by_kind_and_action() -> None:
    entries = [entry(), entry("PR-2", accepted=[]), listing(usage_file())]
    report = {
        "totals": {"fulfillment": {}, "usage": {}},
        "requests": {item["id"]: item for item in entries},
    }

    verdict = judge(report, parked={})

    assert (verdict.total, verdict.violations(), verdict.violations("usage")) == (3, 1, 0)
    assert verdict.accepted == {"fulfillment": {"approve": 1}, "usage": {"upload": 1}}


def test_what_still_waits_is_pending_or_a_ready_file() -> None:
    totals = {
        "fulfillment": {"status": {"pending": 3, "approved": 2}},
        "tier-config": {"status": {"approved": 2}},
        "usage-file": {"status": {"pending": 4, "ready": 1, "draft": 1}},
        "usage": {"status": {"listed": 5}},
    }

    assert still_open({"totals": totals}) == {"fulfillment": 3, "tier-config": 0, "usage-file": 1}

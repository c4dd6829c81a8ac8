"""Which texts can name a request: Connect's ids do, what else a message may hold does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from connect_worker.domain.kinds import has_periods, is_nameable, is_request_name
from connect_worker.domain.states import RequestKey, RequestKind
from connect_worker.sandbox import documents as identifiers

PAYLOADS = Path(__file__).parents[2] / "data" / "payloads"
PROPER = {
    RequestKind.FULFILLMENT: "PR-5852-1608-0000",
    RequestKind.TIER_CONFIG: "TCR-000-000-000",
    RequestKind.USAGE_FILE: "UF-2018-11-9878764342",
    RequestKind.USAGE: "LST-066-644-910@2026-11",
}


@pytest.mark.parametrize(("kind", "name"), PROPER.items())
def test_an_id_of_connect_names_a_request_of_its_kind_alone(kind: RequestKind, name: str) -> None:
    assert [other for other in RequestKind if is_request_name(other, name)] == [kind]
    assert is_nameable(RequestKey(kind, name))


def test_the_ids_of_published_documents_are_names() -> None:
    files = {
        RequestKind.FULFILLMENT: "fulfillment_request.json",
        RequestKind.TIER_CONFIG: "tier_config_request.json",
        RequestKind.USAGE_FILE: "usage_file.json",
    }
    for kind, file in files.items():
        found = json.loads((PAYLOADS / file).read_text(encoding="utf-8"))
        document = found[0] if isinstance(found, list) else found
        assert is_request_name(kind, document["id"])


def test_every_form_of_id_that_the_sandbox_makes_is_a_name() -> None:
    for number in range(40):
        assert is_request_name(RequestKind.FULFILLMENT, identifiers.fulfillment_id(number, 1))
        assert is_request_name(RequestKind.TIER_CONFIG, identifiers.tier_request_id(number))
        assert is_request_name(RequestKind.USAGE_FILE, identifiers.usage_file_id(number, 2026, 11))


@pytest.mark.parametrize("period", ["2026-11-25T10", "2026-W48", "Q4 2026", "2026/11", "hourly:10"])
def test_a_period_of_the_users_own_is_a_name(period: str) -> None:
    assert is_request_name(RequestKind.USAGE, f"LST-066-644-910@{period}")


@pytest.mark.parametrize("text", ["AS-1", "CRD-1-2", "PR-1-2", "PRD-1", "TC-1", "TCR-1", "UF-1"])
def test_usage_may_be_reported_for_another_object(text: str) -> None:
    assert is_request_name(RequestKind.USAGE, f"{text}@2026-11")
    assert not any(
        is_request_name(kind, f"{text}@2026-11") for kind in RequestKind if kind != "usage"
    )


@pytest.mark.parametrize(
    ("text", "expected"), [("AS-1", True), ("LST-1", True), ("PR-1", False), ("TL-1", False)]
)
def test_an_id_that_is_no_requests_may_have_periods(text: str, expected: bool) -> None:
    assert has_periods(text) is expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PR-",
        "PR-1/../x",
        "PR-1?x=y",
        "PR-1\n",
        "PR-1 ",
        "PR-é",
        "PR-" + "1" * 61,
        "PR--1",
        "pr-1",
        "TL-1@2026-11",
        b"PR-1",
        1,
        None,
        ["PR-1"],
        {"id": "PR-1"},
    ],
    ids=repr,
)
def test_anything_else_is_none(text: object) -> None:
    assert not any(is_request_name(kind, text) for kind in RequestKind)


@pytest.mark.parametrize(
    "text", ["LST-1", "LST-1@", "LST-1@a\nb", "LST-1@" + "x" * 65, "LST-1@a@b", "LST-1@a\x00"]
)
def test_a_listing_without_a_proper_period_is_none(text: str) -> None:
    assert not is_request_name(RequestKind.USAGE, text)

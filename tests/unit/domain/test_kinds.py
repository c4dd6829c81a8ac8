"""What is read off a document: product, status, cycle; also off documents that are odd."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from connect_worker.domain.kinds import KINDS, cycle_of, document_fault, product_of, status_of
from connect_worker.domain.states import RequestKey, RequestKind, idempotency_key

PAYLOADS = Path(__file__).parents[2] / "data" / "payloads"

FILES = {
    RequestKind.FULFILLMENT: "fulfillment_request.json",
    RequestKind.TIER_CONFIG: "tier_config_request.json",
    RequestKind.USAGE_FILE: "usage_file.json",
    RequestKind.USAGE: "usage_listings.json",
}


def payload(name: str) -> Any:
    found = json.loads((PAYLOADS / name).read_text(encoding="utf-8"))
    return found[0] if isinstance(found, list) else found


@pytest.mark.parametrize(
    ("kind", "product", "status", "cycle"),
    [
        (RequestKind.FULFILLMENT, "CN-550-366-529", "approved", None),
        (RequestKind.TIER_CONFIG, "CN-780-197-666", "pending", "2021-06-21T11:10:29+00:00"),
        (RequestKind.USAGE_FILE, "CN-780-197-666", "ready", "ready@2021-06-21T11:10:29+00:00"),
        (RequestKind.USAGE, "CN-550-366-529", "listed", None),
    ],
)
def test_a_real_payload_tells_its_product_status_and_cycle(
    kind: RequestKind, product: str, status: str, cycle: str | None
) -> None:
    document = payload(FILES[kind])
    assert product_of(kind, document) == product
    assert status_of(document) == status
    assert cycle_of(kind, document) == cycle


def test_a_migration_request_is_read_like_any_other() -> None:
    document = payload("migration_request.json")
    assert product_of(RequestKind.FULFILLMENT, document) == document["asset"]["product"]["id"]
    assert cycle_of(RequestKind.FULFILLMENT, document) is None


def test_each_kind_has_its_facts() -> None:
    assert set(KINDS) == set(RequestKind)
    for kind, facts in KINDS.items():
        assert facts.kind is kind
        assert facts.product_field == ".".join(facts.product_path)


NAMES = [
    *("asset", "configuration", "product", "id", "status"),
    *("events", "pended", "uploaded", "created", "at"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from(RequestKind))
@hypothesis_settings(max_examples=200)
def test_no_document_is_too_odd_to_be_read(document: Any, kind: RequestKind) -> None:
    assert isinstance(product_of(kind, document), str)
    assert isinstance(status_of(document), str)
    assert isinstance(cycle_of(kind, document), str | None)
    assert isinstance(document_fault(RequestKey(kind, "PR-1"), document), tuple | None)


@pytest.mark.parametrize("kind", RequestKind)
def test_a_real_payload_has_no_fault(kind: RequestKind) -> None:
    document = payload(FILES[kind])
    assert document_fault(RequestKey(kind, document["id"]), document) is None


def levels(number: int) -> Any:
    document: Any = {}
    for _ in range(number):
        document = {"asset": document}
    return {**document, **KNOWN}


TCR = RequestKey(RequestKind.TIER_CONFIG, "TCR-1")
KNOWN: dict[str, Any] = {"id": TCR.id, "status": "pending"}


@pytest.mark.parametrize(
    ("document", "path", "text"),
    [
        (None, "", "it is null, not an object"),
        ([], "", "it is a list, not an object"),
        (5, "", "it is 5, not an object"),
        ({}, "id", "null is not the id that was asked for"),
        ({"id": "TCR-2"}, "id", "'TCR-2' is not the id that was asked for"),
        ({"id": {"a": 1}}, "id", "an object is not the id that was asked for"),
        ({"id": TCR.id}, "status", "it is missing"),
        ({**KNOWN, "status": "pending\udc00"}, "status", r"'pending\udc00' can't be used"),
        (
            {**KNOWN, "status": "p" * 200_000},
            "status",
            f"'{'p' * 40}'… (200000 characters) can't be used",
        ),
        ({**KNOWN, "status": "pending\n"}, "status", r"'pending\n' can't be used"),
        ({**KNOWN, "status": ["pending"]}, "status", "a list can't be used"),
        (
            {**KNOWN, "configuration": {"product": {"id": {}}}},
            "configuration.product.id",
            "an object can't be used",
        ),
        (
            {**KNOWN, "events": {"pended": {"at": "\0"}}},
            "events.pended.at",
            r"'\x00' can't be used",
        ),
        (levels(101), "", "it has more than 100 levels"),
        (levels(100_000), "", "it has more than 100 levels"),
    ],
)
def test_a_document_that_no_worker_can_process_has_a_fault(
    document: Any, path: str, text: str
) -> None:
    assert document_fault(TCR, document) == (path, text)


def test_as_many_levels_as_documents_may_have_are_no_fault() -> None:
    assert document_fault(TCR, levels(99)) is None


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "text",
        {},
        {"asset": None},
        {"asset": []},
        {"asset": {"product": None}},
        {"asset": {"product": "PRD-1"}},
        {"asset": {"product": {"id": None}}},
        {"asset": {"product": {"id": {"id": "PRD-1"}}}},
    ],
)
def test_a_document_that_names_no_product_has_none(document: Any) -> None:
    assert product_of(RequestKind.FULFILLMENT, document) == ""


@pytest.mark.parametrize("status", [None, 5, {"status": "x"}, ["pending"], ""])
def test_a_status_that_is_no_text_is_none(status: Any) -> None:
    assert status_of({"status": status}) == ""


def test_a_status_in_capitals_is_the_same_status() -> None:
    assert status_of({"status": "READY"}) == "ready"


# ---- cycles


@pytest.mark.parametrize(
    "events", [None, [], {}, {"pended": None}, {"pended": {"at": None}}, {"pended": {"at": ""}}]
)
def test_a_tier_config_request_without_its_event_leaves_the_cycle_to_the_ledger(
    events: Any,
) -> None:
    assert cycle_of(RequestKind.TIER_CONFIG, {"events": events}) is None


def test_a_tier_config_request_that_is_pended_again_is_on_another_cycle() -> None:
    first, second = (
        {"events": {"created": {"at": "2026-01-01"}, "pended": {"at": at}}, "updated": "x"}
        for at in ("2026-01-01", "2026-01-05")
    )
    assert cycle_of(RequestKind.TIER_CONFIG, first) != cycle_of(RequestKind.TIER_CONFIG, second)


def test_a_change_of_the_request_is_no_other_cycle() -> None:
    document = payload(FILES[RequestKind.TIER_CONFIG])
    assert cycle_of(RequestKind.TIER_CONFIG, {**document, "updated": "2030-01-01"}) == cycle_of(
        RequestKind.TIER_CONFIG, document
    )


def test_a_usage_file_that_is_uploaded_again_is_on_another_cycle() -> None:
    rejected = {"created": {"at": "2026-01-01"}, "uploaded": {"at": "2026-01-02"}}
    later = {**rejected, "rejected": {"at": "2026-01-03"}, "uploaded": {"at": "2026-01-04"}}
    first = cycle_of(RequestKind.USAGE_FILE, {"status": "READY", "events": rejected})
    assert first == "ready@2026-01-02"
    assert (
        cycle_of(RequestKind.USAGE_FILE, {"status": "ready", "events": later}) == "ready@2026-01-04"
    )


def test_a_usage_file_is_on_another_cycle_in_another_status() -> None:
    events = {"uploaded": {"at": "2026-01-02"}}
    cycles = {
        cycle_of(RequestKind.USAGE_FILE, {"status": status, "events": events})
        for status in ("ready", "pending", "invalid")
    }
    assert len(cycles) == 3


@pytest.mark.parametrize("events", [None, {}, {"uploaded": {"at": 5}}, {"uploaded": "x"}])
def test_a_usage_file_without_events_is_reported_by_its_status(events: Any) -> None:
    assert cycle_of(RequestKind.USAGE_FILE, {"status": "ready", "events": events}) == "ready@"


# ---- keys

REF = RequestKey(RequestKind.FULFILLMENT, "PR-5852-1608-0000")


def test_a_key_stays_what_it_is_from_release_to_release() -> None:
    # Of a vendor's system that has seen it, another key would ask for another tenant.
    assert idempotency_key("account", REF, "1") == "d90ef8201a2f37ca65a524c9ec8fdd35"


@given(st.tuples(st.text(max_size=5), st.sampled_from(RequestKind), st.text(max_size=5)))
@hypothesis_settings(max_examples=50)
def test_a_key_is_the_same_for_the_same_cycle(place: tuple[str, RequestKind, str]) -> None:
    account, kind, cycle = place
    key = idempotency_key(account, RequestKey(kind, "X-1"), cycle)
    assert key == idempotency_key(account, RequestKey(kind, "X-1"), cycle)
    assert len(key) == 32
    assert int(key, 16) >= 0


def test_each_part_makes_another_key() -> None:
    keys = {
        idempotency_key(account, RequestKey(kind, request_id), cycle)
        for account in ("a", "b")
        for kind in RequestKind
        for request_id in ("PR-1", "PR-2", "PR-11")
        for cycle in ("1", "2", "11")
    }
    assert len(keys) == 2 * 4 * 3 * 3

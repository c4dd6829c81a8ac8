"""The vendor's system, the control part and the report."""

from datetime import datetime
from typing import Any

import requests

from connect_worker.sandbox.memory import RECENT_CALLS, Journal
from tests.support.sandbox_server import Client, running_sandbox


def create_tenant(client: Client, key: str | None, **order: Any) -> requests.Response:
    return client.session.post(
        f"{client.root}/vendor/tenants",
        json=order,
        headers={"Idempotency-Key": key} if key else {},
        timeout=10,
    )


def test_the_same_key_gives_the_same_tenant(client: Client) -> None:
    order = client.with_scenario("purchase")
    answers = [create_tenant(client, "k1", request_id=order) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 200, 200]
    assert len({answer.json()["id"] for answer in answers}) == 1
    vendor = client.control("GET", "report")["vendor"]
    assert vendor["by_key"]["k1"] == {"effects": 1, "calls": 3, "request_id": order}
    assert client.entry(order)["vendor"] == {"effects": 1, "calls": 3, "keys": ["k1"]}
    tenant_id = answers[0].json()["id"]
    stored = client.session.get(f"{client.root}/vendor/tenants/{tenant_id}", timeout=10)
    assert stored.json() == answers[0].json()


def test_without_a_key_every_call_has_an_effect(client: Client) -> None:
    assert [create_tenant(client, None).status_code for _ in range(2)] == [201, 201]
    vendor = client.control("GET", "report?summary=1")["vendor"]
    assert vendor == {"effects": 2, "calls": 2, "calls_without_key": 2}
    tenants = client.session.get(f"{client.root}/vendor/tenants", timeout=10).json()
    assert len(tenants) == 2


def test_an_accepted_outcome_is_reported_with_its_key_and_body(client: Client) -> None:
    order = client.with_scenario("absurd-quantity")
    client.call(
        "POST",
        f"requests/{order}/fail",
        json={"reason": "too many"},
        headers={"Idempotency-Key": "k9"},
    )
    entry = client.entry(order)
    accepted = entry["accepted"]
    assert [(o["action"], o["idempotency_key"], o["body"]) for o in accepted] == [
        ("fail", "k9", {"reason": "too many"})
    ]
    assert (entry["initial_status"], entry["status"]) == ("pending", "failed")
    assert entry["calls"] == {"POST": 1}
    assert client.control("GET", "report")["requests"][order] == entry


def test_the_summary_counts_by_kind_route_and_status(client: Client) -> None:
    order = client.with_scenario("absurd-quantity")
    client.post(f"requests/{order}/fail", {"reason": "no"})
    client.refused("POST", f"requests/{order}/fail", {"reason": "no"})
    client.call("GET", "requests/PR-0")
    summary = client.control("GET", "report?summary=1")
    assert "requests" not in summary
    assert summary["totals"]["fulfillment"] == {
        "count": 72,
        "status": {"pending": 71, "failed": 1},
        "accepted": {"fail": 1},
        "refused": 1,
    }
    assert summary["calls"]["by_route"] == {"POST requests/{id}/fail": 2, "GET requests/{id}": 1}
    assert summary["calls"]["by_status"] == {"200": 1, "400": 1, "404": 1}


def test_the_latest_calls_are_reported_with_time_route_and_status(client: Client) -> None:
    order = client.with_scenario("purchase")
    client.get(f"requests/{order}")
    client.call("GET", "requests/PR-0")
    create_tenant(client, "k1", request_id=order)
    client.control("POST", "faults", {"action": "status", "status": 429, "path": "products"})
    client.session.get(f"{client.root}/public/v1/products", timeout=10)
    calls = client.control("GET", "calls")
    assert [(call["route"], call["status"]) for call in calls] == [
        ("GET requests/{id}", 200),
        ("GET requests/{id}", 404),
        ("POST /vendor/tenants", 201),
        ("GET products", 429),
    ]
    times = [datetime.fromisoformat(call["at"]) for call in calls]
    assert times == sorted(times)
    assert times[-1] <= datetime.fromisoformat(client.control("GET", "report?summary=1")["at"])


def test_only_so_many_calls_are_remembered() -> None:
    journal = Journal()
    for number in range(RECENT_CALLS + 2):
        journal.count_call("GET requests", 200, str(number))
    assert (len(journal.recent), journal.recent[0]["at"]) == (RECENT_CALLS, "2")
    assert journal.routes["GET requests"] == RECENT_CALLS + 2


def test_more_requests_can_be_added_while_it_runs(client: Client) -> None:
    added = client.control(
        "POST", "requests", {"kind": "fulfillment", "count": 2, "scenario": "missing-email"}
    )
    newest = client.get("requests", "limit=2")
    assert [request["id"] for request in newest] == added["ids"][::-1]
    for kind in ("tier-config", "usage-file", "usage"):
        identifier = client.control("POST", "requests", {"kind": kind})["ids"][0]
        assert client.entry(identifier)["kind"] == kind


def test_a_request_can_be_added_with_a_body(client: Client) -> None:
    product = client.get("products")[1]["id"]
    items = [{"id": "one", "mpn": "M", "quantity": "7", "old_quantity": "0"}]
    body = {"note": "given", "asset": {"product": {"id": product}, "items": items}}
    identifier = client.control("POST", "requests", {"kind": "fulfillment", "body": body})["ids"][0]
    stored = client.get(f"requests/{identifier}")
    assert (stored["note"], stored["asset"]["items"]) == ("given", items)
    assert stored["asset"]["product"]["id"] == product
    tier = client.control("POST", "requests", {"kind": "tier-config", "body": {"notes": "given"}})[
        "ids"
    ][0]
    assert client.get(f"tier/config-requests/{tier}")["notes"] == "given"


def test_the_customer_answers_an_inquiry(client: Client) -> None:
    order = client.with_scenario("missing-email")
    marked = [{"id": "email", "value_error": "which one?"}]
    client.call("PUT", f"requests/{order}", json={"asset": {"params": marked}})
    client.post(f"requests/{order}/inquire")
    client.control("POST", f"requests/{order}/answer", {"params": {"email": "a@b.example"}})
    shown = client.get(f"requests/{order}")
    email = shown["asset"]["params"][0]
    assert (shown["status"], email["value"], email["value_error"]) == ("pending", "a@b.example", "")
    events = client.entry(order)["events"]
    assert [(e["event"], e["params"]) for e in events] == [("answered", {"email": "a@b.example"})]


def test_an_answer_without_an_inquiry_is_refused(client: Client) -> None:
    for scenario in ("purchase", "ready"):
        target = f"{client.root}/sandbox/requests/{client.with_scenario(scenario)}/answer"
        assert client.session.post(target, json={}, timeout=10).status_code == 400


def test_somebody_decides_by_hand(client: Client) -> None:
    order, tier = client.with_scenario("purchase"), client.with_scenario("setup")
    client.control("POST", f"requests/{order}/decide", {"status": "approved"})
    client.control("POST", f"requests/{tier}/decide", {"status": "failed"})
    assert client.get(f"requests/{order}")["status"] == "approved"
    assert client.get(f"tier/config-requests/{tier}")["events"]["failed"]["at"]
    assert client.entry(order)["accepted"] == []


def test_a_reset_forgets_everything(client: Client) -> None:
    before = client.get("requests", "limit=1000")
    order = client.with_scenario("purchase")
    client.post(f"requests/{order}/approve", {"activation_tile": "x"})
    client.control("POST", "faults", {"action": "status", "path": "nowhere"})
    create_tenant(client, "k", request_id=order)
    client.control("POST", "reset")
    assert client.control("GET", "faults") == []
    summary = client.control("GET", "report?summary=1")
    assert (summary["calls"]["total"], summary["vendor"]["effects"]) == (0, 0)
    assert client.get("requests", "limit=1000") == before


def test_inquiries_are_answered_after_a_while_when_asked_for() -> None:
    options = ("--fulfillment", "20", "--tier-config", "1", "--answer-inquiries", "0.05")
    with running_sandbox("--requests", "0", *options) as client:
        order = client.with_scenario("missing-email")
        tier = client.with_scenario("setup")
        client.post(f"requests/{order}/inquire")
        client.post(f"tier/config-requests/{tier}/inquire")
        client.wait_for_status(order, "pending")
        client.wait_for_status(tier, "pending")
        assert "@" in client.get(f"requests/{order}")["asset"]["params"][0]["value"]

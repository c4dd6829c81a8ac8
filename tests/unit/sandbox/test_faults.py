"""The sandbox misbehaves on demand, and its report tells whether the call took effect."""

from typing import Any

import pytest
import requests

from tests.support.sandbox_server import Client

BODY = {"activation_tile": "x"}


@pytest.fixture
def order(client: Client) -> str:
    return client.with_scenario("purchase")


def approve(client: Client, request_id: str, *, timeout: float = 10) -> requests.Response:
    return client.session.post(
        f"{client.root}/public/v1/requests/{request_id}/approve",
        json=BODY,
        headers={"Authorization": f"ApiKey {client.key}", "Idempotency-Key": "k"},
        timeout=timeout,
    )


def fault(client: Client, **rule: Any) -> Any:
    return client.control("POST", "faults", {"method": "POST", "path": "approve", **rule})


def status_of(client: Client, request_id: str) -> Any:
    return client.entry(request_id)["status"]


def test_an_error_status_is_answered_so_many_times(client: Client, order: str) -> None:
    fault(client, action="status", status=503, times=2)
    fault(client, action="status", status=429, retry_after=7)
    answers = [approve(client, order) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [503, 503, 429, 200]
    assert answers[2].headers["Retry-After"] == "7"
    assert [rule["hits"] for rule in client.control("GET", "faults")] == [2, 1]
    entry = client.entry(order)
    assert (len(entry["accepted"]), entry["refused"], entry["calls"]) == (1, [], {"POST": 4})


def test_a_reset_before_has_no_effect(client: Client, order: str) -> None:
    fault(client, action="reset_before")
    with pytest.raises(requests.ConnectionError):
        approve(client, order)
    assert status_of(client, order) == "pending"
    assert approve(client, order).ok


def test_a_reset_after_has_its_effect(client: Client, order: str) -> None:
    fault(client, action="reset_after")
    with pytest.raises(requests.ConnectionError):
        approve(client, order)
    assert status_of(client, order) == "approved"


def test_a_hanging_answer_has_its_effect(client: Client, order: str) -> None:
    fault(client, action="hang")
    with pytest.raises(requests.ReadTimeout):
        approve(client, order, timeout=2)
    assert status_of(client, order) == "approved"


def test_a_late_answer_is_an_answer(client: Client, order: str) -> None:
    fault(client, action="delay", seconds=0.2)
    answer = approve(client, order)
    assert answer.ok
    assert answer.elapsed.total_seconds() >= 0.2


@pytest.mark.parametrize(("commit", "status"), [(False, "pending"), (True, "approved")])
def test_a_web_page_or_half_a_document_is_no_answer(
    client: Client, order: str, commit: bool, status: str
) -> None:
    fault(client, action="html", commit=commit)
    page = approve(client, order)
    assert (page.status_code, page.text[:9]) == (200, "<!doctype")
    assert status_of(client, order) == status
    client.control("POST", f"requests/{order}/decide", {"status": "pending"})
    fault(client, action="broken_json", commit=commit)
    broken = approve(client, order)
    assert broken.status_code == 200
    with pytest.raises(requests.JSONDecodeError):
        broken.json()
    assert status_of(client, order) == status


def test_a_rule_can_be_for_one_request_and_for_ever(client: Client, order: str) -> None:
    other = client.with_scenario("purchase", 1)
    fault(client, action="status", status=500, request_id=order, times=None)
    assert [approve(client, order).status_code for _ in range(3)] == [500] * 3
    assert approve(client, other).ok
    client.control("DELETE", "faults")
    assert approve(client, order).ok


def test_the_vendor_system_fails_too(client: Client) -> None:
    client.control("POST", "faults", {"path": "^/vendor/", "action": "status", "status": 502})
    answer = client.session.post(f"{client.root}/vendor/tenants", json={}, timeout=10)
    assert answer.status_code == 502


@pytest.mark.parametrize(
    "rule",
    [{"action": "explode"}, {"action": "status", "color": 1}, {"action": "hang", "path": "("}],
)
def test_a_rule_that_makes_no_sense_is_refused(client: Client, rule: dict[str, Any]) -> None:
    answer = client.session.post(f"{client.root}/sandbox/faults", json=rule, timeout=10)
    assert answer.status_code == 400

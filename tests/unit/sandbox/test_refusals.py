"""What the sandbox does not allow, and how it says so."""

from typing import Any

import pytest

from tests.support.sandbox_server import Client

from .workbooks import RECORD, workbook


def test_without_a_valid_key_nothing_is_shown(client: Client) -> None:
    for key in ("", "wrong"):
        answer = client.session.get(
            f"{client.root}/public/v1/requests",
            headers={"Authorization": f"ApiKey {key}"} if key else {},
            timeout=10,
        )
        assert (answer.status_code, answer.json()["error_code"]) == (401, "AUTH_001")


def test_what_is_not_there_is_404(client: Client) -> None:
    for path in ("requests/PR-0-0", "tier/config-requests/TCR-0", "usage/files/UF-0", "assets/AS"):
        answer = client.call("GET", path)
        assert (answer.status_code, answer.json()["errors"][0][:6]) == (404, "Object")
    unknown = client.session.get(f"{client.root}/public/v1/nothing/here", timeout=10)
    assert (unknown.status_code, unknown.json()["error_code"]) == (404, "NF_001")
    assert client.session.delete(f"{client.root}/public/v1/requests", timeout=10).status_code == 405


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("approve", {}),
        ("approve", {"template_id": "TL-000-000-000"}),
        ("approve", {"activation_tile": " "}),
        ("fail", {}),
        ("fail", {"reason": ""}),
        ("pend", {}),
    ],
)
def test_an_order_keeps_its_status(client: Client, action: str, body: dict[str, str]) -> None:
    request_id = client.with_scenario("purchase")
    error = client.refused("POST", f"requests/{request_id}/{action}", body)
    assert error["error_code"]
    assert error["errors"]
    assert client.get(f"requests/{request_id}")["status"] == "pending"
    refused = client.entry(request_id)["refused"]
    assert [(post["action"], post["status"]) for post in refused] == [(action, 400)]
    assert refused[0]["error"]["errors"] == error["errors"]


def test_templates_of_other_products_and_scopes_are_refused(client: Client) -> None:
    request_id = client.with_scenario("purchase")
    own = client.get(f"requests/{request_id}")["asset"]["product"]["id"]
    for product in client.get("products"):
        for template in client.get(f"products/{product['id']}/templates"):
            fits = (product["id"], template["scope"], template["type"]) == (
                own,
                "asset",
                "fulfillment",
            )
            if not fits:
                body = {"template_id": template["id"]}
                client.refused("POST", f"requests/{request_id}/approve", body)


@pytest.mark.parametrize("final", ["approved", "failed"])
@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("approve", {"activation_tile": "x"}),
        ("fail", {"reason": "x"}),
        ("inquire", {}),
        ("pend", {}),
    ],
)
def test_a_decided_order_stays_decided(
    client: Client, final: str, action: str, body: dict[str, str]
) -> None:
    request_id = client.with_scenario("purchase")
    client.control("POST", f"requests/{request_id}/decide", {"status": final})
    error = client.refused("POST", f"requests/{request_id}/{action}", body)
    assert error["params"] == {"status": final, "allowed": error["params"]["allowed"]}
    assert client.entry(request_id)["accepted"] == []


@pytest.mark.parametrize(
    ("action", "body", "status"),
    [
        ("approve", {"activation_tile": "x"}, "approved"),
        ("fail", {"reason": "x"}, "failed"),
        ("pend", {}, "pending"),
    ],
)
def test_an_inquired_order_can_still_be_decided(
    client: Client, action: str, body: dict[str, str], status: str
) -> None:
    request_id = client.with_scenario("missing-email")
    client.post(f"requests/{request_id}/inquire")
    client.refused("POST", f"requests/{request_id}/inquire", {})
    assert client.post(f"requests/{request_id}/{action}", body)["status"] == status


def test_parameters_are_checked_and_move_the_time_of_change(client: Client) -> None:
    path = f"requests/{client.with_scenario('purchase')}"
    for params in ([{"id": "color", "value": "red"}], [{"value": "red"}]):
        client.refused("PUT", path, {"asset": {"params": params}})
    before = client.get(path)["updated"]
    marked = [{"id": "email", "value": "", "value_error": "which one?"}]
    for _ in range(2):
        client.call("PUT", path, json={"asset": {"params": marked}})
        after = client.get(path)
        assert after["updated"] > before
        before = after["updated"]
    email = after["asset"]["params"][0]
    assert (email["value"], email["value_error"], email["name"]) == ("", "which one?", "email")
    client.post(f"{path}/approve", {"activation_tile": "x"})
    client.refused("PUT", path, {"asset": {"params": marked}})


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("approve", {}),
        ("approve", {"template": {"id": "TL-497-535-242"}}),
        ("fail", {}),
        ("pend", {}),
    ],
)
def test_a_reseller_keeps_its_status(
    client: Client, action: str, body: dict[str, dict[str, str]]
) -> None:
    request_id = client.with_scenario("setup")
    client.refused("POST", f"tier/config-requests/{request_id}/{action}", body)
    assert client.entry(request_id)["status"] == "pending"


@pytest.mark.parametrize("action", ["accept", "reject", "close"])
def test_a_ready_usage_file_must_be_submitted_first(client: Client, action: str) -> None:
    file_id = client.with_scenario("ready")
    client.refused("POST", f"usage/files/{file_id}/{action}", {"rejection_note": "x"})


def test_a_rejection_needs_a_note(client: Client) -> None:
    path = f"usage/files/{client.with_scenario('ready')}"
    client.post(f"{path}/submit")
    assert "rejection_note" in client.refused("POST", f"{path}/reject", {})["errors"][0]
    upload = client.call("POST", f"{path}/upload", upload=workbook([RECORD]))
    assert upload.status_code == 400


def test_a_usage_file_needs_its_listing(client: Client) -> None:
    listing = client.get("listings")[0]
    good = {
        "name": "x",
        "product": {"id": listing["product"]["id"]},
        "contract": {"id": listing["contract"]["id"]},
    }
    wrongs: list[dict[str, Any]] = [
        {"name": ""},
        {"product": {"id": "PRD-0"}},
        {"contract": {"id": "CRD-0"}},
        {"contract": {}},
    ]
    for wrong in wrongs:
        client.refused("POST", "usage/files", {**good, **wrong})


def test_a_body_must_be_a_json_object(client: Client) -> None:
    path = f"requests/{client.with_scenario('purchase')}/approve"
    for body in (b"{", b"[1]", b'"x"'):
        answer = client.session.post(
            f"{client.root}/public/v1/{path}",
            data=body,
            headers={"Authorization": f"ApiKey {client.key}"},
            timeout=10,
        )
        assert answer.status_code == 400


def test_a_message_needs_a_text(client: Client) -> None:
    conversation = client.get("conversations")[0]["id"]
    client.refused("POST", f"conversations/{conversation}/messages", {"text": " "})


def test_a_broken_http_body_is_answered_in_json_too(client: Client) -> None:
    answer = client.session.post(
        f"{client.root}/public/v1/requests",
        data=b"no parts",
        headers={"Content-Type": "multipart/form-data"},
        timeout=10,
    )
    assert answer.status_code >= 400
    assert set(answer.json()) == {"error_code", "errors", "params"}

"""One walk over every call the project uses; the client checks each against the contract."""

import pytest
import requests

from tests.support.openapi_contract import UNDESCRIBED, described_operations
from tests.support.sandbox_server import PROVIDER_KEY, Client

from .workbooks import RECORD, workbook


def test_fulfillment_calls(client: Client) -> None:
    listed = client.get("requests", "eq(status,pending)&limit=1000")
    assert len(listed) == 72
    request_id = client.with_scenario("purchase")
    shown = client.get(f"requests/{request_id}")
    assert shown in listed
    params = [{"id": "purchase_id", "value": "TEN-1", "value_error": ""}]
    put = client.call("PUT", f"requests/{request_id}", json={"asset": {"params": params}})
    assert put.status_code == 200
    template = client.get(
        f"products/{shown['asset']['product']['id']}/templates", "scope=asset&type=fulfillment"
    )[0]
    approved = client.post(f"requests/{request_id}/approve", {"template_id": template["id"]})
    assert (approved["status"], approved["asset"]["status"]) == ("approved", "active")
    assert client.get(f"requests/{request_id}") == approved


def test_fail_inquire_and_pend(client: Client) -> None:
    failing = client.with_scenario("absurd-quantity")
    assert client.post(f"requests/{failing}/fail", {"reason": "too many"})["reason"] == "too many"
    asked = client.with_scenario("missing-email")
    assert client.post(f"requests/{asked}/inquire", {})["status"] == "inquiring"
    assert client.post(f"requests/{asked}/pend", {})["status"] == "pending"


def test_a_tile_approves_too(client: Client) -> None:
    request_id = client.with_scenario("purchase", 1)
    approved = client.post(f"requests/{request_id}/approve", {"activation_tile": "# Welcome"})
    assert approved["activation_key"] == "# Welcome"


def test_a_provider_creates_requests(client: Client) -> None:
    order = {
        "type": "purchase",
        "asset": {
            "external_id": "order-7",
            "items": [{"id": "SKU-1", "quantity": 3}],
            "params": [{"id": "email", "value": "a@b.example"}],
        },
    }
    assert client.call("POST", "requests", json=order).status_code == 403
    headers = {"Authorization": f"ApiKey {PROVIDER_KEY}"}
    created = client.call("POST", "requests", json=order, headers=headers)
    assert created.status_code == 201
    stored = client.get(f"requests/{created.json()['id']}")
    assert stored["asset"]["external_id"] == "order-7"
    assert stored["asset"]["items"] == order["asset"]["items"]  # type: ignore[index]
    values = {param["id"]: param["value"] for param in stored["asset"]["params"]}
    assert values["email"] == "a@b.example"
    assert "purchase_id" in values


def test_a_draft_is_validated_and_ordered(client: Client) -> None:
    headers = {"Authorization": f"ApiKey {PROVIDER_KEY}"}
    document = {"type": "purchase", "status": "draft"}
    draft = client.call("POST", "requests", json=document, headers=headers).json()
    assert draft["status"] == "draft"
    path = f"requests/{draft['id']}"
    entered = {"asset": {"params": [{"id": "email", "value": "nobody"}]}}
    # Without a webhook of the type, Connect takes whatever was entered, and stores nothing of it.
    shown = client.post(f"{path}/validate", entered)
    assert [p["value"] for p in shown["asset"]["params"] if p["id"] == "email"] == ["nobody"]
    assert client.get(path) == draft
    assert client.post(f"{path}/purchase")["status"] == "pending"
    refused = client.call("POST", f"{path}/validate", json={})
    assert (refused.status_code, refused.json()["error_code"]) == (400, "STATE_001")


def test_assets_and_their_requests(client: Client) -> None:
    assets = client.get("assets", "limit=10&ordering=-created")
    asset = client.get(f"assets/{assets[0]['id']}")
    assert asset == assets[0]
    requests_ = client.get(f"assets/{asset['id']}/requests")
    assert [request["asset"] for request in requests_] == [asset]


def test_tier_config_calls(client: Client) -> None:
    listed = client.get("tier/config-requests", "eq(status,pending)")
    request_id, product = listed[0]["id"], listed[0]["configuration"]["product"]["id"]
    account = listed[0]["configuration"]["account"]["id"]
    filled = {"params": [{"id": "reseller_id", "value": "RS-1"}]}
    assert client.call("PUT", f"tier/config-requests/{request_id}", json=filled).ok
    query = f"status=approved&configuration.product.id={product}&configuration.account.id={account}"
    assert client.get("tier/config-requests", query) == []
    template = client.get(f"products/{product}/templates", "eq(scope,tier1)&eq(type,fulfillment)")
    answer = client.post(
        f"tier/config-requests/{request_id}/approve", {"template": {"id": template[0]["id"]}}
    )
    assert answer["template"]["id"] == template[0]["id"]
    assert request_id in answer["template"]["representation"]
    found = client.get("tier/config-requests", query)
    params = {param["id"]: param["value"] for param in found[0]["configuration"]["params"]}
    assert params["reseller_id"] == "RS-1"
    assert found[0]["events"]["approved"]["at"]
    config_id = found[0]["configuration"]["id"]
    assert client.get(f"tier/configs/{config_id}")["status"] == "active"
    assert client.get("tier/configs", f"account.id={account}&product.id={product}&status=active")


def test_tier_config_inquire_fail_and_text(client: Client) -> None:
    first, second, third = (r["id"] for r in client.get("tier/config-requests", "limit=3"))
    before = client.get(f"tier/config-requests/{first}")["events"]
    assert client.call("POST", f"tier/config-requests/{first}/inquire", json={}).status_code == 204
    assert client.call("POST", f"tier/config-requests/{first}/pend", json={}).status_code == 204
    after = client.get(f"tier/config-requests/{first}")["events"]
    assert after["pended"]["at"] > before["pended"]["at"]
    failure = client.call("POST", f"tier/config-requests/{second}/fail", json={"reason": "no"})
    assert failure.status_code == 204
    tile = {"template": {"representation": "# Ready"}}
    assert client.post(f"tier/config-requests/{third}/approve", tile) == {
        "template": {"id": None, "representation": "# Ready"}
    }


def test_an_inquired_setup_is_validated(client: Client) -> None:
    request_id = client.get("tier/config-requests", "limit=1")[0]["id"]
    path = f"tier/config-requests/{request_id}"
    client.call("POST", f"{path}/inquire", json={})
    shown = client.post(f"{path}/validate", {"params": [{"id": "discount_group", "value": "C"}]})
    assert [p["value"] for p in shown["params"] if p["id"] == "discount_group"] == ["C"]


def test_usage_is_reported_for_a_listing(client: Client) -> None:
    listing = client.get("listings", "eq(status,listed)&limit=1")[0]
    assert client.get(f"listings/{listing['id']}") == listing
    draft = client.post(
        "usage/files",
        {
            "name": "November",
            "description": "",
            "product": {"id": listing["product"]["id"]},
            "contract": {"id": listing["contract"]["id"]},
        },
    )
    assert draft["status"] == "draft"
    path = f"usage/files/{draft['id']}"
    uploaded = client.call("POST", f"{path}/upload", upload=workbook([RECORD]))
    assert uploaded.status_code == 201
    assert uploaded.json()["status"] == "ready"
    assert client.post(f"{path}/submit", {"rejection_note": "x"})["status"] == "pending"
    assert client.post(f"{path}/reject", {"rejection_note": "wrong"})["rejection_note"] == "wrong"
    assert client.call("POST", f"{path}/upload", upload=workbook([RECORD])).ok
    client.post(f"{path}/submit")
    client.post(f"{path}/accept", {"acceptance_note": "fine"})
    assert client.post(f"{path}/close")["status"] == "closed"
    reported = client.entry(listing["id"])["usage_files"]
    assert [(f["id"], f["uploads"], f["records"]) for f in reported] == [(draft["id"], 2, 1)]
    events = client.entry(draft["id"])["events"]
    assert [event["event"] for event in events] == ["created", "uploaded", "uploaded"]


def test_a_usage_file_is_deleted(client: Client) -> None:
    ready = client.get("usage/files", "eq(status,ready)&limit=1")[0]
    assert client.post(f"usage/files/{ready['id']}/delete")["status"] == "deleted"
    assert client.get(f"usage/files/{ready['id']}")["events"]["deleted"]["at"]


def test_the_usage_template_is_a_workbook(client: Client) -> None:
    product = client.get("products")[0]["id"]
    link = client.get(f"usage/products/{product}/template")["template_link"]
    answer = requests.get(link, timeout=10)
    assert (answer.status_code, answer.content[:2]) == (200, b"PK")


def test_products_and_their_parts(client: Client) -> None:
    products = client.get("products", "eq(status,published)")
    assert len(products) == 3
    assert client.get(f"products/{products[0]['id']}") == products[0]
    assert client.get(f"products/{products[0]['id']}/configurations")
    templates = client.get(f"products/{products[0]['id']}/templates")
    assert {template["scope"] for template in templates} == {"asset", "tier1"}


def test_conversations(client: Client) -> None:
    request_id = client.with_scenario("purchase")
    closed, notes, talk = client.get("conversations", f"instance_id={request_id}")
    assert (closed["type"], closed["status"]) == ("conversation", "closed")
    assert (notes["type"], talk["type"]) == ("notes", "conversation")
    client.refused("POST", f"conversations/{closed['id']}/messages", {"text": "Activated."})
    client.post(f"conversations/{notes['id']}/messages", {"text": "For us."})
    path = f"conversations/{talk['id']}"
    message = client.post(f"{path}/messages", {"text": "Activated."})
    assert client.get(path) == talk
    assert client.get(f"{path}/messages") == [message]
    assert client.get(f"{path}/messages", f"gt(created,{message['created']})") == []
    assert [m["text"] for m in client.entry(request_id)["messages"]] == ["Activated."]


@pytest.mark.parametrize("place", [0, 3])
def test_a_template_is_rendered_as_text(client: Client, place: int) -> None:
    product = client.get("products")[0]["id"]
    template = client.get(f"products/{product}/templates")[place]["id"]
    request_id = client.with_scenario("purchase")
    answer = client.call("GET", f"templates/{template}/render", query=f"request_id={request_id}")
    assert request_id in answer.text
    assert answer.headers["Content-Type"].startswith("text/markdown")


def test_every_operation_of_the_contract_is_served(client: Client) -> None:
    for operation in (*described_operations(), *UNDESCRIBED):
        method, path = operation.split(" ")
        unknown = "/".join("X-0" if "{" in part else part for part in path.split("/"))
        response = client.session.request(method, f"{client.root}/public/v1{unknown}", timeout=10)
        # 401 proves the route: an unknown path is 404 and an unknown method 405.
        assert response.status_code == 401, operation

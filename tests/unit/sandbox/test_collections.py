"""Reads of the collections: pages, filters, orderings, and the variety of what they show."""

import functools
import operator
from typing import Any

import pytest

from connect_worker.domain.kinds import KINDS, cycle_of, product_of, status_of
from connect_worker.domain.states import RequestKind
from tests.support.sandbox_server import Client


def ids(documents: list[Any]) -> list[str]:
    return [document["id"] for document in documents]


def test_pages_add_up_to_the_whole(client: Client) -> None:
    whole = client.call("GET", "requests", query="eq(status,pending)&limit=1000")
    assert whole.headers["Content-Range"] == "items 0-71/72"
    pages, offset = [], 0
    while True:
        page = client.call("GET", "requests", query=f"eq(status,pending)&limit=25&offset={offset}")
        pages += page.json()
        if len(page.json()) < 25:
            break
        offset += 25
    assert page.headers["Content-Range"] == "items 50-71/72"
    assert pages == whole.json()


def test_a_page_past_the_end_is_empty_and_says_so(client: Client) -> None:
    answer = client.call("GET", "requests", query="limit=10&offset=500")
    assert (answer.json(), answer.headers["Content-Range"]) == ([], "items 500-500/72")
    assert client.call("GET", "requests", query="limit=0").headers["Content-Range"].endswith("/72")


def test_the_default_page_has_a_hundred(client: Client) -> None:
    client.control("POST", "requests", {"kind": "fulfillment", "count": 40})
    assert len(client.get("requests")) == 100


def test_a_larger_page_than_a_thousand_is_refused(client: Client) -> None:
    assert client.refused("GET", "requests", query="limit=1001")["error_code"]


@pytest.mark.parametrize("kind", [RequestKind.FULFILLMENT, RequestKind.TIER_CONFIG])
def test_a_list_leaves_out_what_a_poll_does_not_need(client: Client, kind: RequestKind) -> None:
    facts = KINDS[kind]
    hidden = [name.split(".") for name in facts.unneeded]
    query = f"select({','.join(f'-{name}' for name in facts.unneeded)})&eq(status,pending)"
    for short, whole in zip(
        client.get(facts.path, query), client.get(facts.path, "eq(status,pending)"), strict=True
    ):
        assert not any(part in _owner(short, path) for *path, part in hidden)
        assert product_of(kind, short) == product_of(kind, whole) != ""
        assert cycle_of(kind, short) == cycle_of(kind, whole)
        assert status_of(short) == "pending"
        assert client.get(f"{facts.path}/{short['id']}") == whole


def _owner(document: Any, path: list[str]) -> Any:
    return functools.reduce(operator.getitem, path, document)


def test_what_a_collection_does_not_have_cannot_be_selected(client: Client) -> None:
    answer = client.session.get(
        f"{client.root}/public/v1/requests?select(-asset.color)",
        headers={"Authorization": f"ApiKey {client.key}"},
        timeout=10,
    )
    assert (answer.status_code, answer.json()["errors"]) == (
        400,
        ["Bad select filter: asset.color."],
    )


@pytest.mark.parametrize("collection", ["requests", "tier/config-requests", "listings", "assets"])
def test_broken_and_unknown_filters_are_refused(client: Client, collection: str) -> None:
    for query in ("eq(status,", "nonsense(status,1)"):
        assert client.refused("GET", collection, query=query)["errors"]
    unknown = client.session.get(
        f"{client.root}/public/v1/{collection}?eq(color,red)",
        headers={"Authorization": f"ApiKey {client.key}"},
        timeout=10,
    )
    assert (unknown.status_code, unknown.json()["error_code"]) == (400, "RQL_001")


def test_products_are_filtered_in_every_dialect(client: Client) -> None:
    first, second, _ = ids(client.get("products"))
    expected = {
        request["id"]
        for request in client.get("requests", "limit=1000")
        if request["asset"]["product"]["id"] in (first, second)
    }
    for query in (
        f"in(asset.product.id,({first},{second}))",
        f"asset__product__id__in={first},{second}",
        f"asset.product.id__in={first},{second}",
        f"or(eq(asset.product.id,{first}),eq(asset.product.id,{second}))",
    ):
        assert set(ids(client.get("requests", f"{query}&limit=1000"))) == expected, query
    assert client.get("requests", f"asset.product.id={first},{second}") == []


def test_newest_come_first_and_orderings_turn_it(client: Client) -> None:
    newest = client.get("requests", "limit=72")
    assert newest == sorted(newest, key=lambda request: request["created"], reverse=True)
    assert client.get("requests", "ordering(created)&limit=72") == newest[::-1]
    by_type = client.get("requests", "ordering(type,-created)&limit=72")
    assert by_type == sorted(newest, key=lambda request: request["type"])


def test_a_changed_status_moves_between_the_filters(client: Client) -> None:
    request_id = client.with_scenario("absurd-quantity")
    client.post(f"requests/{request_id}/fail", {"reason": "no"})
    assert request_id not in ids(client.get("requests", "eq(status,pending)&limit=1000"))
    assert ids(client.get("requests", "eq(status,failed)")) == [request_id]
    client.control("POST", f"requests/{request_id}/decide", {"status": "pending"})
    pending = ids(client.get("requests", "eq(status,pending)&limit=1000"))
    assert pending == ids(client.get("requests", "limit=1000"))


def test_usage_files_in_capitals_are_found_in_lower_case(client: Client) -> None:
    ready = client.get("usage/files", "eq(status,ready)&limit=100")
    assert {document["status"] for document in ready} == {"ready", "READY"}
    invalid = client.get("usage/files", "eq(status,invalid)")
    assert all(document["records"]["invalid"] and document["error_details"] for document in invalid)


def test_the_facts_that_bite_are_in_the_seed(client: Client) -> None:
    requests_ = client.get("requests", "limit=1000")
    assets = [request["asset"] for request in requests_]
    assert {repr(r["assignee"])[:1] for r in requests_} == {"'", "N", "{"}
    assert {type(a["tiers"]["tier2"]) for a in assets} == {dict, type(None)}
    assert {} in [a["tiers"]["tier2"] for a in assets]
    quantities = [item["quantity"] for a in assets for item in a["items"]]
    assert "unlimited" in quantities
    assert {float, str} <= {type(quantity) for quantity in quantities}
    assert {int, str} <= {type(a["external_id"]) for a in assets}
    assert any("loyalty_programme" in request for request in requests_)
    assert any(request["note"] is None for request in requests_)
    assert len({request["id"].count("-") for request in requests_}) == 2
    assert not any("events" in request for request in requests_)


def test_scenarios_are_what_their_names_say(client: Client) -> None:
    scenarios = {
        e["id"]: e["scenario"] for e in client.control("GET", "report")["requests"].values()
    }
    for request in client.get("requests", "limit=1000"):
        scenario = scenarios[request["id"]]
        email = next(p for p in request["asset"]["params"] if p["id"] == p["name"] == "email")
        quantities = [str(item["quantity"]) for item in request["asset"]["items"]]
        numbers = [float(q) for q in quantities if q != "unlimited"]
        assert (email["value"] == "") == (scenario == "missing-email")
        assert (max(numbers) > 100_000) == (scenario == "absurd-quantity")
        is_order = scenario in ("purchase", "missing-email", "absurd-quantity")
        assert request["type"] == ("purchase" if is_order else scenario)
    assert {"purchase", "missing-email", "absurd-quantity", "change", "cancel", "suspend"} <= {
        *scenarios.values()
    }


def test_tier_config_requests_carry_their_events(client: Client) -> None:
    for request in client.get("tier/config-requests"):
        assert request["events"]["pended"]["at"]
        assert request["type"] in ("setup", "update")


def test_each_listing_has_a_contract_of_its_own(client: Client) -> None:
    contracts = [listing["contract"]["id"] for listing in client.get("listings")]
    assert len(contracts) == len(set(contracts)) == 12

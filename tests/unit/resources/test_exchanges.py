"""Every call this project makes is one that Connect's own description of its API allows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from connect_worker import api
from connect_worker.api.client import using_client
from connect_worker.config import Config
from connect_worker.exceptions import (
    AcceptUsageFile,
    CloseUsageFile,
    DeleteUsageFile,
    FailRequest,
    InquireRequest,
    NotFound,
    RejectUsageFile,
    SkipRequest,
    SubmitUsageFile,
)
from connect_worker.models import (
    ActivationTemplateResponse,
    ActivationTileResponse,
    Asset,
    Contract,
    Conversation,
    Fulfillment,
    Item,
    Product,
    TierConfig,
    UsageFile,
    UsageRecord,
)
from connect_worker.resources import (
    Directory,
    FulfillmentAutomation,
    TemplateResource,
    TierConfigAutomation,
    UsageAutomation,
    UsageFileAutomation,
)
from tests.support.sandbox_server import API_KEY, PROVIDER_KEY, Client

from .recording_proxy import Proxy, recording


@pytest.fixture
def proxy(sandbox: Client) -> Iterator[Proxy]:
    """A recording proxy; whatever a test does through it has to conform."""
    with recording(sandbox.root) as proxy:
        yield proxy
        assert proxy.operations
        assert proxy.faults == []


@pytest.fixture
def vendor(proxy: Proxy) -> Iterator[Config]:
    config = Config.local(proxy.url, API_KEY)
    # The sandbox's own links lead past the proxy.
    connect = api.Client(proxy.url, config.api_key, allow_private_hosts=True)
    with using_client(config, connect):
        yield config


def product_and_template(sandbox: Client, scope: str = "asset") -> tuple[str, str]:
    """A product and its template for approvals."""
    product = sandbox.get("products")[0]["id"]
    templates = sandbox.get(f"products/{product}/templates")
    return product, next(
        template["id"]
        for template in templates
        if (template["scope"], template["type"]) == (scope, "fulfillment")
    )


# ---- the loop


def test_fulfillment_requests_in_every_way_they_can_end(
    sandbox: Client, proxy: Proxy, vendor: Config
) -> None:
    product, template = product_and_template(sandbox)

    class Mine(FulfillmentAutomation):
        def process_request(self, request: Fulfillment) -> Any:
            if request.type != "purchase":
                raise SkipRequest
            if any(item.quantity > 100_000 for item in request.asset.items):
                raise FailRequest("Too many")
            email = request.asset.get_param_by_id("email")
            assert email is not None
            if not email.value:
                email.value_error = "Which?"
                raise InquireRequest("Email?", params=[email])
            purchase_id = request.asset.get_param_by_id("purchase_id")
            assert purchase_id is not None
            purchase_id.value = "T-1"
            answer = json.loads(self.update_parameters(request.id, [purchase_id]))
            assert answer["id"] == request.id
            if request.asset.product.id == product:
                return ActivationTemplateResponse(template)
            return ActivationTileResponse("# Welcome")

    Mine(vendor).process()
    status = sandbox.control("GET", "report?summary=1")["totals"]["fulfillment"]
    assert {"approved", "failed", "inquiring", "pending"} == set(status["status"])
    assert status["refused"] == 0
    assert set(proxy.operations) == {
        "GET requests",
        "GET requests/{id}",
        "PUT requests/{id}",
        "POST requests/{id}/approve",
        "POST requests/{id}/fail",
        "POST requests/{id}/inquire",
        "GET conversations",
        "POST conversations/{id}/messages",
    }


def test_tier_config_requests_in_every_way_they_can_end(
    sandbox: Client, proxy: Proxy, vendor: Config
) -> None:
    product, template = product_and_template(sandbox, "tier1")
    turns = iter(range(100))

    class Mine(TierConfigAutomation):
        def process_request(self, request: Any) -> Any:
            self.update_parameters(request.id, request.params[:1])
            match next(turns) % 4:
                case 0 if request.configuration.product.id == product:
                    return ActivationTemplateResponse(template)
                case 1:
                    raise FailRequest("No")
                case 2:
                    param = request.params[0]
                    param.value_error = "Which?"
                    raise InquireRequest("Which?", params=[param])
                case _:
                    return ActivationTileResponse("# Welcome")

    Mine(vendor).process()
    totals = sandbox.control("GET", "report?summary=1")["totals"]["tier-config"]
    assert {"approved", "failed", "inquiring"} == set(totals["status"])
    assert totals["refused"] == 0
    assert set(proxy.operations) == {
        "GET tier/config-requests",
        "GET tier/config-requests/{id}",
        "PUT tier/config-requests/{id}",
        "POST tier/config-requests/{id}/approve",
        "POST tier/config-requests/{id}/fail",
        "POST tier/config-requests/{id}/inquire",
    }


@pytest.mark.parametrize("automation", [FulfillmentAutomation, TierConfigAutomation])
def test_requests_that_their_processor_decides_by_hand(
    sandbox: Client, proxy: Proxy, vendor: Config, automation: Any
) -> None:
    turns, decided = iter(range(100)), {}

    class Mine(automation):  # type: ignore[misc]
        def process_request(self, request: Any) -> None:
            is_tier = automation is TierConfigAutomation
            tile = {"template": {"representation": "Hi"}} if is_tier else {"activation_tile": "Hi"}
            match next(turns) % 3:
                case 0:
                    json.loads(self.approve(request.id, tile))
                    decided[request.id] = "approved"
                case 1:
                    self.inquire(request.id)
                    decided[request.id] = "inquiring"
                case _:
                    self.fail(request.id, "No")
                    decided[request.id] = "failed"

    Mine(vendor).process()
    entries = list(sandbox.control("GET", "report")["requests"].values())
    found = {entry["id"]: entry["status"] for entry in entries if entry["id"] in decided}
    assert found == decided
    assert set(decided.values()) == {"approved", "inquiring", "failed"}
    assert [entry["refused"] for entry in entries if entry["refused"]] == []


def test_usage_files_through_every_action(sandbox: Client, proxy: Proxy, vendor: Config) -> None:
    files = [
        key
        for key, entry in sandbox.control("GET", "report")["requests"].items()
        if entry["kind"] == "usage-file" and entry["status"] == "ready"
    ]
    deleted, rejected = files[:2]

    class Mine(UsageFileAutomation):
        def filters(self, status: Any = ("ready", "pending", "accepted"), **kwargs: Any) -> Any:
            return super().filters(status, **kwargs)

        def process_request(self, request: UsageFile) -> None:
            match request.status.lower():
                case "ready" if request.id == deleted:
                    raise DeleteUsageFile("Not needed")
                case "ready":
                    raise SubmitUsageFile
                case "pending" if request.id == rejected:
                    raise RejectUsageFile("No")
                case "pending":
                    raise AcceptUsageFile("Fine")
                case _:
                    raise CloseUsageFile

    for _ in range(3):
        Mine(vendor).process()
    assert sandbox.entry(deleted)["status"] == "deleted"
    assert sandbox.entry(rejected)["status"] == "rejected"
    assert {sandbox.entry(name)["status"] for name in files[2:]} == {"closed"}
    actions = {"submit", "accept", "reject", "close", "delete"}
    assert {f"POST usage/files/{{id}}/{action}" for action in actions} < set(proxy.operations)


def records(listing: Any, count: int = 3) -> list[UsageRecord]:
    return [
        UsageRecord(
            record_id=f"record {number}",
            item_search_criteria="item.mpn",
            item_search_value=listing["mpn"],
            quantity=number,
            start_time_utc="2026-10-01 00:00:00",
            end_time_utc="2026-11-01 00:00:00",
            asset_search_criteria="parameter.tenant",
            asset_search_value="=tenant",
        )
        for number in range(count)
    ]


class Usage(UsageAutomation):
    """Reports three records per listing."""

    mpn = ""

    def process_request(self, request: Any) -> str:
        file = UsageFile(
            name="Usage",
            product=Product(id=request.product.id),
            contract=Contract(id=request.contract.id),
        )
        submitted = self.submit_usage(file, records({"mpn": self.mpn}))
        return submitted.id


def test_usage_is_reported_with_a_template_at_hand(
    sandbox: Client, proxy: Proxy, vendor: Config
) -> None:
    asset = sandbox.get("assets")[0]
    usage = type("Mine", (Usage,), {"mpn": asset["items"][0]["mpn"]})(vendor)
    listing = usage.list()[0]
    usage.dispatch(listing)
    [file] = sandbox.entry(listing.id)["usage_files"]
    assert (file["status"], file["records_valid"], file["uploads"]) == ("ready", 3, 1)

    # Outside a job: created and uploaded at once.
    assert usage.process_request(usage.list()[1])
    assert usage.get_usage_template(listing.product).startswith(b"PK")
    assert set(proxy.operations) == {
        "GET listings",
        "GET listings/{id}",
        "GET usage/files",
        "GET usage/files/{id}",
        "POST usage/files",
        "POST usage/files/{id}/upload",
        "GET usage/products/{id}/template",
    }


# ---- lookups


def test_the_directory_finds_what_there_is(sandbox: Client, proxy: Proxy, vendor: Config) -> None:
    directory = Directory(vendor)
    assets, products = directory.list_assets(), directory.list_products()
    setups = directory.list_tier_configs()
    assert (
        len(assets) == sandbox.control("GET", "report?summary=1")["totals"]["fulfillment"]["count"]
    )
    assert products
    assert setups

    asset = directory.get_asset(assets[0].id)
    product = directory.get_product(products[0].id)
    setup = directory.get_tier_config(setups[0].id)
    assert asset
    assert asset.id == assets[0].id
    assert product
    assert product.name == products[0].name
    assert setup
    assert setup.account.id == setups[0].account.id
    chosen = directory.list_assets(
        {"product.id": products[0].id, "status__in": "active,processing"}
    )
    assert {item.product.id for item in chosen} == {products[0].id}
    assert {item.id for item in directory.list_assets(f"eq(id,{assets[0].id})")} == {assets[0].id}
    assert directory.list_tier_configs({"product__id": products[0].id})


def test_the_directory_tells_that_there_is_no_such_thing(
    sandbox: Client, proxy: Proxy, vendor: Config
) -> None:
    directory = Directory(vendor)
    for wanted in ("AS-0", "", "../requests", "AS-0/requests", "AS-0?x=1"):
        assert directory.get_asset(wanted) is None
    assert directory.get_product("PRD-0") is None
    assert directory.get_tier_config("TC-0") is None
    proxy.faults.clear()  # paths that Connect does not have are the point here
    assert directory.list_products()


def test_the_directory_looks_at_the_accounts_products_only(
    sandbox: Client, proxy: Proxy, vendor: Config
) -> None:
    first, second, *_ = (product.id for product in Directory(vendor).list_products())
    directory = Directory(Config.local(vendor.api_url, vendor.api_key, [first]))
    assert {asset.product.id for asset in directory.list_assets()} == {first}
    assert {setup.product.id for setup in directory.list_tier_configs()} == {first}
    assert {a.product.id for a in directory.list_assets({"status": "processing"})} == {first}
    assert {a.product.id for a in directory.list_assets({"product.id__in": second})} == {second}
    assert len(directory.list_products()) > 1


def test_templates_are_named_and_rendered(sandbox: Client, proxy: Proxy, vendor: Config) -> None:
    _, template = product_and_template(sandbox)
    request = sandbox.with_scenario("purchase")
    assert TemplateResource(vendor).get(template) == ActivationTemplateResponse(template)
    rendered = TemplateResource(vendor).render(template, request)
    assert rendered.tile
    assert request in rendered.tile


def test_a_template_that_is_not_there_is_reported(sandbox: Client, config: Config) -> None:
    with pytest.raises(NotFound):
        TemplateResource(config).render("TL-0", sandbox.with_scenario("purchase"))


def test_the_models_fetch_what_belongs_to_them(
    sandbox: Client, proxy: Proxy, vendor: Config
) -> None:
    request = next(iter(FulfillmentAutomation(vendor).list()))
    conversation = request.get_conversation(vendor)
    assert isinstance(conversation, Conversation)
    message = conversation.add_message("Hello", vendor)
    assert message.text == "Hello"
    again = request.get_conversation(vendor)
    assert again
    assert [m.text for m in again.messages] == ["Hello"]

    assert request.id in [item.id for item in Asset(id=request.asset.id).get_requests(vendor)]
    product = Product(id=request.asset.product.id)
    assert product.get_templates(vendor)
    configurations = product.get_product_configurations(config=vendor)
    item = configurations[0].parameter.id
    found = product.get_product_configurations({"parameter.id": item}, vendor)
    assert {row.parameter.id for row in found} == {item}


def test_a_tier_config_is_found_once_it_is_approved(
    sandbox: Client, proxy: Proxy, vendor: Config
) -> None:
    class Mine(TierConfigAutomation):
        def process_request(self, request: Any) -> Any:
            return ActivationTileResponse("# Welcome")

    request = Mine(vendor).list()[0]
    account, product = request.configuration.account.id, request.configuration.product.id
    assert TierConfig.get(account, product, vendor) is None
    Mine(vendor).dispatch(request)
    found = TierConfig.get(account, product, vendor)
    assert found
    assert found.account.id == account
    with pytest.deprecated_call(match=r"use TierConfig\.get") as warned:
        same = FulfillmentAutomation(vendor).get_tier_config(account, product)
    assert same
    assert same.id == found.id
    assert warned[0].filename == __file__


def test_a_provider_creates_a_request(sandbox: Client, proxy: Proxy) -> None:
    provider = FulfillmentAutomation(Config.local(proxy.url, PROVIDER_KEY))
    given = provider.list()[0]
    request = Fulfillment.deserialize_json(
        {
            "type": "purchase",
            "asset": {
                "product": {"id": given.asset.product.id},
                "connection": {"id": given.asset.connection.id},
                "external_uid": "an-uid",
                "external_id": "an-id",
                "items": [{"id": item.id, "quantity": 1} for item in given.asset.items],
                "params": [{"id": "email", "value": "ada@example.org"}],
                "tiers": {"customer": {"name": "Ada", "external_uid": "another-uid"}},
            },
            "marketplace": {"id": given.marketplace.id},
        }
    )
    created = provider.create_request(request)
    assert created.id not in (None, given.id)
    assert created.status == "pending"
    assert isinstance(created.asset.items[0], Item)
    assert sandbox.entry(created.id)["status"] == "pending"

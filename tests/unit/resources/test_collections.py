"""The resources of the SDK's releases 18 to 22: which calls they make, and what they return."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connect_worker.config import Config
from connect_worker.exceptions import (
    InvalidDecision,
    NotFound,
    RegistrationError,
    ServerError,
)
from connect_worker.models import (
    AssetRequest,
    BillingRequest,
    Item,
    Marketplace,
    Product,
    RecurringAsset,
    TierAccount,
    TierAccountRequest,
    TierConfig,
    TierConfigRequest,
)
from connect_worker.resources.automation import importing
from connect_worker.resources.directory import (
    ApiClient,
    BaseResource,
    BillingRequestResource,
    Directory,
    MarketplaceResource,
    ProductsResource,
    RecurringAssetResource,
    Subscription,
    TemplateResource,
)
from connect_worker.resources.fulfillment import (
    AssetRequestResource,
    FulfillmentAutomation,
    FulfillmentResource,
)
from connect_worker.resources.runner import LOCAL_RUNNER, NOT_DECIDED
from connect_worker.resources.tier_config import (
    TierAccountRequestAction,
    TierAccountRequestAutomation,
    TierAccountRequestResource,
    TierAccountResource,
    TierConfigRequestResource,
    TierConfigResource,
)
from connect_worker.rql import Query
from tests.support.openapi_contract import is_described
from tests.support.scripted_server import KEY, Call, Reply, Server, error_document, serving

BODY = {"any": "thing"}


def answer(call: Call) -> Reply:
    """A list for a collection, and an object for what else is asked, with its path as id."""
    path = call.path.removeprefix("/public/v1/")
    if call.method == "GET" and call.query:
        return Reply(body=[{"id": path}], headers={"Content-Range": "items 0-0/1"})
    if call.method == "DELETE":
        return Reply(204)
    return Reply(201 if call.method == "POST" else 200, {"id": path})


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(answer) as server:
        yield server


@pytest.fixture
def config(server: Server) -> Config:
    return Config.local(server.url, KEY)


def only_call(server: Server) -> tuple[str, Any]:
    """What was called, and with which document."""
    [call] = server.calls
    path = call.path.removeprefix("/public/v1/").rstrip("/")
    return f"{call.method} {path}", json.loads(call.body) if call.body else None


COLLECTIONS: list[tuple[type[BaseResource[Any]], str, type[Any]]] = [
    (AssetRequestResource, "requests", AssetRequest),
    (BillingRequestResource, "subscriptions/requests", BillingRequest),
    (MarketplaceResource, "marketplaces", Marketplace),
    (ProductsResource, "products", Product),
    (RecurringAssetResource, "subscriptions/assets", RecurringAsset),
    (TierAccountRequestResource, "tier/account-requests", TierAccountRequest),
    (TierAccountResource, "tier/accounts", TierAccount),
    (TierConfigRequestResource, "tier/config-requests", TierConfigRequest),
    (TierConfigResource, "tier/configs", TierConfig),
]


@pytest.mark.parametrize(("resource", "path", "model"), COLLECTIONS)
def test_a_collection_lists_gets_creates_and_changes(
    resource: type[BaseResource[Any]], path: str, model: type[Any], server: Server, config: Config
) -> None:
    calls = resource(config)
    for rows in (calls.search({"status": "x"}), calls.list(), calls.search(calls.filters(id="x"))):
        assert [(type(row), row.id) for row in rows] == [(model, path)]
    assert [call.path for call in server.calls] == [f"/public/v1/{path}"] * 3
    assert ["eq(status,x)" in call.query for call in server.calls] == [True, False, False]
    assert "eq(id,x)" in server.calls[2].query

    for change, expected in (
        (lambda: calls.get("A/1"), ("GET", "A%2F1", b"")),
        (lambda: calls.create(BODY), ("POST", "", json.dumps(BODY).encode())),
        (lambda: calls.update("A-1", BODY), ("PUT", "A-1", json.dumps(BODY).encode())),
    ):
        server.calls.clear()
        found = change()
        [call] = server.calls
        method, name, body = expected
        assert (call.method, json.loads(call.body or b"0")) == (method, json.loads(body or b"0"))
        assert call.path == f"/public/v1/{path}/{name}".rstrip("/")
        assert type(found) is (tuple if method == "PUT" else model)


ACTIONS: list[tuple[Callable[[Config], Any], str, Any, Any]] = [
    (
        lambda config: AssetRequestResource(config).update_param_asset_request("PR-1", BODY, "n"),
        "PUT requests/PR-1",
        {"asset": BODY, "note": "n"},
        200,
    ),
    (
        lambda config: FulfillmentResource(config).update_param_asset_request("PR-1", BODY),
        "PUT requests/PR-1",
        {"asset": BODY},
        200,
    ),
    (
        lambda config: FulfillmentResource(config).create_purchase_request(BODY),
        "POST requests",
        BODY,
        AssetRequest,
    ),
    (
        lambda config: FulfillmentResource(config).create_tier_account_request(BODY),
        "POST tier/account-requests",
        BODY,
        TierAccountRequest,
    ),
    (
        lambda config: FulfillmentResource(config).accept_tier_account_request("TAR-1"),
        "POST tier/account-requests/TAR-1/accept",
        None,
        TierAccountRequest,
    ),
    (
        lambda config: FulfillmentResource(config).ignore_tier_account_request("TAR-1", "twice"),
        "POST tier/account-requests/TAR-1/ignore",
        {"reason": "twice"},
        TierAccountRequest,
    ),
    (
        lambda config: FulfillmentResource(config).search_asset_request({"type": "change"})[0],
        "GET requests",
        None,
        AssetRequest,
    ),
    (
        lambda config: FulfillmentResource(config).get_pending_tier_account_requests()[0],
        "GET tier/account-requests",
        None,
        TierAccountRequest,
    ),
    *(
        (
            lambda config, action=action: getattr(TierConfigRequestResource(config), action)("T-1"),
            f"POST tier/config-requests/T-1/{action}",
            None,
            201,
        )
        for action in ("pend", "inquire", "approve", "assign", "unassign")
    ),
    (
        lambda config: TierConfigRequestResource(config).approve("T-1", "TL-1"),
        "POST tier/config-requests/T-1/approve",
        {"template": {"id": "TL-1"}},
        201,
    ),
    (
        lambda config: TierConfigRequestResource(config).fail("T-1", "no"),
        "POST tier/config-requests/T-1/fail",
        {"reason": "no"},
        201,
    ),
    (
        lambda config: Subscription(config).create_billing_request(BODY),
        "POST subscriptions/requests",
        BODY,
        BillingRequest,
    ),
    *(
        (
            lambda config, of=of: of(config).update_billing_request("BRV-1", BODY),
            "PUT subscriptions/requests/BRV-1/attributes",
            BODY,
            200,
        )
        for of in (Subscription, BillingRequestResource)
    ),
    (
        lambda config: ProductsResource(config).create_parameter("PRD-1", BODY),
        "POST products/PRD-1/parameters",
        BODY,
        201,
    ),
    (
        lambda config: ProductsResource(config).update_parameter("PRD-1", "PM-1", BODY),
        "PUT products/PRD-1/parameters/PM-1",
        BODY,
        200,
    ),
    (
        lambda config: ProductsResource(config).delete_parameter("PRD-1", "PM-1"),
        "DELETE products/PRD-1/parameters/PM-1",
        None,
        204,
    ),
    (
        lambda config: ProductsResource(config).list_parameters("PRD-1")[0],
        "GET products/PRD-1/parameters",
        None,
        dict,
    ),
    (
        lambda config: ProductsResource(config).items("PRD-1").search()[0],
        "GET products/PRD-1/items",
        None,
        Item,
    ),
    (
        lambda config: ProductsResource(config).items("PRD-1").get("PRD-1-0001"),
        "GET products/PRD-1/items/PRD-1-0001",
        None,
        Item,
    ),
    (
        lambda config: TemplateResource(config).list("PRD-1")[0],
        "GET products/PRD-1/templates",
        None,
        dict,
    ),
    (
        lambda config: Directory(config).list_marketplaces({"zone": "EU"})[0],
        "GET marketplaces",
        None,
        Marketplace,
    ),
    (
        lambda config: Directory(config).get_marketplace("MP-1"),
        "GET marketplaces/MP-1",
        None,
        Marketplace,
    ),
    (
        lambda config: Directory(config).search_tier_accounts(Query().equal("name", "x"))[0],
        "GET tier/accounts",
        None,
        TierAccount,
    ),
    (
        lambda config: Directory(config).get_tier_account("TA-1"),
        "GET tier/accounts/TA-1",
        None,
        TierAccount,
    ),
    (lambda config: ApiClient(config, "assets").get("AS-1"), "GET assets/AS-1", None, 200),
    (lambda config: ApiClient(config, "assets?eq(id,x)").get(), "GET assets", None, 200),
    (lambda config: ApiClient(config, "assets").post(json=BODY), "POST assets", BODY, 201),
]


@pytest.mark.parametrize(("act", "call", "body", "result"), ACTIONS)
def test_each_method_makes_its_call(
    act: Callable[[Config], Any], call: str, body: Any, result: Any, server: Server, config: Config
) -> None:
    found = act(config)

    assert only_call(server) == (call, body)
    # `ApiClient` calls what a user names.
    assert is_described(*call.split(" ")) or call == "POST assets"
    if isinstance(result, int):
        assert found[1] == result
    else:
        assert type(found) is result


def test_a_refusal_is_the_sdks_error(config: Config, server: Server) -> None:
    server.play = lambda call: Reply(404, error_document("none"))

    with pytest.raises(NotFound) as caught:
        MarketplaceResource(config).get("MP-1")
    assert isinstance(caught.value, ServerError)
    assert Directory(config).get_marketplace("MP-1") is None
    assert Directory(config).get_tier_account("TA-1") is None


@pytest.mark.parametrize("resource", [MarketplaceResource, FulfillmentAutomation])
def test_of_a_list_as_an_answer_the_first_object_is_returned(
    resource: Any, config: Config, server: Server
) -> None:
    server.play = lambda call: Reply(200, [{"id": "X-1"}, {"id": "X-2"}])

    assert resource(config).get("X-0").id == "X-1"


def test_an_empty_list_as_an_answer_is_returned(config: Config, server: Server) -> None:
    server.play = lambda call: Reply(200, [])

    found: Any = MarketplaceResource(config).get("MP-0")
    assert found == []


def test_a_template_is_rendered_for_two_ids_or_not_at_all(config: Config, server: Server) -> None:
    for template, request in (("", "PR-1"), ("TL-1", "")):
        with pytest.raises(ValueError, match=r"^Invalid ids for render template$"):
            TemplateResource(config).render(template, request)
    assert server.calls == []


def test_a_blank_id_calls_nothing(config: Config, server: Server) -> None:
    for act in (
        lambda: MarketplaceResource(config).get(""),
        lambda: TierConfigRequestResource(config).approve(""),
        lambda: ProductsResource(config).delete_parameter("PRD-1", ""),
        lambda: AssetRequestResource(config).update("", BODY),
    ):
        with pytest.raises(ValueError, match=r"^Invalid ID$"):
            act()
    assert server.calls == []


def test_a_resource_of_the_users_needs_a_path(config: Config, server: Server) -> None:
    class Agreements(BaseResource[Any]):
        resource = "agreements"

    assert Agreements(config).get("AGP-1").id == "agreements/AGP-1"
    assert Agreements(config).config is config
    with pytest.raises(AttributeError, match="BaseResource names no path: set its `resource`"):
        BaseResource(config)


def test_filters_ask_for_each_of_several_values() -> None:
    query = MarketplaceResource(Config.local("https://x.example", KEY)).filters(id=["a", "b"], n=1)
    assert str(query) == "?in(id,(a,b))&eq(n,1)"


def test_a_module_that_is_imported_changes_nothing(config: Config, server: Server) -> None:
    with importing("mine"), pytest.raises(RegistrationError, match="mine changes something"):
        Subscription(config).create_billing_request(BODY)
    assert server.calls == []


# ---- tier account requests


KINDS = ("broken", "undecided", "accept", "skip", "ignore")


class Accounts(TierAccountRequestAutomation):
    def process_request(self, request: TierAccountRequest) -> TierAccountRequestAction:
        if request.type == "broken":
            raise KeyError("oops")
        if request.type == "undecided":
            return None  # type: ignore[return-value]  # that is the point
        reason = "twice" if request.type == TierAccountRequestAction.IGNORE else None
        return TierAccountRequestAction(request.type, reason)


@pytest.fixture
def pending(server: Server) -> Server:
    rows = [{"id": f"TAR-{kind}", "type": kind} for kind in KINDS]
    listed = Reply(body=rows, headers={"Content-Range": "items 0-4/5"})
    server.play = lambda call: listed if call.method == "GET" else Reply(body={"id": "TAR-1"})
    return server


def test_tier_account_requests_are_accepted_ignored_or_left(
    pending: Server,
    config: Config,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(LOCAL_RUNNER, "results", Counter())
    with caplog.at_level(logging.ERROR):
        Accounts(config).process()

    # The summary of a script, and its exit status.
    assert LOCAL_RUNNER.results == {
        NOT_DECIDED: 2,
        "accepted": 1,
        "left pending": 1,
        "ignored": 1,
    }
    listing, *posts = pending.calls
    assert "eq(status,pending)" in listing.query
    assert [(call.method, call.path.rsplit("/", 2)[1:]) for call in posts] == [
        ("POST", ["TAR-accept", "accept"]),
        ("POST", ["TAR-ignore", "ignore"]),
    ]
    assert posts[1].json == {"reason": "twice"}
    assert [(line.getMessage(), line.exc_info and line.exc_info[0]) for line in caplog.records] == [
        ("tier_account_request.failed request=TAR-broken", KeyError),
        ("tier_account_request.failed request=TAR-undecided", InvalidDecision),
    ]


def test_its_filters_can_be_given(pending: Server, config: Config) -> None:
    Accounts(config).process({"product.id": "PRD-1"})
    assert "eq(product.id,PRD-1)" in pending.calls[0].query
    assert "status" not in pending.calls[0].query


def test_it_runs_nothing_while_it_is_imported(pending: Server, config: Config) -> None:
    with importing("mine"):
        Accounts(config).process()
    assert pending.calls == []


def test_one_without_a_processor_says_so(pending: Server, config: Config) -> None:
    with pytest.raises(NotImplementedError, match="TierAccountRequestAutomation has no process_"):
        TierAccountRequestAutomation(config).process()


def test_an_action_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="must be accept, ignore or skip, not 'approve'"):
        TierAccountRequestAction("approve")

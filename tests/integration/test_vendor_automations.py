"""What vendors' automations of 2019 to 2021 do: how they list, are configured, and report usage."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, ClassVar

import pytest

from connect_worker.config import Config
from connect_worker.domain.kinds import product_of
from connect_worker.domain.states import PollProblem, RequestKind, State
from connect_worker.exceptions import InquireRequest, NotFound, SkipRequest
from connect_worker.models import (
    Asset,
    Fulfillment,
    Param,
    Product,
    TierConfig,
    TierConfigRequest,
    UsageFile,
    UsageListing,
)
from connect_worker.resources import (
    Directory,
    FulfillmentAutomation,
    TierConfigAutomation,
    UsageAutomation,
)
from connect_worker.resources.runner import LOCAL_RUNNER, NOT_DECIDED
from connect_worker.rql import Query
from tests.support.engine_harness import SKIP_SECONDS, EngineHarness
from tests.support.sandbox_server import API_KEY, Client
from tests.unit.resources.usage_rows import records as usage_records

from .conftest import Open


@pytest.fixture
def config(sandbox: Client) -> Config:
    return Config.local(f"{sandbox.root}/public/v1", API_KEY)


# ---- lists with filters of the caller, and single requests


class Seen(FulfillmentAutomation):
    """Notes what it is given, and decides nothing."""

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config)
        self.ids: list[str] = []

    def process_request(self, request: Fulfillment) -> None:
        self.ids.append(request.id)


def test_list_takes_filters_instead_of_its_own(sandbox: Client, config: Config) -> None:
    automation = Seen(config)
    pending = {request.id for request in automation.list()}
    cancelled = {request.id for request in automation.list({"type": "cancel"})}
    assert cancelled == {request.id for request in automation.list("eq(type,cancel)")}
    assert cancelled < pending == {request.id for request in automation.list(None)}
    found = automation.list(Query().like("asset.params.value", "*@*").limit(10))
    assert len(found) == 10
    assert automation.list(filters={"id": found[0].id})[0].id == found[0].id


def test_process_takes_filters_instead_of_its_own(config: Config) -> None:
    automation = Seen(config)
    automation.process({"status": "pending", "type": "cancel"})
    assert automation.ids == [request.id for request in automation.list({"type": "cancel"})]
    automation.ids.clear()
    automation.process(Query().equal("status", "pending").limit(3))
    assert len(automation.ids) == 3


def test_process_takes_filters_for_decided_requests(sandbox: Client, config: Config) -> None:
    name = sandbox.with_scenario("purchase")
    sandbox.post(f"requests/{name}/approve", {"template_id": "TL-497-535-242"})
    for filters in ({"status": "approved"}, {"id": name}):
        automation = Seen(config)
        automation.process(filters)
        assert automation.ids == [name]


def test_get_gives_one_request(sandbox: Client, config: Config) -> None:
    name = sandbox.with_scenario("purchase")
    found = Seen(config).get(name)
    assert (type(found), found.id) == (Fulfillment, name)
    with pytest.raises(NotFound):
        Seen(config).get("PR-0000-0000-0000")
    with pytest.raises(ValueError, match=r"Seen\.get needs the id"):
        Seen(config).get("")


def test_a_blank_id_changes_nothing(config: Config) -> None:
    changes: dict[str, Callable[[Seen], str]] = {
        "approve": lambda seen: seen.approve("", {"template_id": "TL-497-535-242"}),
        "inquire": lambda seen: seen.inquire(""),
        "fail": lambda seen: seen.fail("", "No."),
        "update_parameters": lambda seen: seen.update_parameters("", []),
    }
    for name, change in changes.items():
        with pytest.raises(ValueError, match=rf"Seen\.{name} needs the id"):
            change(Seen(config))


def test_a_directorys_lists_have_what_limit_and_offset_ask_for(config: Config) -> None:
    directory = Directory(config)
    everything = directory.list_assets({"order_by": "-created"})
    assert [asset.id for asset in directory.list_assets({"limit": 1, "order_by": "-created"})] == [
        everything[0].id
    ]
    seen: list[str] = []
    while page := directory.list_assets({"limit": 25, "offset": len(seen), "order_by": "-created"}):
        seen += [asset.id for asset in page]
    assert seen == [asset.id for asset in everything]


# ---- an overridden `list`: what it returns is the work


def test_usage_of_listed_assets_is_reported_once_a_period_for_each(
    sandbox: Client, open_for: Open
) -> None:
    reported: list[tuple[str, str]] = []

    def process(self: Any, request: Any) -> str:
        assert isinstance(request, Asset)
        assert request.product.id
        reported.append((request.id, self.reporting_period))
        return "nothing was used"

    opened = open_for(
        process,
        RequestKind.USAGE,
        period="month",
        list=lambda self, filters=None: Directory(self.config).list_assets({"limit": 5}),
    )
    polled = opened.poll()
    assert (polled.seen, polled.new, polled.problem) == (5, 5, PollProblem.NONE)
    opened.poll()
    assert len(opened.messages) == 5
    for ref in opened.messages:
        assert ref.id.startswith("AS-")
        assert opened.handle(ref).text == "nothing submitted"
        assert opened.entry(ref).state is State.COMPLETED
    assert len(set(reported)) == 5
    period = datetime.fromtimestamp(opened.clock(), UTC).strftime("%Y-%m")
    assert {ref.id for ref in opened.messages} == {f"{name}@{period}" for name, _ in reported}


@pytest.mark.parametrize(
    ("own_list", "model"),
    [
        (lambda self: Directory(self.config).list_products({"limit": 1}), Product),
        (lambda self: Directory(self.config).list_tier_configs({"limit": 1}), TierConfig),
        (lambda self: FulfillmentAutomation(self.config).list({"limit": 1}), Fulfillment),
        (lambda self: UsageAutomation.list(self, {"limit": 1}), UsageListing),
    ],
)
def test_usage_is_reported_for_whatever_a_list_returns(
    open_for: Open, own_list: Any, model: type
) -> None:
    """An automation for a product finds it in each of them."""
    seen: list[type] = []

    def process(self: Any, request: Any) -> str:
        seen.append(type(request))
        return "nothing was used"

    opened = open_for(process, RequestKind.USAGE, list=own_list)
    assert opened.poll().new == 1
    [ref] = opened.messages
    assert opened.handle(ref).text == "nothing submitted"
    assert seen == [model]
    assert product_of(RequestKind.USAGE, opened.engine.fetch(ref)).startswith("PRD-")


def test_requests_that_a_list_returns_are_processed_in_any_status(open_for: Open) -> None:
    """A list of its own may ask for requests whose status `filters` does not name."""
    seen: list[str] = []

    def process(self: Any, request: Any) -> None:
        seen.append(request.id)

    def inquired(self: Any, filters: Any) -> list[Any]:
        return FulfillmentAutomation.list(self, {"status": "inquiring"})

    opened = open_for(process, list=inquired)
    name = opened.sandbox.with_scenario("purchase")
    other = opened.sandbox.with_scenario("purchase", 1)
    for request_id in (name, other):
        opened.sandbox.post(f"requests/{request_id}/inquire")
    assert opened.poll().new == 2
    ref = next(ref for ref in opened.messages if ref.id == name)
    gone = next(ref for ref in opened.messages if ref.id == other)
    assert opened.handle(ref).text == "left pending"
    # Another user decides a request that waits for a worker: its processor does not run.
    opened.sandbox.post(f"requests/{other}/fail", {"reason": "No"})
    assert opened.handle(gone).text == "nothing to do: Connect shows failed"
    assert seen == [name]


def documents(*ids: Any) -> Callable[..., list[Any]]:
    return lambda self: [{"id": name, "status": "active"} for name in ids]


def assets_without_an_id(self: Any) -> list[Any]:
    return [Asset(status="active")]


@pytest.mark.parametrize(
    ("kind", "own_list", "why"),
    [
        (RequestKind.FULFILLMENT, documents("AS-1"), "'AS-1', which no fulfillment request has"),
        (RequestKind.USAGE_FILE, documents("LST-1"), "'LST-1', which no usage-file request has"),
        (
            RequestKind.USAGE,
            documents("TL-1"),
            "'TL-1', which no usage request has; those of usage begin with LST, AS, CRD, PR,",
        ),
        (RequestKind.USAGE, documents(5), "a row whose id is a int, not a text"),
        (RequestKind.USAGE, lambda self: ["AS-1"], "a row without an id, number 1 of the list"),
        (RequestKind.USAGE, assets_without_an_id, "a row without an id, number 1 of the list"),
    ],
)
def test_a_row_that_can_not_be_processed_is_named(
    open_for: Open, kind: RequestKind, own_list: Any, why: str
) -> None:
    polled = open_for(lambda self, request: None, kind, list=own_list).poll()
    assert (polled.seen, polled.problem) == (0, PollProblem.ROWS_REJECTED)
    assert "Mine.list returned" in polled.detail
    assert why in polled.detail


def test_a_script_counts_the_rows_that_it_can_not_process(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    before = LOCAL_RUNNER.results[NOT_DECIDED]
    mine = type("Mine", (Seen,), {"list": documents("AS-1", "AS-2")})
    mine(config).process()
    assert LOCAL_RUNNER.results[NOT_DECIDED] == before + 2
    assert "Mine.list returned a row with the id 'AS-2'" in caplog.text


def test_a_row_without_a_product_is_named_where_an_automation_is_for_products(
    open_for: Open,
) -> None:
    polled = open_for(
        lambda self, request: None,
        RequestKind.USAGE,
        products=["PRD-1"],
        list=documents("CRD-1"),
    ).poll()
    assert "Mine.list returned CRD-1, which names no product" in polled.detail
    assert "is for PRD-1: remove its `products`" in polled.detail


@pytest.mark.parametrize("listed", [None, 5])
def test_a_list_that_is_no_list_is_an_error_of_the_poll(open_for: Open, listed: Any) -> None:
    polled = open_for(lambda self, request: None, list=lambda self, filters: listed).poll()
    assert polled.problem is PollProblem.LIST_REJECTED
    assert f"Mine.list can't be loaded: it returned a {type(listed).__name__}" in polled.detail


def test_a_parked_report_of_an_asset_stays_parked(open_for: Open) -> None:
    def process(self: Any, request: Any) -> None:
        raise NotImplementedError

    assets: list[Any] = []
    opened = open_for(process, RequestKind.USAGE, list=lambda self: assets)
    assets += Directory(Config.local(f"{opened.sandbox.root}/public/v1", API_KEY)).list_assets()
    assets[1:] = []
    opened.poll()
    [ref] = opened.messages
    opened.handle(ref)
    assets.clear()
    opened.poll()
    assert opened.entry(ref).state is State.PARKED


def test_a_script_reports_usage_of_assets_in_one_process(config: Config) -> None:
    seen: list[str] = []

    class Reports(UsageAutomation):
        products: ClassVar[list[str]] = [Directory(config).list_products()[0].id]

        def list(self, filters: Any) -> Any:  # type: ignore[override]  # as with the SDK
            yield from Directory(config).list_assets({"limit": 3})

        def process_request(self, request: UsageListing) -> None:
            seen.append(request.id)

    Reports(config).process()
    of_product = Directory(config).list_assets({"limit": 3})
    assert seen == [asset.id for asset in of_product if asset.product.id == Reports.products[0]]


# ---- usage reports that submit nothing, usage files that are skipped


def listing(opened: EngineHarness) -> Any:
    """Poll, and return the first listing's report."""
    opened.poll()
    ref = opened.messages.popleft()
    opened.messages.clear()
    return ref


def submit(self: Any, request: Any) -> None:
    file = UsageFile(
        name="Report", product=Product(id=request.product.id), contract=request.contract
    )
    self.submit_usage(file, usage_records(1))


def test_a_period_is_not_used_up_by_a_processor_that_submits_nothing(open_for: Open) -> None:
    runs: list[str] = []

    def process(self: Any, request: Any) -> None:
        runs.append(self.reporting_period)
        if len(runs) == 2:
            submit(self, request)

    opened = open_for(process, RequestKind.USAGE, period="month")
    ref = listing(opened)
    assert opened.handle(ref).text == "nothing submitted"
    record = opened.entry(ref)
    assert (record.state, record.error) == (State.SNOOZED, "nothing submitted")
    assert opened.later(ref, SKIP_SECONDS + 1).text == "reported"
    assert opened.entry(ref).outcome == "reported"
    assert runs[0] == runs[1]


def test_a_period_that_is_over_ends_with_nothing_submitted(open_for: Open) -> None:
    opened = open_for(lambda self, request: None, RequestKind.USAGE)
    ref = listing(opened)
    opened.handle(ref)
    assert opened.later(ref, 86_400).text == "nothing submitted"
    assert opened.entry(ref).state is State.COMPLETED
    assert opened.entry(ref).outcome == "nothing submitted"


@pytest.mark.parametrize(("returned", "is_file"), [("no usage", False), ("sent", True)])
def test_a_text_of_the_processor_uses_the_period_up(
    open_for: Open, returned: str, is_file: bool
) -> None:
    def process(self: Any, request: Any) -> str:
        if is_file:
            submit(self, request)
        return returned

    opened = open_for(process, RequestKind.USAGE)
    ref = listing(opened)
    expected = "reported" if is_file else "nothing submitted"
    assert opened.handle(ref).text == expected
    assert (opened.entry(ref).state, opened.entry(ref).outcome) == (State.COMPLETED, expected)


def test_a_dispatch_of_the_subclass_uses_the_period_up_if_it_submits(open_for: Open) -> None:
    opened = open_for(
        submit, RequestKind.USAGE, dispatch=lambda self, request: self.process_request(request)
    )
    assert opened.handle(listing(opened)).text == "reported"


@pytest.mark.parametrize(
    ("kind", "scenario"), [(RequestKind.USAGE_FILE, "ready"), (RequestKind.TIER_CONFIG, "setup")]
)
def test_the_message_of_a_skip_is_in_the_log_and_in_the_record(
    open_for: Open, kind: RequestKind, scenario: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "connect_worker")

    def process(self: Any, request: Any) -> None:
        raise SkipRequest("Non controlled\nstatus")

    opened = open_for(process, kind)
    ref = opened.only(opened.sandbox.with_scenario(scenario))
    assert opened.handle(ref).text == "skipped: Non controlled status"
    # `show` and the console print the record's error.
    assert opened.entry(ref).error == "skipped: Non controlled status"
    assert "why='skipped: Non controlled status'" in caplog.text


# ---- filters and parameters

#: The filters that the seed documents for each kind.
SEED_FILTERS = {
    FulfillmentAutomation: """
        status created id type asset.id asset_id asset.product.id product_id asset.product.name
        asset.hub.id asset.connection.hub.name asset.connection.provider.id
        asset.connection.provider.name asset.connection.vendor.name asset.tiers.customer.id
        asset.tiers.tier1.id asset.tiers.tier2.id asset.connection.type""",
    TierConfigAutomation: """
        type status id configuration__id configuration__tier_level configuration__account__id
        configuration__product__id assignee__id unassigned configuration__account__external_uid""",
}


@pytest.mark.parametrize("kind", SEED_FILTERS)
def test_the_sandbox_knows_each_filter_of_the_seed(config: Config, kind: Any) -> None:
    for name in SEED_FILTERS[kind].split():
        assert kind(config).list({name: "no such value"}) == []


def test_requests_of_resellers_are_found_by_unassigned(sandbox: Client, config: Config) -> None:
    for assignee in (None, {"id": "UR-1"}):
        request = {"kind": "tier-config", "body": {"assignee": assignee}}
        sandbox.control("POST", "requests", request)
    automation = TierConfigAutomation(config)
    everything = {request.id for request in automation.list({"status": "pending"})}
    free = automation.list(automation.filters(unassigned=True))
    taken = automation.list(Query({"status": "pending"}).equal("unassigned", False))
    assert {request.id for request in free} | {request.id for request in taken} == everything
    assert [request.assignee for request in free if request.assignee] == []
    assert all(request.assignee for request in taken)
    assert free
    assert taken


@pytest.mark.parametrize(
    ("kind", "scenario"),
    [(RequestKind.FULFILLMENT, "purchase"), (RequestKind.TIER_CONFIG, "setup")],
)
@pytest.mark.parametrize("is_inquiry", [False, True])
def test_parameters_are_dicts_or_models_with_any_value(
    open_for: Open, kind: RequestKind, scenario: str, is_inquiry: bool
) -> None:
    def process(self: Any, request: Any) -> None:
        names = [param.id for param in given]
        values: list[Any] = ["1", 5, 2.5, date(2026, 10, 1), datetime(2026, 10, 1, 12, tzinfo=UTC)]
        for value in values:
            expected.append(value.isoformat() if isinstance(value, date) else value)
            params: list[Any] = [{"id": names[0], "value": value}, Param(id=names[1], value=value)]
            if is_inquiry:
                raise InquireRequest("Why?", params=params)
            self.update_parameters(request.id, params)

    expected: list[Any] = []
    opened = open_for(process, kind)
    ref = opened.only(opened.sandbox.with_scenario(scenario))
    document = opened.engine.fetch(ref)
    given = (
        TierConfigRequest.deserialize_json(document).params
        or Fulfillment.deserialize_json(document).asset.params
    )
    opened.handle(ref)
    puts = opened.seen(ref)["params"]
    assert [[sent["value"] for sent in put.values()] for put in puts] == [[v, v] for v in expected]
    assert len(puts) == (1 if is_inquiry else 5)


def test_what_is_no_parameter_is_named(config: Config) -> None:
    with pytest.raises(TypeError, match=r"a parameter is a Param, or a dict .* not a str"):
        FulfillmentAutomation(config).update_parameters("PR-1", ["x"])  # type: ignore[list-item]

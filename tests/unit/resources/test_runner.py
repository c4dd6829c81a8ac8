"""The single-process loop over the sandbox: the 2019 way of running an automation."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest

from connect_worker.config import Config
from connect_worker.domain.states import RequestKey, RequestKind, idempotency_key
from connect_worker.exceptions import (
    ConnectionFailed,
    FailRequest,
    RateLimited,
    SettingsError,
    SkipRequest,
    SubmitUsageFile,
)
from connect_worker.models import ActivationTileResponse, Fulfillment
from connect_worker.observability.logging import ContextFilter
from connect_worker.resources import (
    FulfillmentAutomation,
    TierConfigAutomation,
    UsageAutomation,
    UsageFileAutomation,
)
from connect_worker.resources.automation import Automation
from connect_worker.settings.model import account_name
from tests.support.sandbox_server import Client
from tests.support.scripted_server import KEY, Reply, serving

Make = Callable[..., Automation[Any]]


def approve(self: Any, request: Any) -> Any:
    return ActivationTileResponse("# Welcome")


@pytest.fixture
def make(config: Config) -> Make:
    """Make an automation whose `process_request` is the function."""

    def automation(
        process: Callable[[Any, Any], Any] = approve,
        kind: type[Automation[Any]] = FulfillmentAutomation,
        **attributes: Any,
    ) -> Automation[Any]:
        mine: type[Automation[Any]] = type(
            "Mine", (kind,), {"process_request": process, **attributes}
        )
        return mine(config)

    return automation


def statuses(sandbox: Client, kind: str = "fulfillment") -> dict[str, int]:
    found: dict[str, int] = sandbox.control("GET", "report?summary=1")["totals"][kind]["status"]
    return found


def pending(sandbox: Client) -> list[str]:
    report = sandbox.control("GET", "report")["requests"]
    return [
        key
        for key, entry in report.items()
        if entry["kind"] == "fulfillment" and entry["status"] == "pending"
    ]


def fault(sandbox: Client, action: str, **rule: Any) -> None:
    sandbox.control("POST", "faults", {"action": action, **rule})


# ---- all of it


def test_every_waiting_request_is_processed_and_its_outcome_posted(
    make: Make, sandbox: Client
) -> None:
    count = len(pending(sandbox))
    assert count > 20
    make().process()
    assert statuses(sandbox) == {"approved": count}


def test_all_pages_are_read(make: Make, sandbox: Client) -> None:
    sandbox.control("POST", "requests", {"kind": "fulfillment", "count": 30})
    count = len(pending(sandbox))

    def filters(self: Any) -> dict[str, Any]:
        return {"status": "pending", "limit": 7}

    make(filters=filters).process()
    assert statuses(sandbox) == {"approved": count}


@pytest.mark.parametrize(
    ("kind", "process", "name", "status"),
    [
        (TierConfigAutomation, approve, "tier-config", "approved"),
        (UsageAutomation, lambda self, request: "nothing was used", "usage", "listed"),
    ],
)
def test_other_kinds_go_the_same_way(
    make: Make, sandbox: Client, kind: Any, process: Any, name: str, status: str
) -> None:
    make(process, kind).process()
    assert set(statuses(sandbox, name)) == {status}


def test_usage_files_are_acted_on(make: Make, sandbox: Client) -> None:
    def submit(self: Any, request: Any) -> None:
        raise SubmitUsageFile("Please")

    before = statuses(sandbox, "usage-file")
    make(submit, UsageFileAutomation).process()
    assert statuses(sandbox, "usage-file").get("pending") == before["ready"]


def test_only_the_accounts_products_are_looked_after(sandbox: Client, config: Config) -> None:
    report = sandbox.control("GET", "report")["requests"]
    product = report[pending(sandbox)[0]]["product"]
    account = Config.local(config.api_url, config.api_key, [product])
    # Filters of one's own name no product, and still the others are left alone.
    mine = {"process_request": approve, "filters": lambda self: {"status": "pending"}}
    type("Mine", (FulfillmentAutomation,), mine)(account).process()
    for entry in sandbox.control("GET", "report")["requests"].values():
        if entry["kind"] == "fulfillment":
            assert (entry["status"] == "approved") == (entry["product"] == product)


def test_the_second_run_finds_nothing_to_do(make: Make, sandbox: Client) -> None:
    seen: list[str] = []

    def process(self: Any, request: Any) -> Any:
        seen.append(request.id)
        return approve(self, request)

    for _ in range(2):
        make(process).process()
    assert len(seen) == len(set(seen))


# ---- errors


def test_an_error_is_confined_to_its_request(
    make: Make, sandbox: Client, caplog: pytest.LogCaptureFixture
) -> None:
    first, *others = pending(sandbox)

    def process(self: Any, request: Any) -> Any:
        if request.id == first:
            raise OSError("the vendor is away")
        return approve(self, request)

    make(process).process()
    assert pending(sandbox) == [first]
    assert sandbox.entry(first)["refused"] == []
    assert statuses(sandbox)["approved"] == len(others)
    assert "the vendor is away" in caplog.text


def test_what_failed_is_processed_by_the_next_run_with_the_same_key(
    make: Make, sandbox: Client, config: Config
) -> None:
    keys: list[str] = []

    def process(self: Any, request: Any) -> Any:
        if request.id != first:
            return None
        keys.append(self.idempotency_key)
        if len(keys) == 1:
            raise OSError("the vendor is away")
        return approve(self, request)

    first = pending(sandbox)[0]
    make(process).process()
    make(process).process()
    assert sandbox.entry(first)["status"] == "approved"
    expected = idempotency_key(
        account_name(config), RequestKey(RequestKind.FULFILLMENT, first), "1"
    )
    assert keys == [expected, expected]


def test_a_missing_method_is_reported_to_the_caller(sandbox: Client, config: Config) -> None:
    class Mine(FulfillmentAutomation):
        pass

    with pytest.raises(NotImplementedError, match="Mine has no process_request"):
        Mine(config).process()
    with pytest.raises(NotImplementedError):
        Mine(config).dispatch(Mine(config).list()[0])
    assert set(statuses(sandbox)) == {"pending"}


def test_a_method_that_is_not_finished_is_reported_to_the_caller(
    make: Make, sandbox: Client
) -> None:
    error = NotImplementedError("changes come later")

    def process(self: Any, request: Any) -> Any:
        raise error

    with pytest.raises(NotImplementedError) as raised:
        make(process).process()
    assert raised.value is error


def test_one_refused_decision_does_not_stop_the_others(make: Make, sandbox: Client) -> None:
    first, *others = pending(sandbox)
    fault(sandbox, "status", status=400, method="POST", path=f"{first}/approve")
    make().process()
    assert pending(sandbox) == [first]
    assert statuses(sandbox)["approved"] == len(others)


# ---- pauses


@pytest.mark.parametrize(
    "where",
    [
        {"method": "GET", "path": "/requests$"},
        {"method": "GET", "path": "/requests/PR"},
        {"method": "POST", "path": "approve"},
        {"method": "GET", "path": "conversations"},
    ],
)
def test_a_429_is_waited_for_and_nothing_is_left_out(
    make: Make, sandbox: Client, where: dict[str, str]
) -> None:
    runs: list[str] = []

    def process(self: Any, request: Any) -> Any:
        runs.append(request.id)
        return approve(self, request)

    count = len(pending(sandbox))
    fault(sandbox, "status", status=429, retry_after=0.2, **where)
    make(process).process()
    assert statuses(sandbox) == {"approved": count}
    assert len(runs) == count, "a decision that could not be posted is not made again"


def test_a_429_inside_the_processor_is_waited_for(make: Make, sandbox: Client) -> None:
    def process(self: Any, request: Any) -> Any:
        self.update_parameters(request.id, request.asset.params)
        return approve(self, request)

    fault(sandbox, "status", status=429, retry_after=0.2, method="PUT")
    make(process).process()
    assert pending(sandbox) == []


def test_a_429_after_other_failures_is_waited_for_too(make: Make, sandbox: Client) -> None:
    first, *others = pending(sandbox)
    fault(sandbox, "status", status=503, method="GET", path=f"/requests/{first}", times=None)
    fault(sandbox, "status", status=429, retry_after=0.2, method="GET", path=f"/{others[0]}")
    make().process()
    assert pending(sandbox) == [first]


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_midway_ends_the_run(
    make: Make, sandbox: Client, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    count = len(pending(sandbox))
    fault(sandbox, "status", status=status, method="GET", path="/requests/PR", times=None)
    begun = time.monotonic()
    make().process()
    assert time.monotonic() - begun < 15
    assert len(pending(sandbox)) == count
    assert f"requests_left={count - 1}" in caplog.text
    assert f"({status})" in caplog.text


def test_a_key_that_is_refused_at_once_is_reported_to_the_caller(sandbox: Client) -> None:
    wrong = Config.local(f"{sandbox.root}/public/v1", "SU-9:wrong")
    mine = type("Mine", (FulfillmentAutomation,), {"process_request": approve})(wrong)
    with pytest.raises(Exception, match="401"):
        mine.process()


def test_the_loop_leaves_no_thread_behind(make: Make, sandbox: Client) -> None:
    automation = make()
    before = threading.active_count()
    for request in automation.list()[:3]:
        automation.dispatch(request)
    automation.process()
    assert threading.active_count() == before


# ---- by hand


def test_a_request_is_dispatched_by_hand_decision_and_posts_included(
    make: Make, sandbox: Client
) -> None:
    automation = make()
    requests = automation.list()
    assert all(isinstance(request, Fulfillment) for request in requests)
    assert automation.dispatch(requests[0]) == "approved"
    assert sandbox.entry(requests[0].id)["status"] == "approved"
    assert len(pending(sandbox)) == len(requests) - 1


@pytest.mark.parametrize(
    ("error", "ended"),
    [(FailRequest("No"), "failed"), (SkipRequest("Later"), "skip"), (SkipRequest(), "skip")],
)
def test_a_dispatch_by_hand_says_how_it_ended(make: Make, error: Exception, ended: str) -> None:
    def process(self: Any, request: Any) -> Any:
        raise error

    automation = make(process)
    assert automation.dispatch(automation.list()[0]) == ended


def test_a_dispatch_by_hand_of_what_is_decided_does_nothing(make: Make, sandbox: Client) -> None:
    automation = make()
    request = automation.list()[0]
    sandbox.control("POST", f"requests/{request.id}/decide", {"status": "failed"})
    assert automation.dispatch(request) == "nothing to do: Connect shows failed"


def test_a_dispatch_by_hand_of_another_product_leaves_it_alone(
    sandbox: Client, config: Config
) -> None:
    account = Config.local(config.api_url, config.api_key, ["PRD-NONE"])
    mine = type("Mine", (FulfillmentAutomation,), {"process_request": approve})
    request = mine(config).list()[0]
    assert mine(account).dispatch(request) == "Invalid product"
    assert sandbox.entry(request.id)["status"] == "pending"


def test_a_listing_by_hand_has_a_key_for_each_period(make: Make) -> None:
    keys: list[str] = []

    def process(self: Any, request: Any) -> None:
        keys.append(self.idempotency_key)

    for period in ("2026-10", "2026-10", "2026-11"):
        automation = make(process, UsageAutomation, period_name=lambda self, now, p=period: p)
        automation.dispatch(automation.list()[0])
    assert keys[0] == keys[1] != keys[2]


def test_a_listing_is_reported_for_the_period_of_its_cycle(make: Make) -> None:
    seen: list[str] = []

    def process(self: Any, request: Any) -> None:
        seen.append(self.reporting_period)

    automation: Any = make(process, UsageAutomation, period_name=lambda self, now: "2026-10")
    automation.dispatch(automation.list()[0])
    assert seen == [automation.reporting_period] == ["2026-10"]


def test_an_overridden_dispatch_is_used(make: Make, sandbox: Client) -> None:
    seen: list[str] = []

    def dispatch(self: Any, request: Any) -> str:
        seen.append(request.id)
        return str(FulfillmentAutomation.dispatch(self, request))

    count = len(pending(sandbox))
    make(dispatch=dispatch).process()
    assert len(seen) == count
    assert pending(sandbox) == []


# ---- the settings


def test_it_has_the_settings_of_calls_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECT_TIMEOUT_SECONDS", "0.05")
    # None of a call's, and not read.
    monkeypatch.setenv("CONNECT_MAX_ATTEMPTS", "many")
    with serving(Reply(action="hang")) as server:
        automation = FulfillmentAutomation(Config.local(server.url, KEY))
        began = time.monotonic()
        with pytest.raises(ConnectionFailed, match=r"not within 0\.5 s, see CONNECT_TIMEOUT_SEC"):
            automation.process()
        with pytest.raises(ConnectionFailed, match=r"not within 0\.05 s"):
            automation.client.get("requests/PR-1")
    assert time.monotonic() - began < 10


def test_a_malformed_setting_of_calls_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CONNECT_TIMEOUT_SECONDS", "long")
    with serving(Reply(body=[])) as server, pytest.raises(SettingsError, match="CONNECT_TIMEOUT_S"):
        FulfillmentAutomation(Config.local(server.url, KEY)).process()


# ---- a vendor's test with doubles


def test_a_double_of_requests_sees_what_is_listed_and_what_is_decided(config: Config) -> None:
    class Mine(FulfillmentAutomation):
        def process_request(self, request: Fulfillment) -> ActivationTileResponse:
            return ActivationTileResponse(f"# Welcome, {request.id}")

    row = {"id": "PR-1", "type": "purchase", "status": "pending", "asset": {"id": "AS-1"}}
    # One answer for each GET, and no headers: what the SDK's own tests return.
    listed = SimpleNamespace(ok=True, text=json.dumps([row]), status_code=200)
    posted = SimpleNamespace(ok=True, text="{}", status_code=200)
    with (
        patch("requests.get", return_value=listed),
        patch("requests.post", return_value=posted) as post,
    ):
        Mine(config).process()
    approval = post.call_args_list[0].kwargs
    assert approval["url"] == f"{config.api_url}requests/PR-1/approve"
    assert approval["json"] == {"activation_tile": "# Welcome, PR-1"}


# ---- the log


def test_a_line_of_the_processor_carries_the_facts_of_its_job(
    make: Make, sandbox: Client, caplog: pytest.LogCaptureFixture
) -> None:
    def process(self: Any, request: Any) -> Any:
        self.logger.warning("looking at %s", request.id)
        return approve(self, request)

    caplog.handler.addFilter(ContextFilter())
    make(process).process()
    lines = [r for r in caplog.records if r.getMessage().startswith("looking at")]
    assert len(lines) == statuses(sandbox)["approved"]
    for line in lines:
        facts = line.__dict__["facts"]
        assert line.getMessage() == f"looking at {facts['request']}"
        assert facts["product"] == sandbox.entry(facts["request"])["product"]
        assert (facts["cycle"], facts["attempt"]) == ("1", 1)


def test_a_429_that_names_no_time_is_the_clients_error_by_hand(make: Make, sandbox: Client) -> None:
    # Calls outside a job are the caller's own to repeat.
    fault(sandbox, "status", status=429, method="GET", path="/requests$")
    with pytest.raises(RateLimited):
        make().list()

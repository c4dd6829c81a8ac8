"""What people who come from the 2019 SDK rely on, where no other test is about it."""

from __future__ import annotations

import logging
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from connect_worker.config import Config
from connect_worker.domain.api_calls import build_api_calls
from connect_worker.domain.kinds import KINDS
from connect_worker.domain.outcomes import Fail, FileAction, Outcome
from connect_worker.domain.states import RequestKey, RequestKind, State
from connect_worker.exceptions import SkipRequest
from connect_worker.logger import LogEvent, logger
from connect_worker.models import ActivationTileResponse
from connect_worker.rql import Query
from tests.support.engine_harness import SKIP_SECONDS, automation
from tests.support.sandbox_server import API_KEY, Client

from .conftest import Open

DAY = 86_400


def approve(self: Any, request: Any) -> Any:
    return ActivationTileResponse("# Welcome")


# ---- what is polled


@pytest.mark.parametrize(
    "filters",
    [
        lambda self: Query({"status": "pending"}).equal("type", "cancel"),
        lambda self: "eq(status,pending)&eq(type,cancel)",
        lambda self: {"status": "pending", "type": "cancel"},
        lambda self: {"status__in": "pending", "type__in": ["cancel"]},
        lambda self: {"status.in": ["pending"], "type": "cancel", "asset__id__ne": "AS-1"},
    ],
)
def test_a_subclasss_filters_decide_what_is_polled(open_for: Open, filters: Any) -> None:
    opened = open_for(approve, filters=filters)
    report = opened.sandbox.control("GET", "report")["requests"]
    cancelled = {key for key, entry in report.items() if entry["scenario"] == "cancel"}
    opened.poll()
    assert {ref.id for ref in opened.messages} == cancelled != set()


# ---- what is logged


def test_a_logger_of_the_subclass_is_used(open_for: Open, caplog: pytest.LogCaptureFixture) -> None:
    def process(self: Any, request: Any) -> Any:
        self.logger.warning("%s is looked at", request.id)
        return approve(self, request)

    mine = logging.getLogger("mine")
    for position, own in enumerate((mine, property(lambda self: mine))):
        caplog.clear()
        opened = open_for(process, logger=own)
        ref = opened.only(opened.sandbox.with_scenario("purchase", position))
        assert opened.handle(ref).text == "approved"
        [line] = [record for record in caplog.records if record.name == "mine"]
        assert line.getMessage() == f"{ref.id} is looked at"


class Masking(logging.Filter):
    """A vendor's filter, which takes each message for text, and raises at some."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        self.seen.append(record.msg)
        if re.search(r"completed|approve", record.msg):
            raise ValueError("a fault of the filter")
        return not re.search("password", record.msg)


def test_a_filter_of_the_sdks_logger_ends_no_poll_and_no_job(
    open_for: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    masking = Masking()
    logger.addFilter(masking)
    logger.setLevel(logging.DEBUG)
    try:
        opened = open_for(approve)
        opened.poll()
        results = {opened.handle(ref).text for ref in list(opened.messages)}
    finally:
        logger.removeFilter(masking)
        logger.setLevel(logging.NOTSET)
    assert results == {"approved"}
    assert "job.completed outcome=approved" in masking.seen
    assert any(text.startswith("poll.completed kind=fulfillment") for text in masking.seen)
    assert "ValueError: a fault of the filter" in capsys.readouterr().err


def test_what_a_listings_processor_returns_is_logged(
    open_for: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "connect_worker")
    opened = open_for(lambda self, request: f"nothing was used of {request.id}", RequestKind.USAGE)
    opened.poll()
    ref = opened.messages[0]
    assert opened.handle(ref).text == "nothing submitted"
    [line] = [r.msg for r in caplog.records if str(r.msg).startswith("usage.reported")]
    assert isinstance(line, LogEvent)
    assert line.facts == {"result": f"nothing was used of {ref.request_id}"}


# ---- usage


def test_a_listing_is_reported_once_a_period_however_often_it_is_polled(open_for: Open) -> None:
    runs: list[str] = []

    def process(self: Any, request: Any) -> str:
        runs.append(self.reporting_period)
        return "nothing was used"

    opened = open_for(process, RequestKind.USAGE)
    for _ in range(2):
        opened.poll()
        for _ in range(3):
            while opened.messages:
                opened.handle(opened.messages.popleft())
            opened.poll()
        opened.clock.step(DAY)
    first, second = sorted(set(runs))
    assert runs.count(first) == runs.count(second) > 0


def test_a_usage_files_processor_that_only_returns_is_an_error(open_for: Open) -> None:
    for result in (None, "done"):
        opened = open_for(lambda self, request, given=result: given, RequestKind.USAGE_FILE)
        ref = opened.only(opened.sandbox.with_scenario("ready"))
        opened.handle(ref)
        assert opened.entry(ref).state is State.PARKED
        assert "must raise AcceptUsageFile" in opened.entry(ref).error
        assert opened.accepted(ref) == []


def test_a_skipped_usage_file_or_setup_stays_as_it_is_without_a_message(open_for: Open) -> None:
    def process(self: Any, request: Any) -> Any:
        raise SkipRequest("Later")

    for kind, scenario in ((RequestKind.USAGE_FILE, "ready"), (RequestKind.TIER_CONFIG, "setup")):
        opened = open_for(process, kind)
        ref = opened.only(opened.sandbox.with_scenario(scenario))
        before = opened.seen(ref)["status"]
        assert opened.handle(ref).text == "skipped: Later"
        assert opened.seen(ref)["status"] == before
        assert opened.seen(ref).get("messages", []) == []
        assert opened.later(ref, SKIP_SECONDS + 1).text == "skipped: Later"


# ---- overlapping and repeated runs


def test_while_one_worker_is_inside_the_processor_another_stays_outside(open_for: Open) -> None:
    runs: list[str] = []
    is_inside, may_go_on = threading.Event(), threading.Event()

    def process(self: Any, request: Any) -> Any:
        runs.append(request.id)
        is_inside.set()
        assert may_go_on.wait(20)
        return approve(self, request)

    opened = open_for(process)
    ref = opened.only(opened.sandbox.with_scenario("purchase"))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(opened.handle, ref)
        assert is_inside.wait(20)
        opened.poll()
        assert ref not in opened.messages
        assert opened.handle(ref).text == "nothing to do: busy"
        may_go_on.set()
        assert first.result(20).text == "approved"
    assert runs == [ref.id]


def test_the_single_process_loop_remembers_nothing_between_two_runs(sandbox: Client) -> None:
    # The worker says it once, which test_decisions holds; a loop that ends has no ledger.
    keys: list[str] = []

    def process(self: Any, request: Any) -> Any:
        keys.append(self.idempotency_key)
        raise SkipRequest("Later")

    request_id = sandbox.with_scenario("purchase")
    mine = automation(process, filters=lambda self: {"id": request_id})
    config = Config.local(f"{sandbox.root}/public/v1", API_KEY)
    for _ in range(2):
        mine(config).process()
    assert [said["text"] for said in sandbox.entry(request_id)["messages"]] == ["Later"] * 2
    assert keys[0] == keys[1]


# ---- ids


@pytest.mark.parametrize(
    ("kind", "request_id", "outcome"),
    [
        (RequestKind.FULFILLMENT, "PR-5852-1608-0000", Fail("No")),
        (RequestKind.FULFILLMENT, "PR-5852-1608-0000-001", Fail("No")),
        (RequestKind.FULFILLMENT, "PR-5852-1608-001", Fail("No")),
        (RequestKind.TIER_CONFIG, "TCR-000-000-000", Fail("No")),
        (RequestKind.USAGE_FILE, "UF-2018-11-9878764342", FileAction("submit", {})),
        (RequestKind.USAGE_FILE, "UF-2018-11-9878-7643", FileAction("submit", {})),
    ],
)
def test_every_form_of_id_is_part_of_the_path(
    kind: RequestKind, request_id: str, outcome: Outcome
) -> None:
    [step, *_] = build_api_calls(RequestKey(kind, request_id), outcome).steps
    path = str(getattr(step, "path", ""))
    assert path.startswith(f"{KINDS[kind].path}/{request_id}/")

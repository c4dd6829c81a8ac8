"""An automation as the engine sees it: what waits for it, and one instance per process and job."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from connect_worker.config import Config
from connect_worker.domain.outcomes import Approve, NoDecision
from connect_worker.domain.states import Claim, PendingRequest, RequestKey, RequestKind
from connect_worker.engine.job import Job
from connect_worker.engine.lease import Lease
from connect_worker.exceptions import BadRequest, SettingsError
from connect_worker.ledger.memory import MemoryLedger
from connect_worker.models import ActivationTileResponse, Fulfillment
from connect_worker.resources import (
    FulfillmentAutomation,
    TierConfigAutomation,
    UsageAutomation,
    UsageFileAutomation,
)
from connect_worker.resources.automation import Automation
from connect_worker.resources.processor import AutomationProcessor
from tests.support.scripted_server import Reply, serving

CONFIG = Config.local("http://127.0.0.1:1/public/v1", "SU-1:test")
NEW_YEARS_EVE = 1_798_761_599.0  # 2026-12-31 23:59:59 UTC


class Rows:
    """A Connect that holds these rows, and notes what was asked."""

    def __init__(self, *rows: Any) -> None:
        self.rows = rows
        self.asked: list[tuple[str, Any]] = []

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        raise AssertionError("nothing is fetched singly")

    def get_all(self, path: str, query: str | Mapping[str, object] | None = None) -> Iterable[Any]:
        self.asked.append((path, query))
        return iter(self.rows)

    def send(self, method: str, path: str, json: Any, *, key: str) -> Any:
        raise AssertionError("nothing is changed")


def processor_of(
    kind: type[Automation[Any]] = FulfillmentAutomation,
    config: Config = CONFIG,
    **attributes: Any,
) -> AutomationProcessor:
    mine = type("Mine", (kind,), {"process_request": lambda self, request: None, **attributes})
    return AutomationProcessor(kind.kind, lambda: mine(config), config)


def sighted(processor: AutomationProcessor, *rows: Any, now: float = 0.0) -> list[PendingRequest]:
    return list(processor.list_pending(Rows(*rows), now=now))


def row(request_id: str = "PR-1", product: str = "PRD-1", **fields: Any) -> dict[str, Any]:
    return {"id": request_id, "status": "pending", "asset": {"product": {"id": product}}, **fields}


# ---- what waits for it


@pytest.mark.parametrize(
    ("filters", "statuses"),
    [
        ({"status": "pending"}, {"pending"}),
        ({"status": ["pending", "inquiring"]}, {"pending", "inquiring"}),
        ("in(status,(pending,inquiring))", {"pending", "inquiring"}),
        ({"type": "cancel"}, {"pending"}),
        ("ne(status,approved)", {"pending"}),
        (None, {"pending"}),
    ],
)
def test_a_status_is_awaited_when_the_filters_ask_for_it(filters: Any, statuses: set[str]) -> None:
    processor = processor_of(filters=lambda self: filters)
    for status in ("pending", "inquiring", "approved", "failed", "deleted", ""):
        assert processor.awaits({"status": status}) == (status in statuses)
    assert not processor.awaits({})
    assert processor.awaits({"status": "PENDING"})


def test_the_rows_are_read_with_the_automations_query() -> None:
    connect = Rows(row("PR-1"), row("PR-2", updated="later"))
    found = list(processor_of().list_pending(connect, now=0))
    select = (
        "select(-activation_key,-template,-asset.configuration,-asset.items,-asset.params,"
        "-asset.tiers)"
    )
    assert connect.asked == [("requests", f"{select}&eq(status,pending)&ordering(created)")]
    assert found == [
        PendingRequest(RequestKey(RequestKind.FULFILLMENT, name), None, "PRD-1")
        for name in ("PR-1", "PR-2")
    ]


class Unselective(Rows):
    """A Connect that knows no `select`."""

    def get_all(self, path: str, query: str | Mapping[str, object] | None = None) -> Iterable[Any]:
        rows = super().get_all(path, query)
        if "select(" in str(query):
            raise BadRequest(status=400, errors=["Bad filter query: select."])
        return rows


def test_where_select_is_refused_whole_documents_are_read_and_it_is_not_asked_for_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    connect, processor = Unselective(row("PR-1")), processor_of()
    for _ in range(2):
        found = processor.list_pending(connect, now=0, request_id="PR-1")
        assert [pending.ref.id for pending in found] == ["PR-1"]
    queries = [query for _, query in connect.asked]
    assert [query.startswith("select(") for query in queries] == [True, False, False]
    assert set(queries[1:]) == {"eq(id,PR-1)&eq(status,pending)&ordering(created)"}
    assert caplog.text.count("poll.select_refused kind=fulfillment") == 1


def test_filters_that_are_refused_do_not_blame_select(caplog: pytest.LogCaptureFixture) -> None:
    class Refusing(Rows):
        def get_all(self, path: str, query: Any = None) -> Iterable[Any]:
            super().get_all(path, query)
            raise BadRequest(status=400, errors=["Bad filter query: color."])

    connect, processor = Refusing(), processor_of()
    for _ in range(2):
        with pytest.raises(BadRequest, match="color"):
            list(processor.list_pending(connect, now=0))
    assert [query.startswith("select(") for _, query in connect.asked] == [True, False] * 2
    assert "poll.select_refused" not in caplog.text


def test_an_automation_that_selects_for_itself_gets_what_it_asks_for() -> None:
    connect, own = Rows(row("PR-1")), "select(-asset.items)&eq(status,pending)"
    assert list(processor_of(filters=lambda self: own).list_pending(connect, now=0))
    assert connect.asked == [("requests", f"{own}&ordering(created)")]


BAD_ROWS = [
    ({"status": "pending"}, "a row without an id, number 1 of the list"),
    ({"id": None}, "a row without an id, number 1 of the list"),
    ({"id": ""}, "a row without an id, number 1 of the list"),
    (row(5), "a row whose id is a int, not a text"),  # type: ignore[arg-type]  # Connect's mistake
    (row({"a": 1}), "a row whose id is a dict, not a text"),  # type: ignore[arg-type]  # the same
    (row("PR-\udc00"), r"a row with the id 'PR-\udc00', which no fulfillment request has"),
    (row("PR-1\0"), r"a row with the id 'PR-1\x00', which no fulfillment request has"),
    (row("PR-" + "1" * 70), "(73 characters), which no fulfillment request has"),
]


@pytest.mark.parametrize(("bad", "why"), BAD_ROWS)
def test_a_row_that_can_be_no_request_is_reported_and_left_out(bad: Any, why: str) -> None:
    rejected: list[str] = []
    found = processor_of().list_pending(Rows(bad, row()), now=0, rejected=rejected.append)
    assert [pending.ref.id for pending in found] == ["PR-1"]
    [text] = rejected
    assert text.endswith(why)


def test_a_row_that_nobody_wants_to_hear_of_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert sighted(processor_of(), {"status": "pending"}) == []
    assert "poll.row_rejected kind=fulfillment path=requests" in caplog.text


@pytest.mark.parametrize("product", ["PRD-\udc00", "PRD-\n", "0" * 129, 5, {"a": 1}, []])
def test_a_product_that_names_nothing_is_left_to_the_job(product: Any) -> None:
    [found] = sighted(processor_of(), row(product=product))
    assert found.product == ""


def test_a_document_that_fits_no_model_costs_an_overridden_list_no_other_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = {"id": "PR-2", "status": "pending", "asset": {"items": "three seats"}}
    with serving(Reply(body=[row("PR-1"), broken, row("PR-3")])) as server:
        config = Config.local(server.url, "SU-1:test")
        processor = processor_of(config=config, list=lambda self: FulfillmentAutomation.list(self))
        found = list(processor.list_pending(Rows(), now=0))
    assert [pending.ref.id for pending in found] == ["PR-1", "PR-3"]
    assert "list.document_rejected request=\"'PR-2'\"" in caplog.text


def test_a_row_in_a_status_that_is_not_asked_for_is_left_out() -> None:
    # An overridden filter may list everything; that is no work.
    processor = processor_of(filters=lambda self: {"type": "purchase"})
    rows = [row("PR-1"), row("PR-2", status="approved"), {"id": "PR-3"}]
    assert [s.ref.id for s in sighted(processor, *rows)] == ["PR-1", "PR-3"]


def test_a_product_that_is_not_looked_after_is_left_alone() -> None:
    account = Config.local("http://127.0.0.1:1/public/v1", "SU-1:test", ["PRD-1"])
    rows = [row("PR-1", "PRD-1"), row("PR-2", "PRD-2"), {"id": "PR-3", "status": "pending"}]
    everything: dict[str, Any] = {"filters": lambda self: {"status": "pending"}}
    assert [s.ref.id for s in sighted(processor_of(config=account, **everything), *rows)] == [
        "PR-1",
        "PR-3",
    ]
    own = processor_of(config=account, products=["PRD-2"], **everything)
    assert [s.ref.id for s in sighted(own, *rows)] == ["PR-2", "PR-3"]


def test_an_overridden_list_is_asked_instead() -> None:
    models = [Fulfillment.deserialize_json(row("PR-7"))]
    connect = Rows(row("PR-1"))
    found = processor_of(list=lambda self: models).list_pending(connect, now=0)
    assert [sighting.ref.id for sighting in found] == ["PR-7"]
    assert connect.asked == []


def test_a_tier_config_request_names_its_cycle() -> None:
    document = {
        "id": "TCR-1",
        "status": "pending",
        "configuration": {"product": {"id": "PRD-1"}},
        "events": {"pended": {"at": "2026-11-01T00:00:00+00:00"}},
    }
    [found] = sighted(processor_of(TierConfigAutomation), document)
    assert found == PendingRequest(
        RequestKey(RequestKind.TIER_CONFIG, "TCR-1"), "2026-11-01T00:00:00+00:00", "PRD-1"
    )


def test_a_usage_file_in_capitals_is_awaited_and_names_its_cycle() -> None:
    document = {"id": "UF-1", "status": "READY", "events": {"uploaded": {"at": "2026-11-01"}}}
    [found] = sighted(processor_of(UsageFileAutomation), document)
    assert (found.ref.id, found.cycle) == ("UF-1", "ready@2026-11-01")


@pytest.mark.parametrize(
    ("period", "name"),
    [
        ("hour", "2026-12-31T23"),
        ("day", "2026-12-31"),
        ("week", "2026-W53"),
        ("month", "2026-12"),
        (None, "2026-12-31"),
    ],
)
def test_a_listings_cycle_is_its_reporting_period(period: str | None, name: str) -> None:
    attributes: dict[str, Any] = {"period": period} if period else {}
    listing = {"id": "LST-1", "status": "listed", "product": {"id": "PRD-1"}}
    processor = processor_of(UsageAutomation, **attributes)
    [found] = sighted(processor, listing, now=NEW_YEARS_EVE)
    assert (found.ref.kind, found.ref.request_id) == (RequestKind.USAGE, "LST-1")
    assert (found.cycle, found.product) == (name, "PRD-1")
    [later] = sighted(processor, listing, now=NEW_YEARS_EVE + 1)
    assert (later.cycle == name) == (period == "week"), "the ISO week runs over the new year"


def test_a_period_of_ones_own_is_taken() -> None:
    processor = processor_of(UsageAutomation, period_name=lambda self, now: f"quarter {now:.0f}")
    [found] = sighted(processor, {"id": "LST-1", "status": "listed"}, now=4)
    assert found.cycle == "quarter 4"


def test_an_unknown_period_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"'year'.*hour, day, week, month"):
        sighted(processor_of(UsageAutomation, period="year"), {"id": "LST-1", "status": "listed"})


# ---- one instance per process, one copy per job


def job_for(ledger: MemoryLedger, request_id: str, owner: str = "worker") -> Job:
    ref = RequestKey(RequestKind.FULFILLMENT, request_id)
    ledger.register([PendingRequest(ref)], seen_at=ledger.now(), requeue_seconds=60)
    claim = ledger.claim(ref, owner=owner, lease_seconds=60)
    assert isinstance(claim, Claim)
    return Job(ledger=ledger, claim=claim, lease=Lease(ledger, claim), key=f"key of {request_id}")


def test_a_run_returns_what_the_processor_decides() -> None:
    job = job_for(MemoryLedger(), "PR-1")
    decide = processor_of(process_request=lambda self, request: ActivationTileResponse(request.id))
    outcome = decide.run(row("PR-1"), job)
    assert outcome == Approve(tile="PR-1")
    assert job.decision is None, "the job runner stores it"


def test_an_overridden_dispatch_decides_nothing_unless_it_asks_on() -> None:
    job = job_for(MemoryLedger(), "PR-1")
    outcome = processor_of(dispatch=lambda self, request: "mine").run(row("PR-1"), job)
    assert outcome == NoDecision()


def test_a_run_has_the_account_the_key_and_the_attempt_at_hand() -> None:
    seen: dict[str, object] = {}

    def process(self: Any, request: Any) -> None:
        seen.update(config=Config.get_instance(), key=self.idempotency_key, attempt=self.attempt)

    processor_of(process_request=process).run(row("PR-1"), job_for(MemoryLedger(), "PR-1"))
    assert seen == {"config": CONFIG, "key": "key of PR-1", "attempt": 1}


def test_what_jobs_assign_stays_with_each_and_what_was_set_up_is_shared() -> None:
    count = 8
    together = threading.Barrier(count, timeout=10)
    seen: dict[str, tuple[str, str, object]] = {}

    def __init__(self: Any, config: Config) -> None:
        FulfillmentAutomation.__init__(self, config)
        self.connection = object()

    def process(self: Any, request: Any) -> None:
        self.current = request.id
        together.wait()
        seen[request.id] = (self.current, self.idempotency_key, self.connection)

    processor = processor_of(process_request=process, __init__=__init__)
    ledger = MemoryLedger()
    jobs = {f"PR-{n}": job_for(ledger, f"PR-{n}", owner=f"w{n}") for n in range(count)}
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(lambda name: processor.run(row(name), jobs[name]), jobs))

    shared = processor.automation.connection  # type: ignore[attr-defined]  # of the test's
    assert seen == {name: (name, f"key of {name}", shared) for name in jobs}
    assert not hasattr(processor.automation, "current")
    assert processor.automation.idempotency_key == ""


def test_threads_that_ask_at_once_get_one_instance() -> None:
    count = 8
    together = threading.Barrier(count, timeout=10)
    processor = processor_of()

    def ask(_: int) -> int:
        together.wait()
        return id(processor.automation)

    with ThreadPoolExecutor(count) as pool:
        assert len(set(pool.map(ask, range(count)))) == 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_makes_its_own_instance() -> None:
    made_in: list[int] = []

    def make() -> Automation[Any]:
        made_in.append(os.getpid())
        return FulfillmentAutomation(CONFIG)

    processor = AutomationProcessor(RequestKind.FULFILLMENT, make, CONFIG)
    of_parent = processor.automation
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            is_new = processor.automation is not of_parent
            is_kept = processor.automation is processor.automation
            is_good = is_new and is_kept and made_in[-1] == os.getpid()
            os.write(write_end, b"y" if is_good else b"n")
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        assert pipe.read() == "y"
    os.waitpid(child, 0)
    assert processor.automation is of_parent
    assert made_in == [os.getpid()]

"""What both ledgers count by kind and product, and take along from the process."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from connect_worker.domain.metrics import (
    MAX_PRODUCTS,
    OTHER,
    WORKER_SECONDS,
    Metric,
    WorkerLoad,
)
from connect_worker.domain.states import PendingRequest, PollReport, RequestKey, RequestKind, State
from connect_worker.engine.metrics import CallMetrics, metric_labels
from connect_worker.engine.ports import Ledger
from connect_worker.exceptions import LeaseLost
from connect_worker.ledger.memory import MemoryLedger
from connect_worker.ledger.redis import RedisLedger
from connect_worker.ledger.redis_account import MAX_OLDEST_CHECKED
from tests.support.ledger_factories import (
    APPROVE,
    LONG,
    PR,
    TCR,
    Clock,
    assert_consistent,
    claim_of,
    register,
)
from tests.support.ledger_factories import OTHER as OTHER_REF

ONE, TWO = "PRD-000-000-001", "PRD:with:colons"
FULFILLMENT = RequestKind.FULFILLMENT.value
Counting = MemoryLedger | RedisLedger


@pytest.fixture
def meter() -> CallMetrics:
    return CallMetrics()


@pytest.fixture(params=["memory", "redis"])
def counting(
    request: pytest.FixtureRequest,
    client: redis.Redis,
    account: str,
    clock: Clock,
    meter: CallMetrics,
) -> Counting:
    if request.param == "memory":
        memory = MemoryLedger(clock=clock, metric_buffer=meter)
        clock.calls.append(memory.now)
        return memory
    return RedisLedger(client, account=account, metric_buffer=meter)


def test_states_are_counted_by_product(counting: Counting) -> None:
    register(counting, PR, OTHER_REF, product=ONE)
    register(counting, TCR, product=TWO)
    claim_of(counting)
    assert counting.counts_by_product() == {
        (RequestKind.FULFILLMENT, ONE): {State.QUEUED: 1, State.RUNNING: 1},
        (RequestKind.TIER_CONFIG, TWO): {State.QUEUED: 1},
    }
    assert counting.counts()[RequestKind.FULFILLMENT][State.QUEUED] == 1


def test_outcomes_are_counted_by_product(counting: Counting) -> None:
    for product, ref in ((ONE, PR), (TWO, OTHER_REF)):
        register(counting, ref, product=product)
        claim = claim_of(counting, ref)
        counting.decide(claim, APPROVE)
        counting.complete(claim, "approved", keep_seconds=LONG)
    assert counting.outcomes_by_product() == {
        (RequestKind.FULFILLMENT, ONE): {"approved": 1},
        (RequestKind.FULFILLMENT, TWO): {"approved": 1},
    }
    assert counting.outcomes()[RequestKind.FULFILLMENT] == {"approved": 2}
    assert counting.outcomes_today()[RequestKind.FULFILLMENT] == {"approved": 2}


def test_a_request_that_changes_its_product_is_counted_under_one(
    counting: Counting, client: redis.Redis, account: str, clock: Clock
) -> None:
    register(counting, TCR, product=ONE, cycle="a")
    clock.step(1)
    register(counting, TCR, product=TWO, cycle="b", seen_at=counting.now() + 1)
    assert counting.counts_by_product() == {
        (RequestKind.TIER_CONFIG, ONE): {State.SUPERSEDED: 1},
        (RequestKind.TIER_CONFIG, TWO): {State.QUEUED: 1},
    }
    if isinstance(counting, RedisLedger):
        assert_consistent(client, account)


def test_attempts_and_retries_are_counted_by_cause(counting: Counting) -> None:
    register(counting, product=ONE)
    for cause in ("processor", "processor", "Connect down", ""):
        claim = claim_of(counting)
        counting.reschedule(claim, State.RETRY, delay_seconds=0, cause=cause)
        counting.reschedule(claim, State.RETRY, delay_seconds=0, cause=cause)
    counts = counting.metrics()
    assert counts[Metric("attempts", FULFILLMENT, "", ONE)] == 4
    assert counts[Metric("retries", FULFILLMENT, "processor", ONE)] == 2
    assert counts[Metric("retries", FULFILLMENT, "Connect down", ONE)] == 1
    assert len(counts) == 3


def test_a_dead_worker_is_the_cause_of_a_retry(counting: Counting, clock: Clock) -> None:
    register(counting, product=ONE)
    claim_of(counting, lease_seconds=0.001)
    clock.step(1)
    while not counting.take_due(limit=9, requeue_seconds=LONG, max_attempts=8).expired:
        pass
    assert counting.metrics()[Metric("retries", FULFILLMENT, "worker died", ONE)] == 1


@pytest.mark.parametrize("end", ["settle", "supersede", "put_back", "park"])
def test_the_end_of_a_claim_takes_along_what_the_process_counted(
    counting: Counting, meter: CallMetrics, end: str
) -> None:
    register(counting, product=ONE)
    with metric_labels(RequestKind.FULFILLMENT, ONE):
        meter("POST", "", 0.3)
        meter("GET", "", 9)
        meter("PUT", "429", 0.1)
    claim = claim_of(counting)
    ends: dict[str, Callable[[], None]] = {
        "settle": lambda: counting.complete(claim, "approved", keep_seconds=LONG),
        "supersede": lambda: counting.supersede(claim, "failed", keep_seconds=LONG),
        "put_back": lambda: counting.reschedule(claim, State.SNOOZED, delay_seconds=0),
        "park": lambda: counting.park(claim, "broken"),
    }
    ends[end]()
    ends[end]()
    counted = {
        measure: n for measure, n in counting.metrics().items() if measure.name != "attempts"
    }
    assert counted == {
        Metric("posts", FULFILLMENT, "0.5", ONE): 1,
        Metric("post_ms", FULFILLMENT, "", ONE): 300,
        Metric("errors", FULFILLMENT, "429", ONE): 1,
    }
    assert not meter.take()


def test_a_poll_takes_it_along_too(counting: Counting, meter: CallMetrics) -> None:
    with metric_labels(RequestKind.USAGE):
        meter("GET", "no answer", 30)
    counting.record_poll(RequestKind.USAGE, PollReport(seconds=1))
    assert counting.metrics() == {Metric("errors", "usage", "no answer", ""): 1}


def test_what_a_lost_claim_could_not_tell_is_reported_by_the_next(
    counting: Counting, meter: CallMetrics, clock: Clock
) -> None:
    register(counting, product=ONE)
    lost = claim_of(counting, lease_seconds=0.001)
    clock.step(1)
    while not counting.take_due(limit=9, requeue_seconds=0, max_attempts=8).expired:
        pass
    meter("POST", "", 1000)
    with pytest.raises(LeaseLost):
        counting.park(lost, "too late")
    counting.park(claim_of(counting, owner="w2"), "in time")
    assert counting.metrics()[Metric("posts", "", "more", "")] == 1


def test_no_more_products_are_counted_by_name_than_two_hundred(counting: Counting) -> None:
    refs = [
        RequestKey(RequestKind.FULFILLMENT, f"PR-{number}") for number in range(MAX_PRODUCTS + 5)
    ]
    sightings = [PendingRequest(ref, None, f"PRD-{ref.id}") for ref in refs]
    counting.register(sightings, seen_at=counting.now(), requeue_seconds=LONG)
    claim = claim_of(counting, refs[-1])
    counting.complete(claim, "approved", keep_seconds=LONG)
    census = counting.counts_by_product()
    assert len(census) == MAX_PRODUCTS + 1
    assert census[RequestKind.FULFILLMENT, OTHER] == {State.QUEUED: 4, State.COMPLETED: 1}
    assert counting.outcomes_by_product() == {(RequestKind.FULFILLMENT, OTHER): {"approved": 1}}
    assert (RequestKind.FULFILLMENT, OTHER) in counting.oldest_by_product()


def test_the_oldest_is_reported_by_product(counting: Counting, clock: Clock) -> None:
    register(counting, PR, product=ONE)
    clock.step(10)
    register(counting, OTHER_REF, product=ONE)
    register(counting, TCR, product=TWO)
    oldest = counting.oldest_by_product()
    assert oldest.keys() == {(RequestKind.FULFILLMENT, ONE), (RequestKind.TIER_CONFIG, TWO)}
    assert oldest[RequestKind.FULFILLMENT, ONE] == counting.oldest()[RequestKind.FULFILLMENT]
    claim_of(counting)
    assert counting.oldest_by_product() == oldest
    counting.park(claim_of(counting), "broken")
    assert (
        oldest[RequestKind.FULFILLMENT, ONE]
        <= counting.oldest_by_product()[RequestKind.FULFILLMENT, ONE]
    )


def test_behind_a_long_line_of_another_product_the_age_is_an_upper_bound(
    client: redis.Redis, account: str
) -> None:
    ledger = RedisLedger(client, account=account)
    many = [
        RequestKey(RequestKind.FULFILLMENT, f"PR-{number:05}")
        for number in range(MAX_OLDEST_CHECKED)
    ]
    for refs, product in ((many, ONE), ([PR], TWO)):
        sightings = [PendingRequest(ref, None, product) for ref in refs]
        ledger.register(sightings, seen_at=ledger.now(), requeue_seconds=LONG)
    oldest = ledger.oldest_by_product()
    entry = ledger.get_record(PR)
    assert entry is not None
    assert (
        oldest[RequestKind.FULFILLMENT, ONE]
        <= oldest[RequestKind.FULFILLMENT, TWO]
        <= entry.first_seen
    )


def test_a_worker_counts_as_long_as_it_reports(ledger: Ledger, clock: Clock) -> None:
    ledger.record_worker("one", WorkerLoad(slots=4, busy=3))
    clock.step(WORKER_SECONDS / 2)
    ledger.record_worker("two", WorkerLoad(slots=2, busy=0))
    ledger.record_worker("two", WorkerLoad(slots=2, busy=1))
    assert ledger.workers() == {"one": WorkerLoad(4, 3), "two": WorkerLoad(2, 1)}
    clock.step(WORKER_SECONDS / 2 + 1)
    assert ledger.workers() == {"two": WorkerLoad(2, 1)}


def test_redis_forgets_workers_that_are_gone(
    client: redis.Redis, account: str, redis_ledger: RedisLedger, clock: Clock
) -> None:
    key = f"connect-worker:{{{account}}}:workers"
    for number in range(50):
        redis_ledger.record_worker(f"worker-{number}", WorkerLoad(1, 0))
        clock.step(WORKER_SECONDS)
    assert client.hlen(key) == 1
    assert 0 < client.pttl(key) <= WORKER_SECONDS * 1000

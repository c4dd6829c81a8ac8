"""Contract of what people and dashboards may ask: records, their past, polls, ages, the day."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from connect_worker.domain.metrics import BOUNDS_MS, bound_of
from connect_worker.domain.states import (
    FINAL_STATES,
    PollProblem,
    PollReport,
    RequestKey,
    RequestKind,
    RequestRecord,
    State,
)
from connect_worker.engine.ports import Ledger
from connect_worker.ledger.codec import milliseconds as milliseconds_of
from connect_worker.ledger.memory import MemoryLedger
from connect_worker.ledger.redis import RedisLedger
from tests.support.ledger_factories import (
    LONG,
    OTHER,
    PR,
    TCR,
    Clock,
    claim_of,
    posting,
    record_of,
    register,
    running,
    take_due,
)

Elapse = Callable[[float], None]
LIVE = [state for state in State if state not in FINAL_STATES]


def one_of_each(ledger: Ledger) -> list[RequestKey]:
    """A completed, a parked, a running and a queued one."""
    refs = [RequestKey(RequestKind.FULFILLMENT, f"PR-{number}") for number in range(3)]
    ledger.complete(posting(ledger, refs[0]), "approved", keep_seconds=LONG)
    ledger.park(running(ledger, refs[1]), "broken")
    running(ledger, refs[2])
    register(ledger, TCR, cycle="a")
    return [*refs, TCR]


def test_a_completed_record_has_the_error_that_its_end_was_given(ledger: Ledger) -> None:
    refs = [RequestKey(RequestKind.FULFILLMENT, f"PR-{number}") for number in range(2)]
    for ref, error in zip(refs, ("", "x" * 600), strict=True):
        ledger.complete(posting(ledger, ref), "approved", keep_seconds=LONG, error=error)
    errors = [record_of(ledger, ref).error for ref in refs]
    assert errors == ["", "x" * 499 + "…"]
    assert [record_of(ledger, ref).outcome for ref in refs] == ["approved"] * 2


def ids(entries: list[RequestRecord]) -> list[str]:
    return sorted(entry.ref.id for entry in entries)


def test_without_a_filter_every_record_is_given(ledger: Ledger) -> None:
    refs = one_of_each(ledger)
    found = list(ledger.iter_records())
    assert ids(found) == sorted(ref.id for ref in refs)
    assert all(entry == record_of(ledger, entry.ref) for entry in found)


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([State.PARKED], ["PR-1"]),
        ([State.COMPLETED], ["PR-0"]),
        ([State.RUNNING, State.QUEUED], ["PR-2", TCR.id]),
        (LIVE, ["PR-1", "PR-2", TCR.id]),
        ([State.PARKED, State.COMPLETED], ["PR-0", "PR-1"]),
        ([State.SNOOZED], []),
    ],
)
def test_records_are_filtered_by_state(
    ledger: Ledger, states: list[State], expected: list[str]
) -> None:
    one_of_each(ledger)
    assert ids(list(ledger.iter_records(states=states))) == expected


@pytest.mark.parametrize("states", [(), LIVE])
def test_records_are_filtered_by_kind_and_the_beginning_of_the_id(
    ledger: Ledger, states: list[State]
) -> None:
    one_of_each(ledger)
    assert ids(list(ledger.iter_records(kind=RequestKind.TIER_CONFIG, states=states))) == [TCR.id]
    assert ids(list(ledger.iter_records(prefix="PR-2", states=states))) == ["PR-2"]
    assert list(ledger.iter_records(kind=RequestKind.USAGE, prefix="PR-2", states=states)) == []


def test_a_prefix_is_a_text_and_no_pattern(ledger: Ledger) -> None:
    odd = RequestKey(RequestKind.FULFILLMENT, "PR-[1]*?\\")
    register(ledger, odd, PR)
    assert ids(list(ledger.iter_records(prefix="PR-[1]*?\\"))) == [odd.id]
    assert list(ledger.iter_records(prefix="PR-?")) == []
    assert list(ledger.iter_records(prefix="*")) == []


def test_a_forgotten_record_is_not_given(ledger: Ledger, elapse: Elapse) -> None:
    ledger.complete(posting(ledger), "approved", keep_seconds=0.01)
    elapse(0.02)
    assert list(ledger.iter_records()) == []


def test_more_records_than_a_page_are_given_once_each(redis_ledger: RedisLedger) -> None:
    refs = [RequestKey(RequestKind.USAGE_FILE, f"UF-{number:05}") for number in range(2500)]
    register(redis_ledger, *refs)
    expected = [ref.id for ref in refs]
    assert ids(list(redis_ledger.iter_records())) == expected
    assert ids(list(redis_ledger.iter_records(states=LIVE))) == expected


def test_records_of_another_account_are_not_given(client: redis.Redis, account: str) -> None:
    item, two = (RedisLedger(client, account=account + suffix) for suffix in ("a*", "ab"))
    register(two)
    assert list(item.iter_records()) == []
    assert [entry.ref for entry in two.iter_records()] == [PR]


def test_a_record_tells_the_way_of_its_cycle(ledger: Ledger, elapse: Elapse) -> None:
    began = ledger.now()
    register(ledger)
    elapse(0.01)
    claim = claim_of(ledger, owner="host:17:0123456789ab")
    ledger.reschedule(claim, State.RETRY, delay_seconds=0)
    claim = claim_of(ledger, owner="other:18:0123456789ab")
    ledger.decide(claim, {"type": "approve"})
    ledger.complete(claim, "approved", keep_seconds=LONG)
    history = record_of(ledger).history
    assert [(moment.state, moment.worker) for moment in history] == [
        (State.QUEUED, ""),
        (State.RUNNING, "host:17"),
        (State.RETRY, ""),
        (State.RUNNING, "other:18"),
        (State.POSTING, ""),
        (State.COMPLETED, ""),
    ]
    times = [moment.at for moment in history]
    assert times == sorted(times)
    assert times[0] == pytest.approx(began, abs=1)
    assert times[1] >= times[0] + 0.01
    assert times[-1] == record_of(ledger).changed


def test_who_takes_up_a_stored_decision_is_reported(ledger: Ledger) -> None:
    ledger.reschedule(posting(ledger), State.DECIDED, delay_seconds=0)
    claim_of(ledger, owner="other:18:0123456789ab")
    last = record_of(ledger).history[-1]
    assert (last.state, last.worker) == (State.POSTING, "other:18")


def test_a_new_cycle_has_a_past_of_its_own_and_the_names_of_the_earlier_ones(
    ledger: Ledger, elapse: Elapse
) -> None:
    register(ledger, TCR, cycle="a")
    elapse(0.01)
    register(ledger, TCR, cycle="b")
    entry = record_of(ledger, TCR)
    assert entry.earlier == ("a",)
    assert [(moment.state, moment.at) for moment in entry.history] == [
        (State.QUEUED, entry.first_seen)
    ]


def test_of_a_long_past_the_last_moments_are_remembered(ledger: Ledger) -> None:
    register(ledger)
    for _ in range(20):
        ledger.reschedule(claim_of(ledger), State.SNOOZED, delay_seconds=0, attempt_used=False)
    history = record_of(ledger).history
    assert len(history) == 24
    assert {moment.state for moment in history} == {State.RUNNING, State.SNOOZED}
    assert history[-1].state is State.SNOOZED


def test_the_past_of_an_ordinary_request_takes_less_than_a_hundred_bytes(
    redis_ledger: RedisLedger, client: redis.Redis, account: str
) -> None:
    register(redis_ledger)
    claim = claim_of(redis_ledger, owner="0123456789ab:4711:0123456789ab")
    redis_ledger.decide(claim, {"type": "approve"})
    redis_ledger.complete(claim, "approved", keep_seconds=LONG)
    assert client.hstrlen(f"connect-worker:{{{account}}}:request:{PR}", "y") < 100


def test_the_oldest_is_the_cycle_that_waits_longest(ledger: Ledger, elapse: Elapse) -> None:
    assert ledger.oldest() == dict.fromkeys(RequestKind)
    register(ledger)
    elapse(0.01)
    register(ledger, OTHER)
    register(ledger, TCR, cycle="a")
    first, second = record_of(ledger).first_seen, record_of(ledger, OTHER).first_seen
    assert ledger.oldest()[RequestKind.FULFILLMENT] == first < second
    ledger.park(claim_of(ledger), "broken")
    assert ledger.oldest()[RequestKind.FULFILLMENT] == second
    ledger.rerun(PR)
    assert ledger.oldest()[RequestKind.FULFILLMENT] == first
    ledger.supersede(claim_of(ledger, owner="w2"), "failed", keep_seconds=LONG)
    assert ledger.oldest()[RequestKind.FULFILLMENT] == second
    assert ledger.oldest()[RequestKind.TIER_CONFIG] == record_of(ledger, TCR).first_seen


def test_a_reposted_decision_waits_again(ledger: Ledger) -> None:
    ledger.park(posting(ledger), "400")
    assert ledger.oldest()[RequestKind.FULFILLMENT] is None
    ledger.repost(PR)
    assert ledger.oldest()[RequestKind.FULFILLMENT] == record_of(ledger).first_seen
    assert take_due(ledger) == [PR]


def test_todays_outcomes_begin_again_at_midnight(memory_ledger: MemoryLedger, clock: Clock) -> None:
    ledger = memory_ledger
    ledger.complete(posting(ledger), "approved", keep_seconds=LONG)
    assert ledger.outcomes_today()[RequestKind.FULFILLMENT] == {"approved": 1}
    clock.step(86_400 - clock.time % 86_400 - 0.001)
    assert ledger.outcomes_today()[RequestKind.FULFILLMENT] == {"approved": 1}
    clock.step(0.001)
    assert ledger.outcomes_today() == {kind: {} for kind in RequestKind}
    ledger.supersede(running(ledger, OTHER), "failed", keep_seconds=LONG)
    assert ledger.outcomes_today()[RequestKind.FULFILLMENT] == {"failed": 1}
    assert ledger.outcomes()[RequestKind.FULFILLMENT] == {"approved": 1, "failed": 1}


def test_todays_outcomes_are_forgotten_by_themselves(
    redis_ledger: RedisLedger, client: redis.Redis, account: str
) -> None:
    day = int(redis_ledger.now() // 86_400)
    redis_ledger.complete(posting(redis_ledger), "approved", keep_seconds=LONG)
    assert 86_400 < client.ttl(f"connect-worker:{{{account}}}:outcomes:{day}") <= 2 * 86_400


def test_parked_ones_of_all_kinds_are_listed_as_they_were_parked(
    ledger: Ledger, elapse: Elapse
) -> None:
    for ref in (OTHER, TCR, PR):
        ledger.park(running(ledger, ref), "broken")
        elapse(0.002)
    assert ledger.parked() == [OTHER, TCR, PR]
    assert ledger.parked(RequestKind.FULFILLMENT) == [OTHER, PR]


def test_several_records_are_read_in_the_order_that_was_asked_for(ledger: Ledger) -> None:
    refs = one_of_each(ledger)
    asked = [refs[2], RequestKey(RequestKind.USAGE, "LST-0"), refs[0]]
    assert ledger.get_records(asked) == [record_of(ledger, refs[2]), record_of(ledger, refs[0])]
    assert ledger.get_records([]) == []


def test_what_was_completed_is_counted_by_how_long_it_took(ledger: Ledger, elapse: Elapse) -> None:
    claim = posting(ledger)
    elapse(0.015)
    ledger.complete(claim, "approved", keep_seconds=LONG)
    # A repeated call counts once.
    ledger.complete(claim, "approved", keep_seconds=LONG)
    took = record_of(ledger).changed - record_of(ledger).first_seen
    ledger.supersede(running(ledger, OTHER), "failed", keep_seconds=LONG)
    earlier, last = ledger.completed_by_hour(2)
    assert {item.total for item in earlier.completed.values()} == {0}
    assert {kind: item.total for kind, item in last.completed.items()} == {
        kind: int(kind is RequestKind.FULFILLMENT) for kind in RequestKind
    }
    assert last.completed[RequestKind.FULFILLMENT].counts == {bound_of(round(took * 1000)): 1}
    assert 0 <= ledger.now() - last.began < 3600


@pytest.mark.parametrize("milliseconds", [0, 10, 11, *BOUNDS_MS[-2:], BOUNDS_MS[-1] + 1])
def test_both_ledgers_have_the_same_bounds(
    client: redis.Redis, account: str, milliseconds: int
) -> None:
    clock, began = Clock(), milliseconds_of(Clock().time)
    memory = MemoryLedger(clock=clock)
    for item in (memory, stepped(client, account, began)):
        register(item)
    clock.step(milliseconds / 1000)
    found = []
    for item in (memory, stepped(client, account, began + milliseconds)):
        claim = claim_of(item)
        item.decide(claim, {"type": "approve"})
        item.complete(claim, "approved", keep_seconds=LONG)
        found.append(item.completed_by_hour(1))
    assert found[0] == found[1]
    assert found[0][0].completed[RequestKind.FULFILLMENT].counts == {bound_of(milliseconds): 1}


def stepped(client: redis.Redis, account: str, now: int) -> RedisLedger:
    return RedisLedger(client, account=account, clock=f"local exact = {now}000")


def test_hours_are_forgotten_by_themselves(
    redis_ledger: RedisLedger, client: redis.Redis, account: str
) -> None:
    redis_ledger.complete(posting(redis_ledger), "approved", keep_seconds=LONG)
    hour = int(redis_ledger.now() // 3600)
    assert 86_400 < client.ttl(f"connect-worker:{{{account}}}:completed:{hour}") <= 2 * 86_400


def test_the_last_poll_of_each_kind_is_remembered(ledger: Ledger) -> None:
    assert ledger.polls() == {}
    before = ledger.now()
    ledger.record_poll(RequestKind.FULFILLMENT, PollReport(seconds=1.5, seen=7, new=2))
    ledger.record_poll(RequestKind.USAGE, PollReport(problem=PollProblem.NO_PROCESSOR, detail="no"))
    report = PollReport(problem=PollProblem.FAILED, detail="ServerFault: [500] …")
    ledger.record_poll(RequestKind.USAGE, report)
    found = ledger.polls()
    assert set(found) == {RequestKind.FULFILLMENT, RequestKind.USAGE}
    item = found[RequestKind.FULFILLMENT]
    assert (item.seconds, item.seen, item.new, item.problem, item.detail) == (1.5, 7, 2, "", "")
    assert before <= item.at <= ledger.now()
    assert found[RequestKind.USAGE].problem is PollProblem.FAILED
    assert found[RequestKind.USAGE].detail == "ServerFault: [500] …"

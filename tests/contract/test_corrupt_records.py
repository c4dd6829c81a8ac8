"""A corrupt record hides no other one: it is parked, listed, and can be rerun or discarded.

Only Redis can be damaged: other programs and people write to it. A ledger in memory is Python's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from connect_worker.domain.kinds import ChangeHint
from connect_worker.domain.states import (
    ClaimDenied,
    PendingRequest,
    PollReport,
    RequestKey,
    RequestKind,
    State,
)
from connect_worker.exceptions import LeaseLost, LedgerUnavailable
from connect_worker.ledger.redis import RedisLedger
from tests.support.ledger_factories import (
    LONG,
    OTHER,
    PR,
    Clock,
    assert_consistent,
    claim_of,
    posting,
    record_of,
    register,
    running,
)

Damage = Callable[[redis.Redis, str], object]


@pytest.fixture
def ledger(redis_ledger: RedisLedger) -> RedisLedger:
    return redis_ledger


@pytest.fixture
def key(account: str) -> str:
    return f"connect-worker:{{{account}}}:request:{PR}"


def wrong_type(client: redis.Redis, key: str) -> None:
    client.delete(key)
    client.set(key, "no hash")


def setting(field: str, value: str | bytes) -> Damage:
    return lambda client, key: client.hset(key, field, value)


def without(field: str) -> Damage:
    return lambda client, key: client.hdel(key, field)


#: What no script can go on with.
DAMAGES: dict[str, Damage] = {
    "no hash": wrong_type,
    "no state": without("s"),
    "no cycle": without("v"),
    "no times": without("b"),
    "no change": without("t"),
    "a state that is none": setting("s", "happy"),
    "a state that is bytes": setting("s", b"\xff\xfe"),
    "a cycle without a name": setting("v", ""),
    "a fence of letters": setting("f", "ten"),
    "a fence that is nan": setting("f", "nan"),
    "attempts of 5,000 digits": setting("a", "9" * 5_000),
    "a time with a fraction": setting("b", "1.5"),
    "a time before 1970": setting("t", "-1"),
    "a lease of words": setting("r", "tomorrow"),
    "messages in hexadecimal": setting("w", "0x10"),
}
ALL = pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)


@ALL
@pytest.mark.parametrize("begin", [register, running, posting])
def test_a_sweep_parks_it_and_goes_on_with_the_others(
    ledger: RedisLedger,
    client: redis.Redis,
    account: str,
    key: str,
    clock: Clock,
    damage: Damage,
    begin: Callable[[RedisLedger], object],
) -> None:
    begin(ledger)
    register(ledger, OTHER)
    damage(client, key)
    clock.step(2 * LONG)
    due = ledger.take_due(limit=100, requeue_seconds=LONG, max_attempts=3)
    assert (due.publish, due.corrupt) == ([OTHER], [PR])
    entry = record_of(ledger)
    assert (entry.state, entry.corrupt) == (State.PARKED, "")
    assert entry.error.startswith("CorruptRecord: the record in the ledger was damaged: ")
    assert ledger.parked() == [PR]
    assert ledger.claim(PR, owner="w1", lease_seconds=LONG) is ClaimDenied.ENDED
    assert_consistent(client, account)


@ALL
def test_it_is_shown_before_a_sweep_has_met_it_and_hides_no_other(
    ledger: RedisLedger, client: redis.Redis, key: str, damage: Damage
) -> None:
    register(ledger, PR, OTHER)
    damage(client, key)
    entry = record_of(ledger)
    assert (entry.state, bool(entry.corrupt)) == (State.PARKED, True)
    for found in (
        list(ledger.iter_records()),
        list(ledger.iter_records(states=[State.PARKED, State.QUEUED])),
        ledger.get_records([PR, OTHER]),
    ):
        assert {item.ref: bool(item.corrupt) for item in found} == {PR: True, OTHER: False}
    assert ledger.products([OTHER]) == [""]
    assert ledger.oldest_by_product()


@ALL
def test_a_poll_begins_no_cycle_of_it_and_registers_the_others(
    ledger: RedisLedger, client: redis.Redis, key: str, clock: Clock, damage: Damage
) -> None:
    register(ledger, PR, cycle="first")
    damage(client, key)
    for _ in range(2):
        clock.step(1)
        new = [PendingRequest(PR, "first"), PendingRequest(OTHER)]
        ledger.register(new, seen_at=ledger.now(), requeue_seconds=LONG)
        clock.step(1)
    assert record_of(ledger).state is State.PARKED
    assert record_of(ledger, OTHER).state is State.QUEUED


@ALL
def test_a_worker_whose_record_is_damaged_writes_nothing_more(
    ledger: RedisLedger, client: redis.Redis, key: str, damage: Damage
) -> None:
    claim = running(ledger)
    damage(client, key)
    assert not ledger.renew_lease(claim)
    changes: tuple[Callable[[], object], ...] = (
        lambda: ledger.decide(claim, {"outcome": "fail"}),
        lambda: ledger.record_step(claim, "step:1:tenant", 1),
        lambda: ledger.complete(claim, "approved", keep_seconds=LONG),
        lambda: ledger.park(claim, "an error"),
    )
    for change in changes:
        with pytest.raises(LeaseLost):
            change()
    assert record_of(ledger).error.startswith("CorruptRecord")


@ALL
def test_rerun_processes_it_again_at_once_or_with_the_next_poll(
    ledger: RedisLedger, client: redis.Redis, key: str, account: str, clock: Clock, damage: Damage
) -> None:
    running(ledger)
    damage(client, key)
    assert ledger.rerun(PR)
    clock.step(1)
    register(ledger)
    assert record_of(ledger).state is State.QUEUED
    assert claim_of(ledger, owner="w2").attempt == 1
    assert ledger.parked() == []
    ledger.take_due(limit=100, requeue_seconds=LONG, max_attempts=3)
    assert_consistent(client, account)


@ALL
def test_discard_ends_it(
    ledger: RedisLedger, client: redis.Redis, key: str, clock: Clock, damage: Damage
) -> None:
    running(ledger)
    damage(client, key)
    assert ledger.discard(PR, keep_seconds=LONG)
    clock.step(1)
    assert register(ledger, cycle="another") + register(ledger) in ([], [PR])
    assert client.pttl(key) > 0 or record_of(ledger).cycle == "another"
    assert ledger.parked() == []


VALUES: dict[str, tuple[str, str, str]] = {
    "no JSON": ("d", "{", "the stored decision is no JSON"),
    "cut off": ("d", '{"decision": {"outco', "the stored decision is no JSON"),
    "levels": ("d", "[" * 100_000, "the stored decision is no JSON"),
    "digits": ("d", "9" * 5_000, "the stored decision is no JSON"),
    "bytes": ("d", "\udcff", "the stored decision is no JSON"),
    "a step": ("j:step:1:tenant", "", "the result of step:1:tenant is no JSON"),
}


@pytest.mark.parametrize(("field", "value", "fault"), VALUES.values(), ids=VALUES)
def test_a_value_that_cannot_be_read_comes_with_the_claim_and_rerun_drops_it(
    ledger: RedisLedger, client: redis.Redis, key: str, field: str, value: str, fault: str
) -> None:
    ledger.reschedule(posting(ledger), State.DECIDED, delay_seconds=0)
    client.hset(key, field, value.encode("utf-8", "surrogateescape"))
    assert (record_of(ledger).state, record_of(ledger).corrupt) == (State.DECIDED, fault)
    claim = claim_of(ledger)
    assert claim.corrupt == fault
    ledger.park(claim, fault)
    assert ledger.rerun(PR)
    entry = record_of(ledger)
    assert (entry.state, entry.corrupt, entry.decision) == (State.QUEUED, "", None)
    assert entry.steps == {}


ODD_FIELDS: list[tuple[str, str | bytes]] = [
    ("y", "yesterday running\n5 happy worker\n\n7"),
    ("y", b"\xff\xff 1"),
    ("i:step:1:tenant", "noon"),
    ("i:step:1:tenant", "9" * 14),
    ("h", b"\xff"),
    ("z", "once"),
    ("p", b"PRD-\xff"),
    ("e", "fernet:nothing"),
    ("u", "\n"),
    ("b", "9" * 15),
    ("?", "a field without a meaning"),
]


@pytest.mark.parametrize(("field", "value"), ODD_FIELDS)
def test_a_field_that_people_only_read_may_be_anything(
    ledger: RedisLedger, client: redis.Redis, key: str, field: str, value: Any
) -> None:
    register(ledger)
    client.hset(key, field, value)
    assert record_of(ledger).state is State.QUEUED
    assert claim_of(ledger).attempt == 1


def test_names_that_no_worker_has_stored_stop_nothing(
    ledger: RedisLedger, client: redis.Redis, account: str, clock: Clock
) -> None:
    register(ledger)
    prefix = f"connect-worker:{{{account}}}:"
    for name in ("", "nothing", "order:PR-1", "fulfillment:", "\udcff"):
        member = name.encode("utf-8", "surrogateescape")
        for zset in ("due", "parked", "unfinished:fulfillment", "hints_due"):
            client.zadd(prefix + zset, {member: 1})
        client.hset(prefix.encode() + b"request:" + member, "s", "queued")
        client.hset(prefix + "hints", member, "mark")
    clock.step(2 * LONG)
    assert PR in ledger.take_due(limit=100, requeue_seconds=LONG, max_attempts=3).publish
    assert ledger.stale_hints(limit=100, requeue_seconds=1) == []
    assert ledger.stale_hints(limit=100, requeue_seconds=1) == []
    fulfillment = {item.ref for item in ledger.iter_records() if not item.corrupt}
    assert PR in fulfillment
    assert all(isinstance(item, RequestKey) for item in ledger.parked())
    assert ledger.oldest()[RequestKind.FULFILLMENT] is not None
    assert ledger.take_from_slot_queue(requeue_seconds=1) == []


def test_a_hint_that_is_stored_still_comes_after_one_that_is_none(
    ledger: RedisLedger, client: redis.Redis, account: str, clock: Clock
) -> None:
    hint = ChangeHint(RequestKind.USAGE)
    ledger.add_hint(hint, digest="x", remember_seconds=LONG, requeue_seconds=1)
    client.zadd(f"connect-worker:{{{account}}}:hints_due", {"nothing": 1})
    clock.step(2)
    assert ledger.stale_hints(limit=100, requeue_seconds=1) == [hint]


COUNTERS = (
    "counts",
    "outcomes",
    "polls",
    "paused",
    "metrics",
    "outcomes:{day}",
    "completed:{hour}",
)


ODD_COUNTERS: Any = {
    "": "",
    "fulfillment": "noon {",
    "tier-config": '1700000000000 {"seconds": null}',
    "fulfillment:queued:": "many",
    "fulfillment:happy:": "1",
    "order:queued:PRD-1": "1",
    "fulfillment:12345": "x",
}


@pytest.mark.parametrize("name", COUNTERS)
def test_a_counter_that_is_none_hides_no_other(
    ledger: RedisLedger, client: redis.Redis, account: str, clock: Clock, name: str
) -> None:
    ledger.complete(posting(ledger), "approved", keep_seconds=LONG)
    ledger.record_poll(RequestKind.USAGE, PollReport())
    ledger.pause("usage")
    day, hour = int(clock.time // 86_400), int(clock.time // 3600)
    counter = f"connect-worker:{{{account}}}:{name.format(day=day, hour=hour)}"
    client.hset(counter, mapping=ODD_COUNTERS)
    assert ledger.counts()[RequestKind.FULFILLMENT][State.COMPLETED] == 1
    assert ledger.outcomes()[RequestKind.FULFILLMENT]["approved"] == 1
    assert ledger.outcomes_today()[RequestKind.FULFILLMENT]["approved"] == 1
    assert ledger.completed_by_hour(1)[0].completed[RequestKind.FULFILLMENT].total == 1
    assert list(ledger.polls()) == [RequestKind.USAGE]
    assert {"usage", *(ODD_COUNTERS if name == "paused" else ())} == set(ledger.pauses())
    assert ledger.metrics()


def test_a_breaker_that_is_none_is_closed(
    ledger: RedisLedger, client: redis.Redis, account: str
) -> None:
    client.hset(
        f"connect-worker:{{{account}}}:breaker", mapping={"open_until": "soon", "failures": "?"}
    )
    assert ledger.breaker().open_until == 0
    running(ledger)


def test_a_key_of_the_account_with_a_wrong_type_is_named_with_what_to_do(
    ledger: RedisLedger, client: redis.Redis, account: str
) -> None:
    client.set(f"connect-worker:{{{account}}}:due", "no set")
    with pytest.raises(LedgerUnavailable, match="wrong type: find out what wrote it"):
        register(ledger)

"""What only the ledger in Redis promises: keys, size, and clear words when Redis fails."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis import exceptions as redis_errors

from connect_worker.devtools.embedded_redis import embedded_redis
from connect_worker.domain.states import Claim, PollReport, RequestKey, RequestKind, State
from connect_worker.exceptions import LedgerUnavailable
from connect_worker.ledger.redis import RedisLedger, connect
from connect_worker.ledger.scripts import NAMES, remedy, source
from tests.support.ledger_factories import (
    LONG,
    OTHER,
    PR,
    TCR,
    assert_consistent,
    claim_of,
    posting,
    record_of,
    register,
    running,
    take_due,
)
from tests.support.page_blocks import ROOT
from tests.support.redis_server import running_server, tell
from tests.support.silent_relay import silent_relay


@pytest.fixture
def own_url() -> Iterator[str]:
    """Yield the URL of a server that the test may spoil."""
    with running_server() as url:
        yield url


@pytest.fixture
def own_client(own_url: str) -> Iterator[redis.Redis]:
    with connect(own_url, timeout_seconds=10) as client:
        yield client


def test_all_keys_of_an_account_are_in_one_cluster_slot(
    redis_ledger: RedisLedger, client: redis.Redis, account: str
) -> None:
    ledger = redis_ledger
    ledger.park(running(ledger, OTHER), "broken")
    ledger.complete(posting(ledger), "approved", keep_seconds=LONG)
    register(ledger, TCR, product="PRD-000-000-000")
    ledger.trip_breaker(seconds=9, reason="429", failed=False)
    ledger.lock("sweep", owner="a", seconds=LONG)
    ledger.record_poll(RequestKind.USAGE, PollReport())
    keys = {str(key) for key in client.scan_iter(match=f"connect-worker:*{account}*", count=1000)}
    prefix = f"connect-worker:{{{account}}}:"
    today = f"outcomes:{int(ledger.now() // 86_400)}"
    names = ["due", "parked", "counts", "outcomes", "breaker", "lock:sweep", today]
    names += ["clock", "polls", "unfinished:tier-config", "metrics", "products"]
    names.append(f"completed:{int(ledger.now() // 3600)}")
    names += [f"request:{ref}" for ref in (PR, OTHER, TCR)]
    assert keys == {prefix + name for name in names}


def test_accounts_do_not_see_each_other(client: redis.Redis, account: str) -> None:
    item, two = (RedisLedger(client, account=account + suffix) for suffix in "ab")
    register(item)
    item.trip_breaker(seconds=60, reason="429", failed=False)
    assert two.get_record(PR) is None
    assert register(two) == [PR]
    assert claim_of(two).fence == 1


@pytest.mark.parametrize("account", ["", "a}b", "{a"])
def test_an_account_that_would_break_the_hash_tag_is_refused(
    client: redis.Redis, account: str
) -> None:
    with pytest.raises(ValueError, match="account"):
        RedisLedger(client, account=account)


def test_a_client_that_answers_bytes_is_refused(redis_url: str) -> None:
    with (
        redis.Redis.from_url(redis_url) as client,
        pytest.raises(ValueError, match="decode_responses"),
    ):
        RedisLedger(client, account="a")


def record_bytes(client: redis.Redis) -> int:
    """What docs/guarantees.md says of a request that has ended, for the server it is asked of."""
    info = client.info("server")
    if int(info.get("valkey_version", "0").partition(".")[0]) >= 9:
        # Where the server's own seed puts too many fields into one bucket, it adds one.
        return 1024 + 2 * 64
    # Before Valkey 8.1 each field of a hash is an entry with two strings of its own, as in Redis.
    return 1408


def test_the_record_of_a_request_takes_no_more_memory_than_documented(
    redis_ledger: RedisLedger, client: redis.Redis, account: str
) -> None:
    register(redis_ledger, product="PRD-000-000-000")
    claim = claim_of(redis_ledger, owner="celery@worker-7:0123456789abcdef")
    decision = {
        "type": "approve", "template_id": "TL-000-000-000",
        "params": [{"id": "tenant_id", "value": "0123456789abcdef"}],
        "message": "Activated using template TL-000-000-000.",
    }  # fmt: skip
    redis_ledger.decide(claim, decision)
    for step in ("params", "approve", "message"):
        redis_ledger.record_step(claim, step, {"status": 200})
    redis_ledger.complete(claim, "approved", keep_seconds=LONG)
    size = client.memory_usage(f"connect-worker:{{{account}}}:request:{PR}", samples=0)
    assert size is not None
    promised = record_bytes(client)
    without_jemalloc = 1.2 if client.info("memory")["mem_allocator"] == "libc" else 1.0
    assert size - len(json.dumps(decision)) <= promised * without_jemalloc
    assert f"{promised:,} bytes" in (ROOT / "docs" / "guarantees.md").read_text("utf-8")


def test_counts_due_and_parked_agree_with_the_records(
    redis_ledger: RedisLedger, client: redis.Redis, account: str
) -> None:
    ledger = redis_ledger
    refs = [RequestKey(RequestKind.USAGE_FILE, f"UF-2018-11-{number}") for number in range(8)]
    register(ledger, *refs, requeue_seconds=0)
    claims = [claim_of(ledger, ref, owner=ref.id) for ref in refs[:7]]
    ledger.decide(claims[1], "accept")
    ledger.reschedule(claims[2], State.RETRY, delay_seconds=0)
    ledger.park(claims[3], "broken")
    ledger.complete(claims[4], "closed", keep_seconds=LONG)
    ledger.park(claims[5], "broken")
    ledger.discard(refs[5], keep_seconds=LONG)
    ledger.supersede(claims[6], "accepted", keep_seconds=LONG)
    take_due(ledger)
    assert_consistent(client, account)
    found = {
        state: count for state, count in ledger.counts()[RequestKind.USAGE_FILE].items() if count
    }
    assert found == {
        State.QUEUED: 1, State.RUNNING: 1, State.POSTING: 1, State.RETRY: 1, State.PARKED: 1,
        State.COMPLETED: 1, State.DISCARDED: 1, State.SUPERSEDED: 1,
    }  # fmt: skip


def test_a_record_deleted_by_hand_is_dropped_by_the_sweep(
    redis_ledger: RedisLedger, client: redis.Redis, account: str
) -> None:
    register(redis_ledger, requeue_seconds=0)
    client.delete(f"connect-worker:{{{account}}}:request:{PR}")
    assert take_due(redis_ledger) == []
    assert client.zcard(f"connect-worker:{{{account}}}:due") == 0
    assert redis_ledger.oldest()[PR.kind] is None


def test_a_server_that_forgot_the_scripts_is_given_them_again(own_client: redis.Redis) -> None:
    ledger = RedisLedger(own_client, account="a")
    register(ledger)
    own_client.script_flush()
    assert claim_of(ledger).fence == 1


def test_threads_share_a_ledger_and_each_claim_is_given_once(redis_ledger: RedisLedger) -> None:
    refs = [
        RequestKey(RequestKind.FULFILLMENT, f"PR-0000-0000-{number:04d}") for number in range(40)
    ]
    register(redis_ledger, *refs)
    given: list[Claim] = []

    def work(name: str) -> None:
        for ref in refs:
            claim = redis_ledger.claim(ref, owner=name, lease_seconds=LONG)
            if isinstance(claim, Claim):
                given.append(claim)

    threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claim.ref.id for claim in given) == [ref.id for ref in refs]


def test_an_unreachable_redis_is_said_so(tmp_path: Path) -> None:
    ledger = RedisLedger.from_url(f"unix://{tmp_path}/none", account="a", timeout_seconds=0.1)
    with pytest.raises(LedgerUnavailable, match=r"can't be reached.*check that it runs"):
        ledger.now()
    with pytest.raises(LedgerUnavailable):
        ledger.claim(PR, owner="w", lease_seconds=1)
    with pytest.raises(LedgerUnavailable):
        ledger.get_record(PR)


def test_a_url_that_is_none_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="scheme"):
        RedisLedger.from_url("localhost", account="a")


def test_a_redis_that_does_not_answer_in_time_is_said_so(own_client: redis.Redis) -> None:
    blocker = connect("unix://" + own_client.get_connection_kwargs()["path"])
    with blocker, connect_patiently(own_client) as client:
        ledger = RedisLedger(client, account="a")
        tell(blocker, "CLIENT", "PAUSE", "5000", "ALL")
        with pytest.raises(LedgerUnavailable, match="did not answer in time"):
            ledger.now()


def connect_patiently(client: redis.Redis) -> redis.Redis:
    return connect("unix://" + client.get_connection_kwargs()["path"], timeout_seconds=0.05)


class CountedConnection(redis.Connection):
    """Counts how often any connection was opened."""

    opened = 0

    def _connect(self) -> Any:
        CountedConnection.opened += 1
        return super()._connect()  # type: ignore[no-untyped-call]  # redis-py has no types for it


def test_what_timed_out_in_every_try_is_tried_once_until_redis_answers() -> None:
    """Each try opens one connection, where redis-py would open several."""
    with (
        embedded_redis() as real,
        silent_relay(real) as (url, relay),
        connect(url, timeout_seconds=0.3) as client,
    ):
        client.connection_pool.connection_class = CountedConnection

        def tries() -> int:
            before = CountedConnection.opened
            with pytest.raises(redis.TimeoutError):
                client.get("key")
            return CountedConnection.opened - before

        for _ in range(2):
            assert client.ping()
            relay.silence(new_ones_too=True)
            # The first of four tries is over the connection that is there.
            assert [tries() for _ in range(3)] == [3, 1, 1]
            relay.restore()


def test_a_full_redis_is_said_so_and_nothing_is_written(own_client: redis.Redis) -> None:
    ledger = RedisLedger(own_client, account="a")
    register(ledger)
    before = record_of(ledger)
    own_client.config_set("maxmemory-policy", "noeviction")
    own_client.config_set("maxmemory", "1")
    with pytest.raises(LedgerUnavailable, match=r"full.*maxmemory"):
        claim_of(ledger)
    with pytest.raises(LedgerUnavailable):
        register(ledger, OTHER)
    own_client.config_set("maxmemory", "0")
    assert record_of(ledger) == before
    assert_consistent(own_client, "a")


def test_a_read_only_replica_is_said_so(own_client: redis.Redis) -> None:
    tell(own_client, "REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(LedgerUnavailable, match=r"replica.*primary"):
        register(RedisLedger(own_client, account="a"))


def test_a_forbidden_command_is_said_so(own_client: redis.Redis) -> None:
    tell(own_client, "ACL", "SETUSER", "default", "-eval", "-evalsha")
    with pytest.raises(LedgerUnavailable, match="redis-acl"):
        register(RedisLedger(own_client, account="a"))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (redis_errors.BusyLoadingError("Redis is loading the dataset in memory"), "loading"),
        (redis_errors.ResponseError("MISCONF Errors writing to the AOF file"), "disk"),
        (redis_errors.ResponseError("NOREPLICAS Not enough good replicas to write"), "replicas"),
        (redis_errors.ResponseError("BUSY Redis is busy running a script"), "blocks"),
        (redis_errors.ResponseError("Error running script: -OOM command not allowed"), "full"),
        (redis_errors.AuthenticationError("invalid username-password pair"), "password"),
        (redis_errors.ClusterDownError("CLUSTERDOWN Hash slot not served"), "cluster"),
        (redis_errors.MovedError("3999 127.0.0.1:6381"), "Redis refused"),
        (redis_errors.ResponseError("ERR unknown command"), "6.2"),
    ],
)
def test_every_error_of_redis_has_a_remedy(error: redis_errors.RedisError, words: str) -> None:
    assert words in remedy(error)


def test_names_can_not_leave_their_key(redis_ledger: RedisLedger, client: redis.Redis) -> None:
    odd = RequestKey(RequestKind.FULFILLMENT, "PR 1:{x}\n*é")
    register(redis_ledger, odd)
    claim = claim_of(redis_ledger, odd)
    redis_ledger.record_step(claim, "s", "a")
    assert record_of(redis_ledger, odd).steps == {"s": "a"}
    redis_ledger.park(claim, "broken")
    assert redis_ledger.parked(RequestKind.FULFILLMENT) == [odd]


@pytest.mark.parametrize("name", NAMES)
def test_every_constant_of_a_script_has_a_value(name: str) -> None:
    code = re.sub(r"--.*|'[^']*'", "", source(name))
    known = {"KEYS", "ARGV", "STATES", "LEASED", "FINAL"}
    assert set(re.findall(r"\b[A-Z][A-Z_]+\b", code)) <= known


@pytest.mark.parametrize("name", NAMES)
def test_each_command_of_a_script_is_named_where_the_acl_rules_look(name: str) -> None:
    text = source(name)
    assert text.count("redis.call") + text.count("redis.pcall") == len(
        re.findall(r"\bredis\.p?call\('\w+'", text)
    )


@pytest.mark.parametrize("name", NAMES)
def test_no_script_hides_a_name_of_the_prelude(name: str) -> None:
    """A local variable of the same name would take its place without an error."""
    lines = source(name).splitlines()
    declared = Counter(
        declared.strip()
        for line in lines
        if (found := re.match(r"local (?:function )?([\w, ]+)", line))
        for declared in found[1].split(",")
    )
    assert [variable for variable, times in declared.items() if times > 1] == []

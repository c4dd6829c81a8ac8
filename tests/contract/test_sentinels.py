"""The client and the broker of a deployment whose URL names Sentinels; the servers are real."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from kombu import Connection
from kombu.simple import SimpleQueue

from connect_worker.domain.states import PendingRequest, RequestKey, RequestKind, State
from connect_worker.exceptions import LedgerUnavailable
from connect_worker.ledger.checks import check_broker, check_redis, name_server
from connect_worker.ledger.redis import RedisLedger, connect
from connect_worker.settings.model import Settings
from connect_worker.settings.urls import celery_broker
from tests.support.redis_process import running_server
from tests.support.sentinels import (
    SENTINEL_PASSWORD,
    SentinelSet,
    running_sentinels,
    until,
)

REF = RequestKey(RequestKind.FULFILLMENT, "PR-1")


@pytest.fixture(scope="module")
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelSet]:
    # A busy machine may answer late: only the tests decide when there is a failover.
    directory = tmp_path_factory.mktemp("sentinels")
    with running_sentinels(directory, down_after_ms=60_000) as sentinels:
        yield sentinels


def read(monkeypatch: pytest.MonkeyPatch, url: str, password: str = SENTINEL_PASSWORD) -> Settings:
    monkeypatch.setenv("CONNECT_REDIS_URL", url)
    monkeypatch.setenv("CONNECT_SENTINEL_PASSWORD", password)
    return Settings.from_env(dotenv=None)


def reason(settings: Settings) -> str:
    with connect(settings.redis_url) as client, pytest.raises(LedgerUnavailable) as caught:
        check_redis(client)
    return str(caught.value)


def test_ledger_and_broker_follow_a_failover(
    monkeypatch: pytest.MonkeyPatch, sentinels: SentinelSet
) -> None:
    settings = read(monkeypatch, sentinels.url)
    client = connect(settings.redis_url)
    ledger = RedisLedger(client, account="acct")
    old, new = sentinels.servers
    assert sentinels.primary_is(old)
    address = old.url.removeprefix("redis://").removesuffix("/0")
    assert f"{address} as the primary" in name_server(client)
    assert {finding.level for finding in check_redis(client)} == {"warn"}
    broker = celery_broker(settings.broker_url)
    with Connection(broker.url, transport_options=broker.transport_options) as connection:
        queue = connection.SimpleQueue("orders")
        put_and_get(queue)
        ledger.register([PendingRequest(REF)], seen_at=time.time(), requeue_seconds=60)
        assert client.connection_pool.connection_kwargs["db"] == 1

        sentinels.fail_over()
        until(lambda: sentinels.primary_is(new), "the replica is promoted")
        # A Sentinel does so as well, up to 10 seconds later; until then, writes to it are lost.
        sentinels.follow(old, new)

        # The same objects as before, with their connections to the old primary.
        ledger.pause("all", reason="a write")
        record = ledger.get_record(REF)
        assert record is not None
        assert record.state is State.QUEUED
        assert new.url.removeprefix("redis://").removesuffix("/0") in name_server(client)
        queue.close()
    with Connection(broker.url, transport_options=broker.transport_options) as connection:
        put_and_get(connection.SimpleQueue("orders"))
    client.close()


def put_and_get(queue: SimpleQueue) -> None:
    queue.put({"text": "wake up"})
    message = queue.get(timeout=10)
    message.ack()
    assert message.payload == {"text": "wake up"}


def test_a_sentinel_that_is_frozen_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, sentinels: SentinelSet
) -> None:
    sentinels.processes[0].send_signal(signal.SIGSTOP)
    try:
        started = time.monotonic()
        with connect(read(monkeypatch, sentinels.url).redis_url) as client:
            pool: Any = client.connection_pool
            assert client.ping()
        # One Sentinel has a third of the time; redis-py by itself would ask it four times.
        assert time.monotonic() - started < 5.0
        # The Sentinel that answered is asked first next time.
        ports = [item.get_connection_kwargs()["port"] for item in pool.sentinel_manager.sentinels]
        assert ports == [sentinels.ports[1], sentinels.ports[0], sentinels.ports[2]]
    finally:
        sentinels.processes[0].send_signal(signal.SIGCONT)


def test_an_error_says_what_the_sentinels_miss(
    monkeypatch: pytest.MonkeyPatch, sentinels: SentinelSet
) -> None:
    unknown = reason(read(monkeypatch, sentinels.url.replace("=orders", "=sales")))
    assert "master_name in the Redis URL" in unknown
    assert f"{sentinels.ports[0]} knows 'orders', no 'sales'" in unknown
    locked = reason(read(monkeypatch, sentinels.url, "wrong/password"))
    assert "CONNECT_SENTINEL_PASSWORD" in locked
    assert "wrong/password" not in locked


def test_what_is_no_primary_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sentinels: SentinelSet
) -> None:
    sentinel = redis.Redis("127.0.0.1", sentinels.ports[0], password=SENTINEL_PASSWORD)
    for findings in (check_redis(sentinel), check_broker(sentinel)):
        (found,) = findings
        assert (found.level, "?master_name=" in found.message) == ("refuse", True)
    sentinel.close()
    with running_server(tmp_path, cluster=True) as server, server.client() as client:
        for findings in (check_redis(client), check_broker(client)):
            (message,) = [item.message for item in findings if item.level == "refuse"]
            assert "a node of a Redis Cluster: use a Redis without cluster mode" in message
        plain = server.url.replace("redis://", "sentinel://") + "?master_name=orders"
        assert "no Sentinel names a primary" in reason(read(monkeypatch, plain))

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from connect_worker.exceptions import LedgerUnavailable
from connect_worker.ledger.checks import Finding, check_redis, check_version
from connect_worker.ledger.redis import connect
from tests.support.redis_server import running_server, tell


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_server() as url:
        yield url


@pytest.fixture
def client(server: str) -> Iterator[redis.Redis]:
    with connect(server) as client:
        tell(client, "REPLICAOF", "NO", "ONE")
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("appendonly", "yes")
        yield client


def levels(findings: list[Finding], word: str) -> list[str]:
    return [finding.level for finding in findings if word in finding.message]


def test_a_redis_as_it_should_be_has_no_findings(client: redis.Redis) -> None:
    assert check_redis(client) == []


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "volatile-lru"])
def test_a_redis_that_evicts_is_refused(client: redis.Redis, policy: str) -> None:
    client.config_set("maxmemory-policy", policy)
    findings = check_redis(client)
    assert levels(findings, policy) == ["refuse"]
    assert "noeviction" in findings[0].message


def test_a_redis_that_keeps_nothing_on_disk_is_warned_of(client: redis.Redis) -> None:
    client.config_set("appendonly", "no")
    client.config_set("save", "")
    assert levels(check_redis(client), "appendonly") == ["warn"]


def test_snapshots_are_persistence_too(client: redis.Redis) -> None:
    client.config_set("appendonly", "no")
    client.config_set("save", "3600 1")
    assert check_redis(client) == []


@pytest.mark.parametrize("difference", [-6, 6])
def test_a_clock_that_differs_is_warned_of(client: redis.Redis, difference: int) -> None:
    findings = check_redis(client, clock=lambda: time.time() + difference)
    assert levels(findings, "clock") == ["warn"]
    assert f"{difference:+d} s" in findings[0].message


def test_a_small_difference_of_clocks_is_no_finding(client: redis.Redis) -> None:
    assert check_redis(client, clock=lambda: time.time() + 4) == []


def test_a_replica_is_refused(client: redis.Redis) -> None:
    tell(client, "REPLICAOF", "127.0.0.1", "1")
    assert levels(check_redis(client), "replica") == ["refuse"]


@pytest.mark.parametrize("version", ["6.0.16", "5.0.14", "2.8", ""])
def test_an_old_redis_is_refused(version: str) -> None:
    finding = check_version({"redis_version": version})
    assert finding is not None
    assert finding.level == "refuse"


@pytest.mark.parametrize("version", ["6.2.0", "7.2.4", "8.0-rc1", "10.0"])
def test_a_newer_redis_is_not(version: str) -> None:
    assert check_version({"redis_version": version}) is None


def test_hidden_settings_are_a_warning_and_eviction_is_still_seen(client: redis.Redis) -> None:
    tell(client, "ACL", "SETUSER", "managed", "on", ">pw", "~*", "+@all", "-config")
    path = client.get_connection_kwargs()["path"]
    with connect(f"unix://managed:pw@{path}") as managed:
        assert [finding.level for finding in check_redis(managed)] == ["warn"]
        client.config_set("maxmemory-policy", "allkeys-lru")
        assert levels(check_redis(managed), "allkeys-lru") == ["refuse"]


def test_an_unreachable_redis_is_unavailable(tmp_path: Path) -> None:
    with connect(f"unix://{tmp_path}/none") as client, pytest.raises(LedgerUnavailable):
        check_redis(client)

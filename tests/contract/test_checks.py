from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from connect_worker.exceptions import LedgerUnavailable
from connect_worker.ledger.checks import (
    Finding,
    check_deployment,
    check_redis,
    check_version,
    replace_deployment,
)
from connect_worker.ledger.redis import connect
from connect_worker.settings.accounts import DEPLOYMENT, DeploymentIdentity
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
        client.flushall()
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


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (("CONFIG", "SET", "maxmemory-policy", "allkeys-lru"), "set it to noeviction"),
        (("REPLICAOF", "127.0.0.1", "1"), "point the Redis URL at its primary"),
    ],
)
def test_a_checked_client_is_refused_by_each_new_connection(
    client: redis.Redis, server: str, harm: tuple[str, ...], words: str
) -> None:
    with connect(server, retries=0, is_checked=True) as checked:
        assert checked.ping()
        tell(client, *harm)
        # Nothing is asked on a connection that stays.
        assert checked.ping()
        checked.connection_pool.disconnect()
        with pytest.raises(redis.ResponseError) as raised:
            checked.ping()
    assert words in str(raised.value)


def identity(*, prefix: str = "", **accounts: str) -> DeploymentIdentity:
    return DeploymentIdentity(prefix, accounts, frozenset(accounts))


def test_names_belong_to_the_first_deployment_that_asks(client: redis.Redis) -> None:
    assert check_deployment(client, identity(eu="one"), store=False) == []
    assert check_deployment(client, identity(eu="one")) == []
    assert check_deployment(client, identity(eu="one")) == []

    (finding,) = check_deployment(client, identity(eu="other"))
    assert finding.level == "foreign"
    assert "Its queues of account 'eu' are for one, and here they would be for other" in (
        finding.message
    )
    assert check_deployment(client, identity(prefix="two:", eu="other")) == []
    assert client.hgetall(f"two:{DEPLOYMENT}") == {"eu": "other"}


def test_an_account_may_be_added_and_its_key_be_missing(client: redis.Redis) -> None:
    check_deployment(client, identity(eu="one"))
    assert check_deployment(client, identity(eu="one", us="two")) == []
    beat = DeploymentIdentity("", {}, frozenset({"eu", "us"}))
    assert check_deployment(client, beat) == []
    assert client.hgetall(DEPLOYMENT) == {"eu": "one", "us": "two"}


def test_accounts_of_somebody_else_are_warned_of(client: redis.Redis) -> None:
    check_deployment(client, identity(eu="one"))
    (finding,) = check_deployment(client, identity(us="two"))
    assert (finding.level, "does not name, 'eu': " in finding.message) == ("warn", True)
    replace_deployment(client, identity(us="two"))
    assert check_deployment(client, identity(us="two")) == []


def test_a_redis_that_is_full_keeps_whose_the_names_are(client: redis.Redis) -> None:
    check_deployment(client, identity(eu="one", us="two"))
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(LedgerUnavailable, match="nothing was written"):
            replace_deployment(client, identity(eu="other"))
        assert client.hgetall(DEPLOYMENT) == {"eu": "one", "us": "two"}
    finally:
        client.config_set("maxmemory", 0)
    replace_deployment(client, identity(eu="other"))
    assert client.hgetall(DEPLOYMENT) == {"eu": "other"}


def test_a_value_that_somebody_wrote_is_shortened(client: redis.Redis) -> None:
    client.hset(DEPLOYMENT, "eu", "x" * 100_000)
    (finding,) = check_deployment(client, identity(eu="one"))
    assert len(finding.message) < 1000


def test_a_redis_that_refuses_to_say_whose_it_is_is_no_reason_to_stop(client: redis.Redis) -> None:
    client.set(DEPLOYMENT, "no hash")
    (finding,) = check_deployment(client, identity(eu="one"))
    assert (finding.level, "could not be checked" in finding.message) == ("warn", True)


def test_a_full_redis_is_asked_only_for_what_it_has(client: redis.Redis) -> None:
    check_deployment(client, identity(eu="one"))
    client.config_set("maxmemory", 1)
    try:
        assert check_deployment(client, identity(eu="one")) == []
        (finding,) = check_deployment(client, identity(eu="one", us="two"))
    finally:
        client.config_set("maxmemory", 0)
    assert finding.level == "warn"
    assert "Redis is full" in finding.message

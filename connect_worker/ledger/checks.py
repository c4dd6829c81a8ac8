"""Checks, made once at start, whether a Redis is safe for the ledger or for messages."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, cast

import redis
from redis._parsers.helpers import parse_info
from redis.sentinel import SentinelConnectionPool
from redis.utils import str_if_bytes

from connect_worker.exceptions import LedgerUnavailable
from connect_worker.ledger.scripts import CLUSTER, UnusableRedisError, translate_redis_errors
from connect_worker.settings.accounts import DEPLOYMENT, DeploymentIdentity

MIN_VERSION = (6, 2)
MAX_CLOCK_DIFFERENCE_SECONDS = 5.0
#: Characters of a value that any deployment may have written.
MAX_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a Redis."""

    #: `refuse`: the ledger would lose cycles, do not start. `foreign`: the same for messages, which
    #: another deployment would take. `warn`: report it and go on.
    level: Literal["refuse", "foreign", "warn"]
    #: What is wrong, and the remedy.
    message: str


def check_redis(client: redis.Redis, *, clock: Callable[[], float] = time.time) -> list[Finding]:
    """Return what is wrong with a Redis that holds a ledger; empty when nothing is.

    Raises:
        LedgerUnavailable: Redis can't be reached.
    """
    with translate_redis_errors():
        info = cast("Mapping[str, object]", client.info())
        if finding := _mode(info):
            return [finding]
        seconds, microseconds = client.time()
    findings = [check_version(info), _role(info)]
    try:
        settings = _settings(client)
    except redis.ResponseError:
        findings.append(_eviction(str(info.get("maxmemory_policy", ""))))
        findings.append(_hidden_settings())
    else:
        findings.append(_eviction(settings.get("maxmemory-policy", "")))
        findings.append(_persistence(settings))
    findings.append(_clock(clock() - (seconds + microseconds / 1e6)))
    return [finding for finding in findings if finding is not None]


def server_info(client: redis.Redis) -> Mapping[str, object]:
    """Return what the server says about itself.

    Raises:
        LedgerUnavailable: Redis can't be reached.
    """
    with translate_redis_errors():
        return cast("Mapping[str, object]", client.info("server"))


def name_server(client: redis.Redis) -> str:
    """Return which server it is, such as `Valkey 9.0.1, as Redis 7.2.4`; a primary's address, too.

    Raises:
        LedgerUnavailable: Redis can't be reached.
    """
    info = server_info(client)
    redis_version = f"Redis {info.get('redis_version', 'of unknown version')}"
    if "valkey_version" in info:
        redis_version = f"Valkey {info['valkey_version']}, as {redis_version}"
    pool = client.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        host, port = pool.master_address
        return f"{redis_version}; the Sentinels name {host}:{port} as the primary"
    return redis_version


def check_broker(client: redis.Redis) -> list[Finding]:
    """Return what is wrong with a Redis that holds the messages and not the ledger.

    Only a Redis Cluster and a Sentinel are refused: a lost message merely delays its request.

    Raises:
        LedgerUnavailable: Redis can't be reached.
    """
    with translate_redis_errors():
        info = cast("Mapping[str, object]", client.info())
    if finding := _mode(info):
        return [finding]
    policy = info.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return []
    return [
        Finding(
            "warn",
            f"the broker's maxmemory-policy is {policy}, it may drop messages, and their requests "
            "wait until a sweep sends new ones: set it to noeviction",
        )
    ]


def require_usable(connection: redis.Connection) -> None:
    """Prepare a new connection; redis-py calls it in place of its own `on_connect`.

    Redis may have come back with other settings, or another one may have its name.

    Raises:
        UnusableRedisError: The ledger would lose cycles there.
    """
    # redis-py has no types for these three.
    prepare: Any = connection
    prepare.on_connect()
    prepare.send_command("INFO", check_health=False)
    info: Mapping[str, object] = parse_info(connection.read_response())  # type: ignore[no-untyped-call]
    policy = str(info.get("maxmemory_policy", ""))
    for finding in (_mode(info), check_version(info), _eviction(policy)):
        if finding and finding.level == "refuse":
            raise UnusableRedisError(finding.message)
    if finding := _role(info):
        # As after a failover: the client connects again, and the name may lead to the primary.
        raise redis.ReadOnlyError(finding.message)


def check_deployment(
    client: redis.Redis, identity: DeploymentIdentity, *, store: bool = True
) -> list[Finding]:
    """Return whether another deployment uses the same names in this Redis.

    The check guards against a mistake. So a Redis that refuses it, because it is full or gives its
    user few rights, causes a warning and nothing more.

    Args:
        client: Of the ledger or of the broker; what it decodes does not matter.
        identity: Of the deployment that asks.
        store: Whether names that are free become this deployment's.

    Raises:
        LedgerUnavailable: Redis can't be reached.
    """
    key, accounts = f"{identity.prefix}{DEPLOYMENT}", identity.accounts
    try:
        with translate_redis_errors():
            stored = _stored(client, key)
            # A Redis that is full takes no write, and needs none once this is stored.
            if store and (missing := accounts.keys() - stored.keys()):
                for name in missing:
                    client.hsetnx(key, name, accounts[name])
                stored = _stored(client, key)
    except LedgerUnavailable as error:
        if isinstance(error.__cause__, redis.ResponseError):
            return [unchecked(error)]
        raise
    for name in accounts.keys() & stored.keys():
        if stored[name] != accounts[name]:
            return [foreign(identity, name, stored[name])]
    if others := sorted(stored.keys() - identity.names):
        listed = ", ".join(repr(name[:MAX_SHOWN]) for name in others[:3])
        return [
            Finding(
                "warn",
                "this server has queues of accounts that CONNECT_ACCOUNTS does not name, "
                f"{listed}: if they are of another deployment, give it a CONNECT_PREFIX of its "
                "own; if not, run connect-worker doctor --take-over",
            )
        ]
    return []


def replace_deployment(client: redis.Redis, identity: DeploymentIdentity) -> None:
    """Store that the names are this deployment's, in place of any other.

    Raises:
        LedgerUnavailable: Redis can't be reached, or refuses the write.
    """
    key, accounts = f"{identity.prefix}{DEPLOYMENT}", identity.accounts
    with translate_redis_errors():
        # A Redis that is full refuses this, and takes a deletion: then nothing has changed.
        client.hset(key, items=[*chain.from_iterable(accounts.items())])
        if others := _stored(client, key).keys() - accounts.keys():
            client.hdel(key, *others)


def foreign(identity: DeploymentIdentity, name: str, other: str) -> Finding:
    """Say that the queues and keys of an account are another deployment's, and what to do."""
    whose = f" of account {name!r}" if name else ""
    prefix = f"the prefix {identity.prefix}" if identity.prefix else "no prefix"
    return Finding(
        "foreign",
        f"another deployment uses this server with {prefix}. Its queues{whose} are for "
        f"{other[:MAX_SHOWN]}, "
        f"and here they would be for {identity.accounts[name]}: give one of the two a "
        "CONNECT_PREFIX of its own; if this one replaces the other, run connect-worker doctor "
        "--take-over",
    )


def unchecked(error: object) -> Finding:
    """Say that it is not known whether another deployment uses the same names."""
    return Finding(
        "warn", f"whether another deployment uses the same queues could not be checked: {error}"
    )


def _stored(client: redis.Redis, key: str) -> dict[str, str]:
    pairs = cast("Mapping[str | bytes, str | bytes]", client.hgetall(key))
    return {str_if_bytes(name): str_if_bytes(value) for name, value in pairs.items()}


def _settings(client: redis.Redis) -> Mapping[str, str]:
    """Ask for the settings; ResponseError where they are hidden, as managed services do."""
    merged: dict[str, str] = {}
    try:
        for name in ("maxmemory-policy", "appendonly", "save"):
            merged |= cast("dict[str, str]", client.config_get(name))
    except redis.ResponseError:
        raise
    except redis.RedisError:
        with translate_redis_errors():
            raise
    return merged


def version_of(info: Mapping[str, object]) -> tuple[int, ...]:
    """Return the first two numbers of the server's version; none if it is not known."""
    # Valkey says 7.2.4 here, the Redis it is compatible with.
    return tuple(int(part) for part in re.findall(r"\d+", str(info.get("redis_version", "")))[:2])


def check_version(info: Mapping[str, object]) -> Finding | None:
    """Refuse a server that lacks commands of the scripts."""
    if version_of(info) >= MIN_VERSION:
        return None
    version = info.get("redis_version")
    return Finding(
        "refuse", f"Redis {version or 'of unknown version'} is too old: use 6.2 or later"
    )


def _role(info: Mapping[str, object]) -> Finding | None:
    if info.get("role") != "slave":
        return None
    # A replica may be writable; what is written to it is lost with the next synchronization.
    return Finding("refuse", "this Redis is a replica: point the Redis URL at its primary")


def _mode(info: Mapping[str, object]) -> Finding | None:
    """Refuse what has no data, and what spreads the keys of an account or worker over servers."""
    # Valkey's word, and Redis's.
    if "sentinel" in (info.get("server_mode"), info.get("redis_mode")):
        return Finding(
            "refuse",
            "this is a Sentinel, not a Redis: begin its URL with sentinel:// and end it with "
            "?master_name=…, the name that the Sentinels have for the primary",
        )
    return Finding("refuse", CLUSTER) if info.get("cluster_enabled") == 1 else None


def _eviction(policy: str) -> Finding | None:
    if policy == "noeviction":
        return None
    if not policy:
        return Finding("warn", "maxmemory-policy is unknown: make sure that it is noeviction")
    return Finding(
        "refuse",
        f"maxmemory-policy is {policy}, Redis may evict live cycles: set it to noeviction",
    )


def _persistence(settings: Mapping[str, str]) -> Finding | None:
    if settings.get("appendonly") == "yes" or settings.get("save"):
        return None
    return Finding(
        "warn",
        "Redis keeps nothing on disk, a restart forgets decisions: set appendonly to yes",
    )


def _hidden_settings() -> Finding:
    return Finding(
        "warn",
        "Redis does not show its settings: make sure that it persists (appendonly yes)",
    )


def _clock(difference_seconds: float) -> Finding | None:
    if abs(difference_seconds) <= MAX_CLOCK_DIFFERENCE_SECONDS:
        return None
    return Finding(
        "warn",
        f"this machine's clock differs from Redis's by {difference_seconds:+.0f} s: "
        "synchronize both (NTP)",
    )

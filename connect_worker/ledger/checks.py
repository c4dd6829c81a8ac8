"""Checks, made once at start, whether a Redis is safe for the ledger or for messages."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, cast

import redis
from redis.sentinel import SentinelConnectionPool

from connect_worker.ledger.scripts import CLUSTER, translate_redis_errors

MIN_VERSION = (6, 2)
MAX_CLOCK_DIFFERENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a Redis."""

    #: `refuse`: the ledger would lose cycles, do not start. `warn`: report it and go on.
    level: Literal["refuse", "warn"]
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

"""The ACL rules of the Redis user of a deployment: what its processes use, and nothing else.

`connect-worker redis-acl` prints them. The tests' processes run as this user, on each supported
server: a command or key that is missing here fails them (`tests/support/redis_server.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from connect_worker.domain.states import RequestKind
from connect_worker.ledger.redis import connect
from connect_worker.ledger.scripts import NAMES, read_lua
from connect_worker.settings.model import Settings

#: The user's name, if the Redis URL has none.
USER: Final = "connect-worker"

#: Of each connection: health checks and how a script is called.
_CONNECTION = frozenset({"ping", "evalsha", "script|load"})
#: What the ledger reads without a script, and what `checks.py` asks.
_LEDGER = frozenset(
    {"config|get", "hget", "hgetall", "info", "scan", "set", "time", "zcard", "zrange", "zscan"}
)
#: kombu's transport with the scripts in it, Celery's remote control and events, and Flower.
_BROKER = frozenset(
    {"brpop", "del", "exists", "get", "hdel", "hget", "hset", "info", "llen", "lpush", "pexpire"}
    | {"rpop", "rpush", "sadd", "set", "smembers", "srem", "time", "zadd", "zrange", "zrem"}
    | {"exec", "multi", "script|exists", "unwatch", "watch"}
    | {"psubscribe", "publish", "punsubscribe", "subscribe", "unsubscribe"}
)
_BROKER_KEYS = ("_kombu.binding*", "unacked*", "*.celery.pidbox*", "celeryev.*")
_BROKER_CHANNELS = (".celery.pidbox", ".celeryev/*", ".celeryev/worker.*")


def user_rules(
    settings: Settings,
    *,
    version: tuple[int, ...],
    queues: Iterable[str] = (),
    password: str = "PASSWORD",  # noqa: S107 - a placeholder
) -> list[str]:
    """Return the rules as `ACL SETUSER` takes them after the name; they replace earlier ones.

    Args:
        settings: They name the ledger and the broker.
        version: Of the server, as its `INFO` has it in `redis_version`.
        queues: The queues that the automations of all accounts have of their own.
        password: The user's password.
    """
    databases = {_database(settings.redis_url)}
    commands = {*_CONNECTION, *_LEDGER, *_script_commands(), *_client_commands(version)}
    channels: list[str] = []
    if _has_redis_broker(settings):
        database = _database(settings.broker_url.partition(";")[0])
        databases.add(database)
        commands |= _BROKER
        start = f"&{settings.key_prefix}/{database}"
        channels = [start + channel for channel in _BROKER_CHANNELS]
    if databases != {0}:
        commands.add("select")
    return [
        *("reset", "on", f">{password}"),
        *(f"~{pattern}" for pattern in key_patterns(settings, queues)),
        *("resetchannels", *channels),
        *(f"+{command}" for command in sorted(commands)),
    ]


def key_patterns(settings: Settings, queues: Iterable[str]) -> Iterator[str]:
    """Yield the patterns of all keys: those with the prefix, or those of ledger and broker."""
    if settings.prefix:
        yield f"{settings.key_prefix}*"
        return
    yield "connect-worker:*"
    if not _has_redis_broker(settings):
        return
    # Behind the name of a queue stand an account and a priority.
    for queue in sorted({"control", *(kind.value for kind in RequestKind), *queues}):
        yield f"{queue}*"
    yield from _BROKER_KEYS


def _has_redis_broker(settings: Settings) -> bool:
    return not settings.broker_url.startswith(("amqp", "pyamqp", "memory"))


def _script_commands() -> set[str]:
    """Return the commands in the ledger's scripts."""
    texts = "".join(map(read_lua, (*NAMES, "_prelude", "_clock")))
    return {name.lower() for name in re.findall(r"\bredis\.p?call\('(\w+)'", texts)}


def _client_commands(version: tuple[int, ...]) -> set[str]:
    """Return what redis-py sends for each connection, and goes on without.

    Servers refuse a rule with a subcommand that they do not have, and need none: they refuse the
    subcommand before they look at the rules. Redis 6.2 does neither.
    """
    if version < (7, 0):
        return {"client|maint_notifications", "client|setinfo"}
    return {"client|setinfo"} if version >= (7, 2) else set()


def _database(url: str) -> int:
    # kombu's form of a socket and its database.
    url = url.replace("redis+socket://", "unix://").replace("virtual_host=", "db=")
    with connect(url) as client:
        return int(client.get_connection_kwargs().get("db") or 0)

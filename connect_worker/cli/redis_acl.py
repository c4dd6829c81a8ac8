"""``connect-worker redis-acl``: the rules of the Redis user, for what is used and nothing else.

The tests' processes run as this user, on each supported server: a command or key that is missing
here fails them (`tests/support/redis_server.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

import click

from connect_worker.cli.context import CommandError, Exit, example
from connect_worker.domain.states import RequestKind
from connect_worker.exceptions import LedgerUnavailable
from connect_worker.ledger.checks import check_version, server_info, version_of
from connect_worker.ledger.redis import OPERATOR_SECONDS, connect
from connect_worker.ledger.scripts import NAMES, read_lua
from connect_worker.settings.accounts import accounts_of, settings_of
from connect_worker.settings.model import Settings

#: The user's name, if the Redis URL has none.
USER: Final = "connect-worker"

#: A server's version, as `--server-version` takes it.
_VERSION: Final = re.compile(r"[0-9]+(\.[0-9]+)+")

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


def _require_version(_context: click.Context, _option: click.Parameter, version: str) -> str:
    if version and not _VERSION.fullmatch(version):
        raise click.BadParameter(
            f"{version!r} is no version: give at least two numbers of it, such as 7.4"
        )
    return version


@click.command(
    "redis-acl",
    short_help="Print the ACL rules of the Redis user.",
    epilog=example(
        "connect-worker redis-acl --server-version 7.4 >> users.acl",
        "connect-worker redis-acl --setuser | sed s/PASSWORD/…/ | redis-cli --user admin --askpass",
    ),
)
@click.option(
    "--server-version",
    default="",
    metavar="VERSION",
    callback=_require_version,
    help="The version of Redis or Valkey, such as 7.4; without it the server is asked.",
)
@click.option(
    "--setuser", is_flag=True, help="Print a command for redis-cli, not a line of a file."
)
def redis_acl(*, server_version: str, setuser: bool) -> None:
    """Print the ACL rules of the Redis user that workers, beat, Flower and the commands need.

    The line is for Redis's ACL file or redis.conf; put a password in the place of PASSWORD. The
    user's name, the database, the broker and the queues are those of the settings
    (CONNECT_REDIS_URL, CONNECT_BROKER_URL, CONNECT_QUEUES, CONNECT_PREFIX).
    """
    settings = Settings.from_env()
    queues = [queue for name in accounts_of(settings) for queue in settings_of(name).queues]
    try:
        with connect(settings.redis_url, timeout_seconds=OPERATOR_SECONDS, retries=0) as client:
            user = client.get_connection_kwargs().get("username") or USER
            info = {"redis_version": server_version} if server_version else server_info(client)
    except LedgerUnavailable as error:
        raise CommandError(
            f"The server's version is unknown, name it with --server-version: {error}",
            Exit.NO_LEDGER,
        ) from error
    if finding := check_version(info):
        raise CommandError(finding.message, Exit.USAGE)
    rules = user_rules(settings, version=version_of(info), queues=queues)
    click.echo(" ".join(["ACL SETUSER" if setuser else "user", user, *rules]))

"""The Redis user that docs/security.md gives: a whole run needs no more, and it can do no more."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import redis

from connect_worker.devtools.embedded_redis import embedded_redis
from tests.support.runs import run_all_parts
from tests.support.stack import ROOT, Stack

pytestmark = [pytest.mark.acceptance]

PASSWORD = "a-password-of-the-tests"
#: Needed now and then: after a restart of Redis, a lost message, a limit, a repeated cycle.
RARE = frozenset(
    {"persist", "hexists", "zpopmin", "zcard", "zremrangebyscore", "zrevrangebyscore"}
    | {"rpush", "rpop", "watch", "unwatch", "script|exists", "smembers", "hgetall"}
    | {"subscribe", "unsubscribe", "psubscribe", "punsubscribe"}
)


def rules(server: redis.Redis) -> list[str]:
    manual = (ROOT / "docs" / "security.md").read_text()
    [line] = re.findall(r"```acl\n(.+)\n```", manual)
    words = str(line).replace("PASSWORD", PASSWORD).split()
    if version(server) < (7, 0):
        words.remove("-client|tracking")
    return words


def version(server: redis.Redis) -> tuple[int, ...]:
    """The Redis that the server is, or is compatible with."""
    return tuple(int(part) for part in server.info("server")["redis_version"].split(".")[:2])


def tell(client: redis.Redis, *words: str) -> Any:
    return client.execute_command(*words)  # type: ignore[no-untyped-call]  # redis-py's


def allowed(server: redis.Redis) -> set[str]:
    """The commands of the rules, as the server counts them."""
    names = {rule[1:] for rule in rules(server) if rule.startswith("+")}
    if version(server) < (7, 2):
        # It has no CLIENT SETINFO, for which the rule stands.
        names.remove("client")
    if version(server) < (7, 0):
        # It does not count subcommands apart.
        names = {name.partition("|")[0] for name in names}
    return names


def used(client: redis.Redis) -> set[str]:
    """The commands that were carried out since the start, and the commands of subcommands."""
    names = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
    return names | {name.partition("|")[0] for name in names}


@pytest.mark.long
def test_a_whole_run_needs_no_more_than_the_user_may(tmp_path: Path) -> None:
    with embedded_redis() as url, redis.Redis.from_url(url, decode_responses=True) as admin:
        tell(admin, "ACL", "SETUSER", *rules(admin))
        # Else the worker would warn of it.
        admin.config_set("appendonly", "yes")
        theirs = url.replace("redis://", f"redis://connect-worker:{PASSWORD}@")
        stack = Stack(tmp_path, theirs)
        try:
            run_all_parts(stack, 40)
            ping = stack.celery("ping", "inspect", "ping")
            assert ping.wait(timeout=60) == 0, stack.log("ping")
            del stack.processes["ping"]
            assert "WARNING" not in stack.log("worker", 1000)
        finally:
            stack.stop()
        denied = {entry["object"] for entry in tell(admin, "ACL", "LOG")}
        assert denied == (set() if version(admin) >= (7, 0) else {"client"})
        assert allowed(admin) - used(admin) <= RARE


@pytest.mark.parametrize(
    "words",
    [
        ("GET", "somebody-elses"),
        ("SET", "somebody-elses", "x"),
        ("KEYS", "*"),
        ("FLUSHALL",),
        ("CONFIG", "SET", "maxmemory", "1"),
        ("EVAL", "return redis.call('get', 'somebody-elses')", "0"),
        ("ACL", "LIST"),
        ("SHUTDOWN",),
        ("MONITOR",),
        ("CLIENT", "LIST"),
        ("CLIENT", "KILL", "ID", "0"),
        ("CLIENT", "PAUSE", "0"),
        ("CLIENT", "UNBLOCK", "0"),
        ("CLIENT", "TRACKING", "ON", "BCAST"),
        ("SELECT", "1"),
        ("PUBLISH", "somebody-elses", "x"),
    ],
    ids="-".join,
)
def test_the_user_can_do_nothing_else(words: tuple[str, ...]) -> None:
    with embedded_redis() as url, redis.Redis.from_url(url) as admin:
        tell(admin, "ACL", "SETUSER", *rules(admin))
        theirs = url.replace("redis://", f"redis://connect-worker:{PASSWORD}@")
        with (
            redis.Redis.from_url(theirs) as client,
            pytest.raises(redis.exceptions.NoPermissionError),
        ):
            tell(client, *words)


def test_another_database_needs_one_rule_more() -> None:
    with embedded_redis() as url, redis.Redis.from_url(url) as admin:
        tell(admin, "ACL", "SETUSER", *rules(admin), "+select")
        theirs = url.replace("redis://", f"redis://connect-worker:{PASSWORD}@")
        with redis.Redis.from_url(theirs, db=1) as client:
            assert client.set("connect-worker:a", "b")
        with redis.Redis.from_url(url, db=1) as other:
            assert other.get("connect-worker:a") == b"b"

"""The user of `connect-worker redis-acl`: a whole run needs no more, and it can do no more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from connect_worker.devtools.embedded_redis import embedded_redis
from tests.support.redis_server import as_user, assert_nothing_denied, rules_of, tell
from tests.support.runs import run_all_parts
from tests.support.stack import running_stack

pytestmark = [pytest.mark.acceptance]

#: Needed now and then: after a restart of Redis, a lost message, a limit, a repeated cycle.
RARE = frozenset(
    {"hexists", "persist", "rpop", "rpush", "watch", "unwatch", "zcard", "zpopmin"}
    | {"zremrangebyscore", "subscribe", "unsubscribe", "punsubscribe"}
)


@pytest.fixture
def user() -> Iterator[redis.Redis]:
    with embedded_redis() as url, redis.Redis.from_url(as_user(url)) as client:
        yield client


def allowed(url: str) -> set[str]:
    return {rule[1:] for rule in rules_of(url) if rule.startswith("+")}


def used(client: redis.Redis) -> set[str]:
    """The commands that were carried out since the start."""
    names = client.info("commandstats")
    return {name.removeprefix("cmdstat_").partition("|")[0] for name in names}


@pytest.mark.long
def test_a_whole_run_needs_no_more_than_the_user_may(tmp_path: Path) -> None:
    with running_stack(tmp_path) as stack, redis.Redis.from_url(stack.redis_url) as admin:
        # Else the worker would warn of it.
        admin.config_set("appendonly", "yes")
        run_all_parts(stack, 40)
        ping = stack.celery("ping", "inspect", "ping")
        assert ping.wait(timeout=60) == 0, stack.log("ping")
        del stack.processes["ping"]
        for words in (["list", "--state", "ended"], ["list"], ["doctor"], ["metrics", "--once"]):
            done = stack.run(*words)
            assert done.returncode == 0, done.stdout + done.stderr
        assert "WARNING connect_worker" not in stack.whole_log("worker")
        # Redis before 7.0 does not count subcommands apart.
        commands = {name.partition("|")[0] for name in allowed(stack.redis_url)}
        assert commands - used(admin) <= RARE


def test_what_is_refused_fails_a_test(user: redis.Redis) -> None:
    """The tests rely on it everywhere."""
    url = f"redis://127.0.0.1:{user.get_connection_kwargs()['port']}/0"
    user.set("connect-worker:a", "b")
    assert_nothing_denied(url)
    with pytest.raises(redis.exceptions.NoPermissionError):
        user.flushall()
    with pytest.raises(AssertionError, match="flushall"):
        assert_nothing_denied(url)


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
def test_the_user_can_do_nothing_else(user: redis.Redis, words: tuple[str, ...]) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        tell(user, *words)


def test_another_database_is_open_to_a_user_of_that_one() -> None:
    with embedded_redis() as url:
        second = url.replace("/0", "/1")
        with redis.Redis.from_url(as_user(second)) as client:
            assert client.set("connect-worker:a", "b")
        with redis.Redis.from_url(second) as other:
            assert other.get("connect-worker:a") == b"b"

"""What `redis-acl` prints; the tests of the whole product prove that it is enough."""

from __future__ import annotations

import pytest
import redis

from tests.support.redis_server import tell

from .conftest import OperatorShell

#: What Celery declares with names of its own, in addition to the queues.
CHANNELS = ("celery.pidbox", "celeryev/*", "celeryev/worker.*")


@pytest.fixture
def shell(operator_shell: OperatorShell) -> OperatorShell:
    """One whose Redis has only its address."""
    operator_shell.set(CONNECT_REDIS_URL="redis://127.0.0.1:9/0")
    return operator_shell


def words_of(shell: OperatorShell, *options: str) -> list[str]:
    result = shell.run("redis-acl", *options)
    assert result.exit_code == 0, result.output
    return result.stdout.split()


def test_a_server_that_answers_takes_the_rules_for_its_version(
    operator_shell: OperatorShell,
) -> None:
    operator_shell.set(CONNECT_REDIS_URL=operator_shell.redis_url)
    words = words_of(operator_shell, "--setuser")
    assert words[:3] == ["ACL", "SETUSER", "connect-worker"]
    with redis.Redis.from_url(operator_shell.redis_url, decode_responses=True) as admin:
        assert tell(admin, *words)
        # A second time they replace what an administrator has added.
        tell(admin, "ACL", "SETUSER", "connect-worker", "+flushall", "~*", "&*")
        tell(admin, *words)
        user = tell(admin, "ACL", "GETUSER", "connect-worker")
        assert "+flushall" not in str(user)
        assert "~* " not in f"{user['keys']} "


@pytest.mark.parametrize(
    ("version", "subcommands"),
    [
        ("6.2.14", {"+client|maint_notifications", "+client|setinfo"}),
        ("7.0", set()),
        ("7.2", {"+client|setinfo"}),
        ("8", {"+client|setinfo"}),
        ("9.1.2", {"+client|setinfo"}),
    ],
)
def test_each_server_gets_only_rules_that_it_knows(
    shell: OperatorShell, version: str, subcommands: set[str]
) -> None:
    words = words_of(shell, "--server-version", version)
    assert {word for word in words if word.startswith("+client")} == subcommands


def test_with_rabbitmq_the_user_has_only_the_ledger(shell: OperatorShell) -> None:
    shell.set(CONNECT_BROKER_URL="amqp://guest:guest@127.0.0.1//")
    words = words_of(shell, "--server-version", "8")
    assert [word for word in words if word[0] in "~&"] == ["~connect-worker:*"]
    assert "+evalsha" in words
    assert "+brpop" not in words


def test_user_databases_and_queues_are_those_of_the_settings(
    shell: OperatorShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONNECT_API_KEY")
    shell.set(
        CONNECT_REDIS_URL="redis://vendor:secret@127.0.0.1:9/3",
        CONNECT_BROKER_URL="redis+socket:///run/redis.sock?virtual_host=5",
        CONNECT_ACCOUNTS="eu,us",
        CONNECT_EU_QUEUES="slow",
        CONNECT_US_QUEUES="bulk",
    )
    words = words_of(shell, "--server-version", "8")
    assert words[:2] == ["user", "vendor"]
    assert {"~slow*", "~bulk*", "&/5.celery.pidbox", "+select"} <= set(words)
    assert "secret" not in " ".join(words)


def test_with_a_prefix_the_user_has_what_begins_with_it(shell: OperatorShell) -> None:
    shell.set(CONNECT_PREFIX="shop")
    words = words_of(shell, "--server-version", "8")
    assert [word for word in words if word[0] == "~"] == ["~shop:*"]
    channels = [word for word in words if word[0] == "&"]
    assert channels == [f"&shop:/0.{name}" for name in CHANNELS]


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        ((), 4, "name it with --server-version: Redis can't be reached"),
        (("--server-version", "6.0"), 2, "Redis 6.0 is too old: use 6.2 or later"),
        (("--server-version", "new"), 2, "Redis new is too old: use 6.2 or later"),
    ],
)
def test_an_unknown_server_is_named(
    shell: OperatorShell, options: tuple[str, ...], code: int, sentence: str
) -> None:
    result = shell.run("redis-acl", *options)
    assert result.exit_code == code
    assert sentence in result.stderr

"""What a worker says of its surroundings when an operator starts it."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from connect_worker.devtools.embedded_redis import embedded_redis, free_port
from tests.support.faketime import FAKETIME, needs_faketime, shifted_clock
from tests.support.redis_process import RedisServer
from tests.support.stack import Stack, running_stack

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

#: Nothing listens there: a start asks Connect nothing.
ACCOUNT = {
    "CONNECT_API_URL": "http://127.0.0.1:9/public/v1",
    "CONNECT_API_KEY": "SU-000-000-001:key",
}
EVICTING = "allkeys-lru"


def configure(url: str, **settings: str) -> None:
    with redis.Redis.from_url(url) as client:
        for name, text in settings.items():
            client.config_set(name.replace("_", "-"), text)


def start(stack: Stack) -> str:
    """Start a worker; what it has said when it takes jobs."""
    stack.worker("worker", "--pool", "solo")
    stack.until(lambda: " ready." in stack.log("worker"), "the worker is ready", seconds=60)
    return stack.log("worker", lines=200)


@pytest.fixture(scope="module")
def careless_start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The log of a start that goes on with all that it warns of."""
    settings = {**ACCOUNT, "CONNECT_LEASE_SECONDS": "7200"}
    if FAKETIME is not None:
        settings |= shifted_clock(600)
    with (
        embedded_redis() as broker_url,
        running_stack(
            tmp_path_factory.mktemp("start"), CONNECT_BROKER_URL=broker_url, **settings
        ) as stack,
    ):
        configure(broker_url, maxmemory_policy=EVICTING)
        yield start(stack)


def test_a_redis_that_forgets_is_warned_of(careless_start: str) -> None:
    said = "Redis keeps nothing on disk, a restart forgets decisions: set appendonly to yes"
    assert said in careless_start


def test_a_lease_longer_than_the_visibility_timeout_is_warned_of(careless_start: str) -> None:
    said = (
        "CONNECT_LEASE_SECONDS (7200) is longer than the broker's visibility timeout (3600 s): "
        "make the lease shorter"
    )
    assert said in careless_start


def test_a_broker_that_evicts_beside_a_ledger_that_does_not_is_warned_of(
    careless_start: str,
) -> None:
    said = f"the broker's maxmemory-policy is {EVICTING}, it may drop messages"
    assert said in careless_start
    assert "set it to noeviction" in careless_start


@needs_faketime
def test_a_clock_that_is_far_off_is_warned_of(careless_start: str) -> None:
    assert "this machine's clock differs from Redis's by +" in careless_start
    assert "synchronize both (NTP)" in careless_start


def test_a_redis_that_evicts_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with running_stack(tmp_path, **ACCOUNT) as stack:
        configure(stack.redis_url, maxmemory_policy=EVICTING)
        worker = stack.worker("worker", "--pool", "solo")
        assert worker.wait(timeout=60) == 1
        # Celery warns a superuser before it; there is no traceback.
        assert stack.log("worker", lines=1) == (
            f"connect-worker: maxmemory-policy is {EVICTING}, Redis may evict live cycles: "
            "set it to noeviction"
        )
        assert "Traceback" not in stack.log("worker", lines=200)


@pytest.mark.parametrize("has_own_broker", [False, True])
def test_a_redis_that_comes_later_or_again_is_checked_then(
    tmp_path: Path, has_own_broker: bool
) -> None:
    redis_server = RedisServer(tmp_path, policy=EVICTING)
    settings = {**ACCOUNT, "CONNECT_REDIS_URL": redis_server.url}
    with embedded_redis() as broker_url:
        if has_own_broker:
            settings["CONNECT_BROKER_URL"] = broker_url
        stack = Stack(tmp_path, redis_server.url, **settings)
        try:
            stack.worker("worker", "--pool", "solo")
            stack.until(
                lambda: "redis_unreachable" in stack.whole_log("worker"), "it waits", seconds=60
            )
            redis_server.start()
            until_refused(stack)
            assert " ready." not in stack.whole_log("worker")
            configure(redis_server.url, maxmemory_policy="noeviction")
            stack.until(lambda: " ready." in stack.whole_log("worker"), "it works", seconds=60)
            if has_own_broker:
                # The worker keeps its connection to the broker. Its jobs connect to the ledger.
                stack.celery("beat", "beat", "-l", "info")
                until_swept(stack)
            redis_server.kill()
            redis_server.start()
            if not has_own_broker:
                until_refused(stack, times=2)
                return
            refused = f"maxmemory-policy is {EVICTING}, Redis may evict live cycles"
            stack.until(lambda: refused in stack.log("worker", 8), "it is refused", seconds=60)
            with redis.Redis.from_url(redis_server.url) as client:
                # No job wrote a thing.
                assert not client.dbsize()
            configure(redis_server.url, maxmemory_policy="noeviction")
            until_swept(stack)
        finally:
            stack.stop()
            redis_server.kill()


def until_swept(stack: Stack) -> None:
    """Wait for a sweep that begins from now on, and reads the ledger."""
    before = stack.whole_log("worker").count(" woken, ")
    stack.until(
        lambda: stack.whole_log("worker").count(" woken, ") > before, "it sweeps", seconds=60
    )


def until_refused(stack: Stack, times: int = 1) -> None:
    """Wait until the running worker has begun to refuse the Redis for the n-th time."""
    refused = f"maxmemory-policy is {EVICTING}, Redis may evict live cycles: set it to noeviction"

    def begun() -> int:
        lines = [line for line in stack.whole_log("worker").splitlines() if " worker." in line]
        return sum(
            refused in line and (number == 0 or refused not in lines[number - 1])
            for number, line in enumerate(lines)
        )

    stack.until(lambda: begun() >= times, "the Redis is refused", seconds=60)


def test_a_liveness_file_that_no_worker_would_touch_is_refused(tmp_path: Path) -> None:
    file = str(tmp_path / "heartbeat")
    with running_stack(tmp_path, CONNECT_HEARTBEAT_FILE=file, **ACCOUNT) as stack:
        worker = stack.worker("worker", "--pool", "solo", "--without-heartbeat")
        assert worker.wait(timeout=60) == 78
        said = "connect-worker: with --without-heartbeat no worker would touch"
        assert stack.log("worker", lines=1).startswith(said)
        del stack.processes["worker"]


def test_a_broker_that_is_away_is_said_so_and_waited_for(tmp_path: Path) -> None:
    away = f"redis://127.0.0.1:{free_port()}/0"
    with running_stack(tmp_path, CONNECT_BROKER_URL=away, **ACCOUNT) as stack:
        stack.worker("worker", "--pool", "solo")
        stack.until(
            lambda: "Trying again in" in stack.log("worker"), "the worker waits", seconds=60
        )
        assert "worker.broker_unreachable" in stack.log("worker")


@pytest.mark.long
def test_a_redis_as_it_should_be_is_not_warned_of(tmp_path: Path) -> None:
    # Celery warns a superuser.
    with running_stack(tmp_path, **ACCOUNT, PYTHONWARNINGS="ignore") as stack:
        configure(stack.redis_url, appendonly="yes")
        assert "WARNING" not in start(stack)


def test_workers_on_machines_of_one_name_are_seen_as_several(tmp_path: Path) -> None:
    with running_stack(tmp_path, **ACCOUNT) as stack:
        names = ("one", "two", "three")
        for name in names:
            given = ("-n", "three@%h") if name == "three" else ()
            stack.celery(name, "worker", "-l", "info", "--pool", "solo", *given)
        stack.until(
            lambda: all(" ready." in stack.log(name) for name in names),
            "they are ready",
            seconds=60,
        )
        found = stack.answer("status")["workers"]
        stack.start_flower()
        stack.until(
            lambda: set(stack.flower("workers?refresh=1")) == set(found), "Flower too", seconds=60
        )
    host = socket.gethostname()
    assert len(found) == len(names)
    assert f"three@{host}" in found
    patterns = [re.fullmatch(rf"celery-[0-9a-f]{{8}}@{re.escape(host)}", name) for name in found]
    assert sum(bool(pattern) for pattern in patterns) == 2


def test_a_worker_gives_a_sign_of_life(tmp_path: Path) -> None:
    file = tmp_path / "heartbeat"
    with running_stack(tmp_path, CONNECT_HEARTBEAT_FILE=str(file), **ACCOUNT) as stack:
        start(stack)
        first = file.stat().st_mtime_ns
        stack.until(lambda: file.stat().st_mtime_ns > first, "another one", seconds=60)

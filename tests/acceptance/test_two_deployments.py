"""Two deployments, each with its own Connect, on one Redis database or one RabbitMQ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from connect_worker.devtools.embedded_redis import embedded_redis
from tests.support.fault_stack import FaultStack
from tests.support.rabbitmq import needs_rabbitmq, running_rabbitmq
from tests.support.redis_process import running_server
from tests.support.sentinels import SENTINEL_PASSWORD, running_sentinels
from tests.support.stack import assert_each_resolved_once

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

ORDERS = 40
PREFIXES = ("shop", "wholesale")
EXIT_CONFIGURATION = 78


@contextmanager
def deployments(directory: Path, *settings: dict[str, str]) -> Iterator[list[FaultStack]]:
    """Start a Connect with orders of its own for each deployment, and nothing else."""
    stacks = []
    with ExitStack() as ends:
        for number, own in enumerate(settings):
            folder = directory / str(number)
            folder.mkdir()
            stack = FaultStack(folder, own["CONNECT_REDIS_URL"], **own)
            ends.callback(stack.stop)
            # Each Connect counts its ids from one: the second one has ids that the first has not.
            stack.seed(fulfillment=ORDERS * (number + 1))
            stacks.append(stack)
        yield stacks


def assert_separate(stacks: list[FaultStack]) -> None:
    """Run both deployments; each resolves its own orders, once, and gets no other one's message."""
    ids = [set(stack.report()["requests"]) for stack in stacks]
    for stack, pool in zip(stacks, ("prefork", "gevent"), strict=True):
        stack.work("one", pool=pool)
    for stack in stacks:
        stack.until_done()
        stack.until_polled_again()
    for stack, own in zip(stacks, ids, strict=True):
        assert_each_resolved_once(stack.report())
        assert {item: len(stack.orders.runs(item)) for item in own} == dict.fromkeys(own, 1)
        # Another deployment's worker would answer too.
        (worker,) = stack.answer("status")["workers"]
        assert worker.startswith("one@")
    log = stacks[0].whole_log("one")
    assert not [request_id for request_id in ids[1] - ids[0] if request_id in log]
    # Messages wait for a worker that is gone: no other deployment takes them, or waits for them.
    stacks[0].kill("one")
    stacks[0].until_soon(lambda: waiting_messages(stacks[0]) >= ORDERS, "messages wait")
    stacks[1].until_soon(lambda: waiting_messages(stacks[1]) == 0, "all of the other's are taken")


def waiting_messages(stack: FaultStack) -> float:
    """How many polls and sweeps wait, as the exporter says."""
    (line,) = [
        line
        for line in stack.run("metrics", "--once").stdout.splitlines()
        if line.startswith('connect_worker_queue_messages{queue="control"}')
    ]
    return float(line.rpartition(" ")[2])


def test_two_prefixes_on_one_redis_are_two_deployments(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        settings = [
            {"CONNECT_PREFIX": prefix, "CONNECT_REDIS_URL": server.url} for prefix in PREFIXES
        ]
        with deployments(tmp_path, *settings) as stacks:
            assert_separate(stacks)
            stacks[0].start_flower()
            queues = stacks[0].flower("queues/length")["active_queues"]
            assert [queue["messages"] for queue in queues if queue["name"] == "control"] != [0]
        with server.client() as client:
            assert {key.partition(":")[0] for key in client.scan_iter()} == {*PREFIXES}


def test_two_prefixes_behind_one_set_of_sentinels_are_two_deployments(tmp_path: Path) -> None:
    with running_sentinels(tmp_path) as sentinels:
        common = {
            "CONNECT_REDIS_URL": sentinels.url,
            "CONNECT_SENTINEL_PASSWORD": SENTINEL_PASSWORD,
        }
        settings = [{**common, "CONNECT_PREFIX": prefix} for prefix in PREFIXES]
        with deployments(tmp_path, *settings) as stacks:
            for stack in stacks:
                stack.redis_url = sentinels.whole_url
            assert_separate(stacks)


@pytest.mark.rabbitmq
@needs_rabbitmq
def test_two_prefixes_on_one_rabbitmq_are_two_deployments(tmp_path: Path) -> None:
    with running_rabbitmq() as broker, embedded_redis() as one, embedded_redis() as other:
        settings = [
            {"CONNECT_PREFIX": prefix, "CONNECT_REDIS_URL": url, "CONNECT_BROKER_URL": broker.url}
            for prefix, url in zip(PREFIXES, (one, other), strict=True)
        ]
        with deployments(tmp_path, *settings) as stacks:
            assert_separate(stacks)


@pytest.mark.parametrize(
    "has_rabbitmq",
    [False, pytest.param(True, marks=[pytest.mark.rabbitmq, needs_rabbitmq])],
)
def test_a_second_deployment_with_the_same_names_is_refused_at_its_start(
    tmp_path: Path, has_rabbitmq: bool
) -> None:
    with ExitStack() as servers:
        settings = {"CONNECT_REDIS_URL": servers.enter_context(embedded_redis())}
        others = dict(settings)
        if has_rabbitmq:
            settings["CONNECT_BROKER_URL"] = servers.enter_context(running_rabbitmq()).url
            others = {**settings, "CONNECT_REDIS_URL": servers.enter_context(embedded_redis())}
        one, two = servers.enter_context(deployments(tmp_path, settings, others))
        one.work("one", pool="threads")
        one.until_done()

        owner = one.account if has_rabbitmq else one.environment["CONNECT_API_URL"]
        for name in ("worker", "beat"):
            process = two.celery(name, name, "-l", "info")
            assert process.wait(timeout=60) == EXIT_CONFIGURATION
            del two.processes[name]
            said = two.log(name, lines=1)
            assert said.startswith("connect-worker: "), said
            assert "another deployment uses this server with no prefix" in said
            assert owner in said
            assert "give one of the two a CONNECT_PREFIX of its own" in said
            assert "Traceback" not in two.whole_log(name)
        assert {item["level"] for item in foreign(two)} == {"fail"}
        assert not foreign(one)
        # The first one goes on, and a new key of its service user is no other deployment.
        one.environment["CONNECT_API_KEY"] = f"{one.environment['CONNECT_API_KEY']}-rotated"
        one.worker("after-rotation", "--pool", "solo")
        one.until_soon(lambda: " ready." in one.whole_log("after-rotation"), "it starts")

        # A deployment that has ended leaves its names to another one.
        one.stop()
        assert "--take-over" in foreign(two)[0]["remedy"]
        two.run("doctor", "--take-over")
        assert not foreign(two)
        two.work("one", pool="threads")
        two.until_done()
        assert foreign(one)


def foreign(stack: FaultStack) -> list[dict[str, str]]:
    """What doctor says about another deployment, of Redis and of the broker."""
    done = stack.run("doctor", "--json")
    findings = json.loads(done.stdout)["findings"]
    return [item for item in findings if "another deployment" in item["text"]]

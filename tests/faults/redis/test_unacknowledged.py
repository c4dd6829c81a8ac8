"""Redis that dies while a worker holds a message that it has not acknowledged (beside row 7).

A message is acknowledged early: when a process of the pool accepts its job. It always takes a
moment, which a process that is frozen makes as long as the test likes. Celery 5.7.0 ends its worker
here (docs/decisions/002-celery-and-kombu-versions.md).
"""

from __future__ import annotations

import os
import signal
import subprocess
from functools import partial

import pytest

from tests.support.stack import assert_each_resolved_once

from .conftest import Deployment

pytestmark = [pytest.mark.faults]

#: By which of its connections the worker notices is chance, and only one of them is dangerous.
DEATHS = 4
#: More than the messages that are taken before the test is quick enough: the worker still waits.
PROCESSES = 8


def pool_of(deployment: Deployment, name: str) -> list[int]:
    """The process ids of a worker's pool."""
    worker = deployment.stack.processes[name].pid
    listed = subprocess.run(
        ["ps", "-A", "-o", "ppid=,pid="], check=True, capture_output=True, text=True
    )
    pairs = (line.split() for line in listed.stdout.splitlines())
    return [int(pid) for parent, pid in pairs if int(parent) == worker]


def count(deployment: Deployment, words: str) -> int:
    return deployment.stack.whole_log("one").count(words)


def die_under_a_message(deployment: Deployment) -> None:
    """Kill Redis when the worker has taken a message that its frozen pool does not accept."""
    pool = pool_of(deployment, "one")
    for pid in pool:
        os.kill(pid, signal.SIGSTOP)
    received, lost = count(deployment, " received"), count(deployment, "Connection to broker lost")
    deployment.until(lambda: count(deployment, " received") > received, "a message is taken")
    deployment.redis.kill()
    deployment.until(
        lambda: count(deployment, "Connection to broker lost") > lost, "the worker notices"
    )
    deployment.redis.start()
    for pid in pool:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.long
def test_a_worker_outlives_a_redis_that_dies_under_an_unacknowledged_message(
    deployment: Deployment,
) -> None:
    stack = deployment.stack
    stack.seed()
    stack.work("one", concurrency=PROCESSES)
    deployment.until(lambda: count(deployment, " received"), "the worker works")
    for number in range(1, DEATHS + 1):
        die_under_a_message(deployment)
        stack.control("POST", "requests", {"kind": "fulfillment", "scenario": "purchase"})
        deployment.until(partial(has_settled, deployment, number), "the worker goes on")
    stack.until_done()

    assert_each_resolved_once(stack.report())


def has_settled(deployment: Deployment, number: int) -> bool:
    return deployment.settled() == number

"""RabbitMQ as the broker, Redis as the ledger: the same runs, judged the same way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.rabbitmq import needs_rabbitmq, running_rabbitmq
from tests.support.runs import run_undisturbed, run_with_a_kill
from tests.support.stack import POOLS, Stack, running_stack

from .test_worker_start import ACCOUNT, configure, start

#: Under solo a job keeps the worker from hearing RabbitMQ, for which it waits up to a second then.
FIRST, *OTHERS = [pool for pool in POOLS if pool[1] > 1]
SEVERAL_AT_ONCE = [FIRST, *(pytest.param(*pool, marks=pytest.mark.long) for pool in OTHERS)]

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.rabbitmq, needs_rabbitmq]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with (
        running_rabbitmq() as broker,
        running_stack(tmp_path, CONNECT_BROKER_URL=broker.url) as stack,
    ):
        yield stack


@pytest.mark.long
@pytest.mark.parametrize(("pool", "concurrency"), SEVERAL_AT_ONCE)
def test_three_hundred_requests_are_resolved_once_each(
    stack: Stack, pool: str, concurrency: int
) -> None:
    run_undisturbed(stack, pool, concurrency)


@pytest.mark.long
@pytest.mark.parametrize(("pool", "concurrency"), SEVERAL_AT_ONCE)
def test_a_killed_worker_loses_nothing_and_doubles_nothing(
    stack: Stack, pool: str, concurrency: int
) -> None:
    run_with_a_kill(stack, pool, concurrency)


@pytest.mark.long
def test_rabbitmq_is_no_reason_for_a_warning(stack: Stack) -> None:
    configure(stack.redis_url, appendonly="yes")
    stack.environment |= ACCOUNT
    assert "WARNING" not in start(stack)

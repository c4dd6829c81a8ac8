"""Real processes from beginning to end, judged by the sandbox: all resolved exactly once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.redis_server import running_server
from tests.support.runs import run_all_parts, run_undisturbed, run_with_a_kill
from tests.support.stack import POOLS, Stack, running_stack

pytestmark = pytest.mark.acceptance

#: The other run, with a kill, has the first.
THREADS, OTHERS = POOLS[1], [*POOLS[:1], *POOLS[2:]]
SOME_POOLS = [THREADS, *(pytest.param(*pool, marks=pytest.mark.long) for pool in OTHERS)]
POOLS_WITH_KILL = [*POOLS[:1], *(pytest.param(*pool, marks=pytest.mark.long) for pool in POOLS[1:])]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with running_stack(tmp_path) as stack:
        yield stack


@pytest.mark.slow
@pytest.mark.parametrize(("pool", "concurrency"), SOME_POOLS)
def test_three_hundred_requests_are_resolved_once_each(
    stack: Stack, pool: str, concurrency: int
) -> None:
    run_undisturbed(stack, pool, concurrency)


@pytest.mark.parametrize(("pool", "concurrency"), POOLS_WITH_KILL)
def test_a_killed_worker_loses_nothing_and_doubles_nothing(
    stack: Stack, pool: str, concurrency: int
) -> None:
    run_with_a_kill(stack, pool, concurrency)


@pytest.mark.slow
def test_redis_may_be_a_socket_file(tmp_path: Path) -> None:
    """Its URL is redis-py's, for the ledger and for the broker, which knows it by another."""
    with running_server() as url:
        stack = Stack(tmp_path, f"{url}?db=1")
        try:
            run_all_parts(stack, requests=30)
        finally:
            stack.stop()

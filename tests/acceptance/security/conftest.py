"""One talkative run for all tests that look at what it showed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.fault_stack import FaultStack
from tests.support.talkative_run import Shown, talkative_run


@pytest.fixture(scope="session")
def deployment(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[FaultStack, Shown]]:
    with talkative_run(tmp_path_factory.mktemp("talkative")) as running:
        yield running


@pytest.fixture(scope="session")
def stack(deployment: tuple[FaultStack, Shown]) -> FaultStack:
    """It still runs."""
    return deployment[0]


@pytest.fixture(scope="session")
def shown(deployment: tuple[FaultStack, Shown]) -> Shown:
    return deployment[1]

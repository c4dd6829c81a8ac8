from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connect_worker.domain.states import RequestKind
from tests.support.engine_harness import Workplace, automation
from tests.support.sandbox_server import Client, running_sandbox

Open = Callable[..., Workplace]


@pytest.fixture(scope="session")
def sandbox_process() -> Iterator[Client]:
    with running_sandbox("--requests", "40") as client:
        yield client


@pytest.fixture
def sandbox(sandbox_process: Client) -> Client:
    """A sandbox as it was seeded."""
    sandbox_process.control("POST", "reset")
    sandbox_process.control("DELETE", "faults")
    return sandbox_process


@pytest.fixture
def open_for(sandbox: Client) -> Open:
    """Make a workplace whose automation's `process_request` is the given function."""

    def make(
        process: Callable[[Any, Any], Any],
        kind: RequestKind = RequestKind.FULFILLMENT,
        **attributes: Any,
    ) -> Workplace:
        return Workplace(sandbox, automation(process, kind, **attributes))

    return make

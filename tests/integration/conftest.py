from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from connect_worker.domain.states import RequestKind
from tests.support.engine_harness import EngineHarness, automation
from tests.support.sandbox_server import Client

Open = Callable[..., EngineHarness]


@pytest.fixture
def sandbox(shared_sandbox: Client) -> Client:
    return shared_sandbox


@pytest.fixture
def open_for(sandbox: Client) -> Open:
    """Make a workplace whose automation's `process_request` is the given function."""

    def make(
        process: Callable[[Any, Any], Any],
        kind: RequestKind = RequestKind.FULFILLMENT,
        **attributes: Any,
    ) -> EngineHarness:
        return EngineHarness(sandbox, automation(process, kind, **attributes))

    return make

"""The kit's own sandbox, instead of the one that other tests share."""

from __future__ import annotations

import pytest

from connect_worker.testing.sandbox import Sandbox


@pytest.fixture
def sandbox(_connect_sandbox: Sandbox) -> Sandbox:
    _connect_sandbox.reset()
    return _connect_sandbox

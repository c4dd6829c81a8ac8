from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fault_stack import FaultStack, running_fault_stack


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[FaultStack]:
    with running_fault_stack(tmp_path) as stack:
        yield stack

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fault_stack import FaultStack, running_fault_stack
from tests.support.two_accounts import AccountsStack, running_accounts_stack


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[FaultStack]:
    with running_fault_stack(tmp_path) as stack:
        yield stack


@pytest.fixture
def estate(tmp_path: Path) -> Iterator[AccountsStack]:
    with running_accounts_stack(tmp_path) as estate:
        yield estate

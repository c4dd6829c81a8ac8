from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.browser import running_chromium
from tests.support.two_accounts import AccountsStack, running_accounts_stack


@pytest.fixture
def estate(tmp_path: Path) -> Iterator[AccountsStack]:
    with running_accounts_stack(tmp_path) as estate:
        yield estate


# Not for the whole session: while it is open, Playwright's event loop runs in this thread, and a
# test of another module can neither run one of its own nor open another browser.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser

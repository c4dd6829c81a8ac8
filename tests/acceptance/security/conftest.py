"""One talkative run for all tests that look at what it showed."""

from __future__ import annotations

import pytest

from tests.support.talkative_run import Shown, talkative_run


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return talkative_run(tmp_path_factory.mktemp("talkative"))

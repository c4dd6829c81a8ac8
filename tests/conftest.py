from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from connect_worker.observability import masking


@pytest.fixture(autouse=True)
def secrets_of_this_test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process hides what it has once been told; the next test's words are no secrets."""
    monkeypatch.setattr(masking, "_known", masking._Known())


@pytest.fixture
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty working directory and no setting; what a `.env` file brings in goes again."""
    before = dict(os.environ)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("CONNECT_")]:
        del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)

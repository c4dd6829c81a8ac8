from __future__ import annotations

import pytest

from connect_worker import masking


@pytest.fixture(autouse=True)
def secrets_of_this_test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process hides what it has once been told; the next test's words are no secrets."""
    monkeypatch.setattr(masking, "_known", masking._Known())

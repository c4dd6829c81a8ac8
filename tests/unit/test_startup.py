"""What a worker says of its settings before it starts."""

from __future__ import annotations

import pytest

from tasks.startup import VISIBILITY_SECONDS, check_lease


def test_a_lease_longer_than_the_visibility_timeout_is_warned_of() -> None:
    warning = check_lease(VISIBILITY_SECONDS + 1, visible_after=VISIBILITY_SECONDS)
    assert "CONNECT_LEASE_SECONDS (3601)" in warning
    assert "3600 s" in warning


@pytest.mark.parametrize("lease_seconds", [60.0, 3600.0])
def test_a_lease_within_the_visibility_timeout_is_fine(lease_seconds: float) -> None:
    assert check_lease(lease_seconds, visible_after=3600) == ""

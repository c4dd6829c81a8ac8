"""What a worker says of its settings before it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.celery_support.signals import VISIBILITY_SECONDS, check_lease


def test_a_lease_longer_than_the_visibility_timeout_is_warned_of() -> None:
    warning = check_lease(VISIBILITY_SECONDS + 1, visible_after=VISIBILITY_SECONDS)
    assert "CONNECT_LEASE_SECONDS (3601)" in warning
    assert "3600 s" in warning


@pytest.mark.parametrize("lease_seconds", [60.0, 3600.0])
def test_a_lease_within_the_visibility_timeout_is_fine(lease_seconds: float) -> None:
    assert check_lease(lease_seconds, visible_after=3600) == ""


@pytest.mark.slow
@pytest.mark.acceptance
def test_beat_without_settings_and_redis_says_so_in_lines(tmp_path: Path) -> None:
    """It goes on all the same: the key is the workers', and Redis may come later."""
    root = Path(__file__).parents[3]
    foreign = ("CONNECT_", "PYTEST_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    environment |= {"PYTHONPATH": str(root), "CONNECT_MAX_ATTEMPT": "3"}
    environment["CONNECT_REDIS_URL"] = f"unix://{tmp_path}/none"
    log = tmp_path / "log"
    with log.open("w") as file:
        command = [sys.executable, "-m", "celery", "-A", "tasks", "beat", "--loglevel", "info"]
        beat = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=file, stderr=file)
    try:
        give_up = time.monotonic() + 120
        while "beat.broker_unreachable" not in log.read_text():
            assert beat.poll() is None, log.read_text()
            assert time.monotonic() < give_up, log.read_text()
            time.sleep(0.1)
    finally:
        beat.terminate()
        beat.wait(60)
    said = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    events = {item["event"]: item for item in said}
    assert "Traceback" not in log.read_text()
    assert "CONNECT_API_URL and CONNECT_API_KEY not set" in str(events["beat.account_missing"])
    assert "CONNECT_MAX_ATTEMPT is not a setting. Did you mean CONNECT_MAX_ATTEMPTS?" in events

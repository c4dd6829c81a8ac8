"""The peer of the benchmark is Celery with the worker's settings, and nothing of this project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]

#: What decides how a message is sent, taken and acknowledged.
SHARED = (
    "task_acks_late",
    "worker_disable_prefetch",
    "worker_prefetch_multiplier",
    "task_serializer",
    "accept_content",
    "result_backend",
    "task_ignore_result",
    "worker_send_task_events",
    "task_send_sent_event",
    "worker_redirect_stdouts",
    "broker_transport_options",
)


def evaluate(code: str) -> Any:
    """Run a program in a process of its own; what it prints is JSON."""
    url = "redis://localhost:6379/0"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "BARE_BROKER_URL": url,
        "BARE_API_URL": "http://localhost/public/v1",
        "CONNECT_REDIS_URL": url,
    }
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(ended.stdout)


@pytest.mark.parametrize("name", SHARED)
def test_the_peer_has_the_workers_settings(name: str, settings: dict[str, Any]) -> None:
    assert settings["bare"][name] == settings["tasks"][name]


def test_the_peer_loads_nothing_of_this_project() -> None:
    loaded = evaluate("import bench.bare, json, sys; print(json.dumps(list(sys.modules)))")
    assert "bench.bare" in loaded
    assert not [name for name in loaded if name.partition(".")[0] in ("connect_worker", "tasks")]


@pytest.fixture(scope="module")
def settings() -> Any:
    return evaluate(
        "import json; from bench import bare; from tasks.app import app\n"
        f"names = {SHARED!r}\n"
        "read = lambda app: {name: getattr(app.conf, name) for name in names}\n"
        "print(json.dumps({'bare': read(bare.app), 'tasks': read(app)}))"
    )

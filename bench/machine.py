"""The machine and the versions for the report."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from connect_worker.devtools.embedded_redis import find_server

PACKAGES = ("celery", "kombu", "redis", "requests", "urllib3", "marshmallow", "openpyxl")


def facts() -> Mapping[str, str]:
    """Return the facts that a reader needs to interpret the figures."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "processor": f"{_processor()}, {psutil.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GB",
        "system": f"{platform.system()} {platform.release()}",
        "load before the run": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "python": platform.python_version(),
        "Redis server": _server(),
        **{name: version(name) for name in PACKAGES},
        "connect-sdk": "22.0",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def _server() -> str:
    words = subprocess.run(
        [find_server(), "--version"], capture_output=True, text=True, check=True
    ).stdout.split()
    return " ".join([words[0], *(word for word in words if word.startswith("v="))])

"""Runs Python in a process of its own: what it does to its imports stays there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

ROOT = Path(__file__).parents[3]


def python(
    *arguments: str, cwd: Path, path: tuple[Path, ...] = (), settings: dict[str, str] | None = None
) -> tuple[int, str, str]:
    """Run `python …`; gives its exit code and what it wrote to stdout and stderr.

    Args:
        *arguments: The command line.
        cwd: Its working directory.
        path: Folders to import from, besides this project.
        settings: Variables of the environment.
    """
    environment = {name: text for name, text in os.environ.items() if "CONNECT_" not in name}
    places = os.pathsep.join(map(str, (*path, ROOT)))
    process = subprocess.run(
        [sys.executable, "-W", "default", *arguments],
        cwd=cwd,
        env=environment | (settings or {}) | {"PYTHONPATH": places, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return process.returncode, process.stdout, process.stderr


def evaluate(code: str, *, cwd: Path, path: tuple[Path, ...] = ()) -> Any:
    """Run a program that ends well; gives what it printed, which is one JSON value."""
    status, output, errors = python("-c", dedent(code), cwd=cwd, path=path)
    assert status == 0, errors
    return json.loads(output)


def write_real_sdk(folder: Path) -> Path:
    """Make a folder as an installed SDK looks: a package and a distribution's record."""
    package = folder / "connect"
    (package / "resources").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "exceptions.py").write_text("class Message(Exception): pass\n")
    (package / "broken.py").write_text("raise AttributeError('no attribute post_load')\n")
    (package / "resources" / "__init__.py").write_text("class FulfillmentAutomation: pass\n")
    record = folder / "connect_sdk-20.3.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: connect-sdk\nVersion: 20.3\n")
    (record / "top_level.txt").write_text("connect\n")
    return folder

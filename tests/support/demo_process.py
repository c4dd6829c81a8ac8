"""A demo in a process of its own, and the means to find every process that it leaves behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

ROOT = Path(__file__).resolve().parents[2]

#: Settings of a real account that must not reach the demo: with them no request would be resolved.
FOREIGN = {
    "CONNECT_API_URL": "http://127.0.0.1:9/public/v1",
    "CONNECT_API_KEY": "ApiKey SU-999-999-999:someone",
    "CONNECT_PRODUCTS": "PRD-999-999-999",
    "CONNECT_LEASE_SECONDS": "a while",
    "CELERY_BROKER_URL": "redis://127.0.0.1:9/0",
    "FLOWER_PORT": "9",
}


@dataclass
class DemoProcess:
    """Runs `python -m connect_worker demo` with its logs in a folder.

    Its processes are known by a mark in their environment, or by the folder that they work in
    (Redis writes its title over its environment).
    """

    directory: Path
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stdout: int = subprocess.PIPE
    mark: str = field(default_factory=lambda: f"DEMO_TEST_{uuid4().hex}")

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "connect_worker", "demo", *self._options()],
            cwd=ROOT,
            env={**os.environ, **self.environment, self.mark: "1"},
            stdin=subprocess.DEVNULL,
            stdout=self.stdout,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def read_until(self, pattern: str) -> str:
        """Read lines up to the first with the pattern; fail when the output ends before."""
        assert self.process.stdout is not None
        read: list[str] = []
        for line in self.process.stdout:
            read.append(line)
            if re.search(pattern, line):
                return "".join(read)
        raise AssertionError(f"no {pattern!r} in:\n{''.join(read)}")

    def finish(self, seconds: float = 60) -> str:
        """Return the rest of its output, once it has ended."""
        output, _ = self.process.communicate(timeout=seconds)
        return output

    def alive(self) -> dict[int, str]:
        """Return its processes and their commands; without zombies, which have neither."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if self._is_ours(folder):
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(folder.name)] = command.decode(errors="replace")
        return found

    def _options(self) -> list[str]:
        return ["--log-dir", str(self.directory), *self.arguments]

    def _is_ours(self, folder: Path) -> bool:
        is_marked = f"{self.mark}=1".encode() in (folder / "environ").read_bytes()
        return is_marked or (folder / "cwd").readlink() == self.directory

    def kill_all(self) -> None:
        """Leave nothing behind, whatever the test found."""
        for pid in self.alive():
            with suppress(ProcessLookupError):
                os.kill(pid, 9)
        self.process.wait(timeout=10)
        if self.process.stdout is not None:
            self.process.stdout.close()


def await_that(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Return True as soon as the condition holds, False when it does not in time."""
    give_up = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.02)
    return True

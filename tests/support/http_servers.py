"""The three HTTP servers as processes with few descriptors, and raw bytes for them."""

from __future__ import annotations

import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from tests.support.console_client import PASSWORD, ROOT, environment
from tests.support.webhook_stack import SECRET

#: The command of each server.
SERVERS: Final[Mapping[str, tuple[str, ...]]] = {
    "console": ("console",),
    "receiver": ("webhook", "serve"),
    "exporter": ("metrics",),
}
#: What systemd, and most shells, give a process.
DESCRIPTORS: Final = 1024
#: How long a test waits for an answer on a busy machine.
PATIENCE: Final = 30.0
PROBE: Final = b"GET /healthcheck HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class RunningServer:
    """A server that listens."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self._log = log

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def busy_seconds(self) -> float:
        """For how long the event loop has run, or waited for a core on a busy machine."""
        schedstat = Path(f"/proc/{self.process.pid}/schedstat").read_text().split()
        return (int(schedstat[0]) + int(schedstat[1])) / 1e9

    def busy_share(self, seconds: float) -> float:
        """Watch the event loop; a loop that spins is busy all the time."""
        busy, began = self.busy_seconds(), time.monotonic()
        assert busy > 0, "the kernel does not count it"
        time.sleep(seconds)
        return (self.busy_seconds() - busy) / (time.monotonic() - began)

    def memory_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        [found] = re.findall(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
        return int(found) / 1024

    def limit_descriptors(self, number: int) -> None:
        """Change the limit of the running process."""
        resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, (number, DESCRIPTORS))

    def descriptors(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.process.pid}/fd").iterdir())

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def exchange(self, data: bytes) -> bytes:
        """Send bytes; return what comes until the server closes the connection.

        Raises:
            TimeoutError: Nothing came for long.
        """
        with self.connect() as stream:
            received = bytearray()
            # A server that refuses a request closes its connection in the middle of it.
            with suppress(ConnectionError):
                stream.sendall(data)
            with suppress(ConnectionError):
                while chunk := stream.recv(65536):
                    received += chunk
            return bytes(received)

    def is_healthy(self) -> bool:
        return self.exchange(PROBE).startswith(b"HTTP/1.1 200 OK\r\n")


@contextmanager
def running_server(name: str, redis_url: str, folder: Path) -> Iterator[RunningServer]:
    """Run a server until the block ends; its end and its log have to be clean."""
    log = folder / f"{name}.log"
    variables = {
        "CONNECT_BROKER_URL": redis_url,
        "CONNECT_CONSOLE_PASSWORD": PASSWORD,
        "CONNECT_WEBHOOK_SECRET": SECRET,
    }
    # The shell sets the limit before Python starts, as systemd does.
    command = ["sh", "-c", f'ulimit -n {DESCRIPTORS} && exec "$@"', "sh", sys.executable]
    command += ["-m", "connect_worker", *SERVERS[name], "--port", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(redis_url, **variables),
            stdout=output,
            stderr=output,
        )
    try:
        yield RunningServer(process, _port(process, log), log)
        process.terminate()
        assert process.wait(timeout=PATIENCE) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in log.read_text(errors="replace")


@contextmanager
def many_descriptors(number: int) -> Iterator[None]:
    """Let the test's own process open more sockets than the server may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < number:
        pytest.skip(f"the hard limit of descriptors is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, number), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    give_up = time.monotonic() + 2 * PATIENCE
    while not (found := re.search(r" at http://127\.0\.0\.1:(\d+)/", log.read_text())):
        if process.poll() is not None or time.monotonic() > give_up:
            pytest.fail(f"it ended before it served: {log.read_text()}")
        time.sleep(0.05)
    return int(found[1])

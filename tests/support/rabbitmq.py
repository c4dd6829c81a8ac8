"""A RabbitMQ of a test's own, on this machine only; it leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import amqp
import pytest

from connect_worker.devtools.embedded_redis import HOST, free_port

#: Packages put the programs here; what Debian has in the PATH is for root and `rabbitmq` only.
#: `make test-servers` names the folder of another version.
FOLDER = os.environ.get("RABBITMQ_PROGRAMS", "/usr/lib/rabbitmq/bin")
PROGRAMS = f"{FOLDER}{os.pathsep}{os.environ.get('PATH', '')}"
SERVER = shutil.which("rabbitmq-server", path=PROGRAMS)
#: Erlang's register of names; started by RabbitMQ itself it would outlive it.
EPMD = shutil.which("epmd", path=PROGRAMS)

needs_rabbitmq = pytest.mark.skipif(
    SERVER is None or EPMD is None,
    reason="no rabbitmq-server here: `apt-get install rabbitmq-server`, docs/deployment.md",
)

START_SECONDS = 90
STOP_SECONDS = 30


class RabbitMQ:
    """An empty broker that keeps its data from one start to the next.

    Args:
        home: Its folder.
        settings: Of its application; `rabbitmq.conf` does not know all of them.
    """

    def __init__(self, home: Path, **settings: str) -> None:
        self.home = home
        self.port = free_port()
        self._environment = _environment(home, free_port(), settings)
        self._server: subprocess.Popen[bytes] | None = None
        self._names: subprocess.Popen[bytes] | None = None
        (home / "rabbitmq.conf").write_text(f"listeners.tcp.1 = {HOST}:{self.port}\n")
        (home / "enabled_plugins").write_text("[].\n")

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@{HOST}:{self.port}//"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        assert SERVER is not None
        assert EPMD is not None
        if self._names is None:
            port = self._environment["ERL_EPMD_PORT"]
            self._names = self._run(EPMD, "-address", HOST, "-port", port)
        self._server = self._run(SERVER)
        give_up = time.monotonic() + START_SECONDS
        while not _answers(self.port):
            assert self._server.poll() is None, f"RabbitMQ ended:\n{self.log()}"
            assert time.monotonic() < give_up, f"RabbitMQ does not answer:\n{self.log()}"
            time.sleep(0.2)

    def kill(self) -> None:
        """`kill -9` it."""
        if self._server is not None:
            _end(self._server, signal.SIGKILL)

    def stop(self) -> None:
        """End it for good."""
        for process in filter(None, (self._server, self._names)):
            _end(process, signal.SIGTERM)

    def count(self, what: str) -> int:
        """Return how many `connections`, `queues` or `bindings` it has."""
        done = subprocess.run(
            ["rabbitmqctl", "--quiet", "--no-table-headers", f"list_{what}"],
            env=self._environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return len(done.stdout.splitlines())

    def log(self) -> str:
        return (self.home / "server.log").read_text(errors="replace")[-2000:]

    def _run(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.home / "server.log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.home,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


@contextmanager
def running_rabbitmq(**settings: str) -> Iterator[RabbitMQ]:
    """Run a broker for the time of the block."""
    with tempfile.TemporaryDirectory(prefix="rabbitmq-") as home:
        broker = RabbitMQ(Path(home), **settings)
        try:
            broker.start()
            yield broker
        finally:
            broker.stop()


def _environment(home: Path, epmd_port: int, settings: Mapping[str, str]) -> dict[str, str]:
    """Return what keeps one server apart from any other of the machine."""
    words = ["-kernel", "inet_dist_use_interface", "{127,0,0,1}", "+S", "1:1"]
    for setting in settings.items():
        words += ["-rabbit", *setting]
    return {
        "PATH": PROGRAMS,
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "ERL_EPMD_ADDRESS": HOST,
        "ERL_EPMD_PORT": str(epmd_port),
        "RABBITMQ_NODENAME": f"test-{epmd_port}@localhost",
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": str(home / "none"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": " ".join(words),
    }


def _answers(port: int) -> bool:
    try:
        with amqp.Connection(f"{HOST}:{port}", connect_timeout=2):
            return True
    except (OSError, amqp.AMQPError):
        return False


def _end(process: subprocess.Popen[bytes], by: signal.Signals) -> None:
    """End a process and the ones that it started: the server runs behind a shell script."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, by)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()

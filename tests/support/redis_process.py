"""A Redis that a test can kill, freeze, fill and start again at the same address."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from connect_worker.devtools.embedded_redis import (
    HOST,
    answers_ping,
    find_server,
    free_port,
    server_command,
)
from tests.support.redis_server import rules_of, tell

START_SECONDS = 20.0


class RedisServer:
    """One server process after another, on one port and in one folder."""

    def __init__(
        self,
        directory: Path,
        *,
        append_only: bool = False,
        cluster: bool = False,
        policy: str = "noeviction",
    ) -> None:
        self._port = free_port()
        # The nodes of a cluster talk at a port that is 10000 higher.
        while cluster and self._port > 55_535:
            self._port = free_port()
        self._command = server_command(find_server(), port=self._port, directory=directory)
        if append_only:
            self._command[self._command.index("--appendonly") + 1] = "yes"
        self._command[self._command.index("--maxmemory-policy") + 1] = policy
        # A user that is created later would not outlive the process.
        self._command += ["--user", *rules_of(self.url)]
        if cluster:
            self._command += ["--cluster-enabled", "yes"]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self._port}/0"

    def start(self) -> None:
        """Start it, and return when it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        give_up = time.monotonic() + START_SECONDS
        while not answers_ping(self._port):
            assert self._process.poll() is None, "the Redis server ended"
            assert time.monotonic() < give_up, "the Redis server does not answer"
            time.sleep(0.02)

    def kill(self) -> None:
        """End it as a crash does: nothing is flushed, no connection is closed in order."""
        if self._process is not None:
            # A frozen process dies of SIGKILL, too.
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """Leave it there and deaf, as a machine that swaps or a network that swallows packets."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def follow(self, primary: RedisServer) -> None:
        """Become an asynchronous replica, and return when it has a first copy."""
        with self.client() as client:
            tell(client, "REPLICAOF", HOST, str(primary._port))
            give_up = time.monotonic() + START_SECONDS
            while client.info("replication")["master_link_status"] != "up":
                assert time.monotonic() < give_up, "the replica does not get its copy"
                time.sleep(0.02)

    def lose_primary(self) -> None:
        """Keep what was replicated so far; nothing more arrives."""
        with self.client() as client:
            tell(client, "REPLICAOF", "NO", "ONE")

    def take_over(self, primary: RedisServer) -> None:
        """Serve what it has at the address of the primary, which is dead."""
        with self.client() as client:
            tell(client, "SAVE")
        self.kill()
        self._command[self._command.index("--port") + 1] = str(primary._port)
        self._port = primary._port
        self.start()

    @contextmanager
    def client(self) -> Iterator[redis.Redis]:
        """The test's own connection."""
        with redis.Redis.from_url(self.url, decode_responses=True) as client:
            yield client

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@contextmanager
def running_server(
    directory: Path, *, append_only: bool = False, cluster: bool = False
) -> Iterator[RedisServer]:
    server = RedisServer(directory, append_only=append_only, cluster=cluster)
    server.start()
    try:
        yield server
    finally:
        server.kill()

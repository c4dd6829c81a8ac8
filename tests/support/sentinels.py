"""A primary, a replica and three Sentinels as real processes, all with passwords."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import redis

from connect_worker.devtools.embedded_redis import HOST, find_server, free_port
from tests.support.redis_process import RedisServer, running_server
from tests.support.redis_server import tell

MASTER_NAME = "orders"
REDIS_PASSWORD = "canary/of the primary"
SENTINEL_PASSWORD = "canary/of the Sentinels"
PATIENCE_SECONDS = 60.0


class SentinelSet:
    """The processes; `url` and `SENTINEL_PASSWORD` are what a deployment sets."""

    def __init__(self, directory: Path, servers: list[RedisServer], *, down_after_ms: int) -> None:
        self.servers = servers
        self.ports = [free_port() for _ in range(3)]
        self.processes = []
        primary = servers[0].url.rpartition(":")[2].partition("/")[0]
        for port in self.ports:
            file = directory / f"sentinel-{port}.conf"
            file.write_text(
                f"port {port}\n"
                f"bind {HOST}\n"
                f"dir {directory}\n"
                f'requirepass "{SENTINEL_PASSWORD}"\n'
                f'sentinel sentinel-pass "{SENTINEL_PASSWORD}"\n'
                f"sentinel monitor {MASTER_NAME} {HOST} {primary} 2\n"
                f'sentinel auth-pass {MASTER_NAME} "{REDIS_PASSWORD}"\n'
                f"sentinel down-after-milliseconds {MASTER_NAME} {down_after_ms}\n"
                f"sentinel failover-timeout {MASTER_NAME} 10000\n"
            )
            with (directory / f"sentinel-{port}.log").open("wb") as log:
                command = [str(find_server()), str(file), "--sentinel"]
                self.processes.append(subprocess.Popen(command, stdout=log))

    @property
    def hosts(self) -> str:
        return ",".join(f"{HOST}:{port}" for port in self.ports)

    @property
    def url(self) -> str:
        return (
            f"sentinel://:{quote(REDIS_PASSWORD, safe='')}@{self.hosts}/1?master_name={MASTER_NAME}"
        )

    @property
    def whole_url(self) -> str:
        """As the settings give it to a client."""
        return f"{self.url}&sentinel_password={quote(SENTINEL_PASSWORD, safe='')}"

    def states(self) -> Iterator[dict[str, Any]]:
        """What each Sentinel that runs says of the primary."""
        for port, process in zip(self.ports, self.processes, strict=True):
            if process.poll() is None:
                with self.sentinel(port) as client:
                    yield cast("dict[str, Any]", client.sentinel_master(MASTER_NAME))

    @contextmanager
    def sentinel(self, port: int) -> Iterator[redis.Redis]:
        with redis.Redis(HOST, port, password=SENTINEL_PASSWORD, decode_responses=True) as client:
            yield client

    def primary_is(self, server: RedisServer) -> bool:
        """Whether all Sentinels name this server, and find it well."""
        return all(
            f"redis://{state['ip']}:{state['port']}/0" == server.url and state["flags"] == "master"
            for state in self.states()
        )

    def is_replica(self, server: RedisServer) -> bool:
        """Whether a server says so itself."""
        with redis.Redis.from_url(server.url, password=REDIS_PASSWORD) as client:
            return bool(client.info("replication")["role"] == "slave")

    def follow(self, server: RedisServer, primary: RedisServer) -> None:
        """Make a server a replica."""
        host, _, port = primary.url.removeprefix("redis://").removesuffix("/0").partition(":")
        with redis.Redis.from_url(server.url, password=REDIS_PASSWORD) as client:
            tell(client, "REPLICAOF", host, port)

    def fail_over(self) -> None:
        """Let a Sentinel make the replica the primary; the old primary goes on as a replica."""
        with self.sentinel(self.ports[-1]) as client:
            tell(client, "SENTINEL", "FAILOVER", MASTER_NAME)

    def until_ready(self) -> None:
        """Wait until each Sentinel knows the replica and the other two."""
        until(
            lambda: all(
                (state["num-other-sentinels"], state["num-slaves"]) == (2, 1)
                for state in self.states()
            ),
            "the Sentinels know each other",
        )


def until(condition: Callable[[], object], what: str) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            if condition():
                return
        except redis.ConnectionError:
            pass
        assert time.monotonic() < give_up, what
        time.sleep(0.1)


@contextmanager
def running_sentinels(directory: Path, *, down_after_ms: int = 1000) -> Iterator[SentinelSet]:
    with ExitStack() as stack:
        servers = []
        for name in ("primary", "replica"):
            (directory / name).mkdir()
            servers.append(stack.enter_context(running_server(directory / name)))
        servers[1].follow(servers[0])
        for server in servers:
            with server.client() as client:
                client.config_set("masterauth", REDIS_PASSWORD)
                client.config_set("requirepass", REDIS_PASSWORD)
        sentinels = SentinelSet(directory, servers, down_after_ms=down_after_ms)
        try:
            sentinels.until_ready()
            yield sentinels
        finally:
            for process in sentinels.processes:
                process.kill()
                process.wait()

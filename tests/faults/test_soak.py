"""A deployment that lives for a while with all that goes wrong in it, and does not grow: row 51.

In each round requests arrive, Connect fails, connections go silent, Redis and RabbitMQ are killed,
and one worker is killed and another one stopped. A round ends when all is decided. Then everything
is counted, and at the end the last rounds are compared with the first ones.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import pytest
import redis
import requests

from connect_worker.devtools.embedded_redis import free_port
from tests.support.console_client import PASSWORD, ConsoleClient
from tests.support.rabbitmq import RabbitMQ, needs_rabbitmq, running_rabbitmq
from tests.support.redis_process import RedisServer, running_server
from tests.support.silent_relay import SilentRelay, silent_relay
from tests.support.stack import PROCESSORS, assert_each_resolved_once
from tests.support.webhook_stack import WebhookStack

pytestmark = [pytest.mark.faults, pytest.mark.soak]

MINUTES = float(os.environ.get("SOAK_MINUTES", "10"))
ROUND_SECONDS = 60.0
#: Caches and pools have filled by then.
WARM_ROUNDS = 3
PATIENCE_SECONDS = 300.0
#: One way, between Redis and the worker that is far away.
SLOW_SECONDS = 0.02

#: What each round adds.
ARRIVALS = [
    ("fulfillment", "purchase", 30),
    ("fulfillment", "change", 10),
    ("tier-config", "setup", 10),
    ("usage-file", "ready", 5),
]
#: What each round breaks: a call to Connect or to the vendor's system.
BREAKS: list[dict[str, object]] = [
    {"action": "status", "status": 503, "path": "/requests/", "times": 3},
    {"action": "status", "status": 500, "path": "/vendor", "times": 3},
    {"action": "reset_after", "method": "POST", "path": "/approve", "times": 2},
    {"action": "delay", "seconds": 2, "path": "/requests", "times": 2},
]

#: Keys without an expiry while nothing is to be done, and how much each may hold.
LASTING = {
    # Counters: a field for each kind, state, outcome and product, and for the ways to fail.
    r"connect-worker:\{.+\}:(counts|outcomes|metrics|products)": 100,
    # A field for each kind; one account's circuit breaker.
    r"connect-worker:\{.+\}:(polls|breaker)": 10,
    # Two numbers: the ledger's clock.
    r"connect-worker:\{.+\}:clock": 40,
    # Whose the queues are.
    r"connect-worker:deployment": 1,
    # The queues that there are.
    r"_kombu\.binding(_permanent)?\.control": 5,
    # What workers had taken that were killed, or whose acknowledgement was lost with a connection.
    # kombu delivers it once more, after an hour.
    r"unacked(_index)?": 200,
}
#: How much more each process may have at the end than after the first rounds. Measured in 10
#: minutes: 4 MB, of a cache of Celery and of fragments; before the leaks were closed 12 MB.
MOST_GROWTH_MB = 8.0
#: Pools of connections are not always equally full.
MOST_MORE_FILES = 10
MOST_MORE_CONNECTIONS = 15
MOST_MORE_REDIS_KB = 500
#: A round has 55 records, and the last of them may be there still.
MOST_MORE_EXPIRING = 30
#: Of each process, and most of it is Celery's two lines for each job.
MOST_LOG_KB_PER_ROUND = 150


class SlowRelay(SilentRelay):
    """Carries each packet late."""

    async def pass_on(self, client: asyncio.StreamWriter) -> None:
        await asyncio.sleep(SLOW_SECONDS)
        await super().pass_on(client)


@dataclass(frozen=True)
class Sample:
    """What is there while nothing is to be done."""

    #: By process.
    resident_mb: Mapping[str, float]
    open_files: Mapping[str, int]
    log_kb: Mapping[str, float]
    connections: int
    #: Each key that does not expire, and how much it holds.
    lasting: Mapping[str, int]
    expiring: int
    redis_kb: float


@dataclass
class Deployment:
    """The stack, its servers, and what a round does to them."""

    stack: WebhookStack
    server: RedisServer
    rabbitmq: RabbitMQ | None
    relay: SilentRelay
    samples: list[Sample] = field(default_factory=list)
    _workers: int = 0

    def start(self, slow_url: str) -> None:
        stack = self.stack
        stack.seed()
        stack.receive()
        stack.command("register")
        stack.worker("prefork", "--pool", "prefork", "-c", "2")
        with changed(stack.environment, CONNECT_REDIS_URL=slow_url):
            stack.worker("threads", "--pool", "threads", "-c", "4")
        stack.worker("gevent", "--pool", "gevent", "-c", "4")
        self.replace()
        stack.celery("beat", "beat", "-l", "info")
        stack.start_flower("--max-tasks=200", "--purge-offline-workers=60")
        self.console = ConsoleClient(f"http://127.0.0.1:{self.serve('console')}")
        self.metrics_url = f"http://127.0.0.1:{self.serve('metrics')}/metrics"
        self.console.sign_in()

    def serve(self, command: str) -> int:
        """Start a server of this project, and wait until it answers; its port."""
        port = free_port()
        self.stack.start(command, "-m", "connect_worker", command, "--port", str(port))
        self.stack.until_soon(
            lambda: answers(f"http://127.0.0.1:{port}/healthcheck"), f"{command} listens"
        )
        return port

    def replace(self, *, by: Callable[[str], object] | None = None) -> None:
        """End the worker that comes and goes, and start the next one."""
        if by is not None:
            by(f"guest-{self._workers}")
        self._workers += 1
        pool = ("solo", "prefork", "threads", "gevent")[self._workers % 4]
        self.stack.celery(f"guest-{self._workers}", "worker", "-l", "info", "--pool", pool, "-c2")

    def round(self) -> None:
        """Live for a minute at least, and count what is there at its end."""
        began = time.monotonic()
        for kind, scenario, count in ARRIVALS:
            wish = {"kind": kind, "scenario": scenario, "count": count}
            self.stack.control("POST", "requests", wish)
        self.stack.control("POST", "faults", {"rules": BREAKS})
        self.live(5)
        self.replace(by=self.stack.kill)
        self.live(5)
        self.relay.silence()
        self.live(5)
        self.server.kill()
        self.live(3)
        self.server.start()
        if self.rabbitmq:
            self.live(5)
            self.rabbitmq.kill()
            self.rabbitmq.start()
        self.live(5)
        self.replace(by=self.stop)
        while not (self.stack.is_done() and self.stack.is_idle()):
            assert time.monotonic() < began + PATIENCE_SECONDS, self.stack.logs()
            self.live(1)
        self.live(max(5, began + ROUND_SECONDS - time.monotonic()))
        self.samples.append(self.sample())

    def live(self, seconds: float) -> None:
        """Let time pass, while people and Prometheus look."""
        until = time.monotonic() + seconds
        while True:
            requests.get(self.metrics_url, timeout=30).raise_for_status()
            # 503 while Redis is away.
            assert self.console.get("/").status_code in (200, 503)
            flower = f"{self.stack.flower_url}/api/workers?refresh=1"
            requests.get(flower, auth=self.stack.flower_auth, timeout=60)
            for name, process in self.stack.processes.items():
                assert process.poll() is None, f"{name} ended:\n{self.stack.log(name)}"
            if (left := until - time.monotonic()) <= 0:
                return
            time.sleep(min(left, 2))

    def stop(self, name: str) -> None:
        """Ask a worker to stop."""
        self.stack.processes[name].terminate()
        assert self.stack.until_ended(name) == 0

    def sample(self) -> Sample:
        """Count."""
        self.stack.answer("status")
        named = self.processes()
        with self.server.client() as client:
            sizes = {
                key: size_of(client, key)
                for key in client.scan_iter(count=1000)
                # One of each notification, for five minutes and more.
                if ":notification:" not in key
            }
            lasting = {key: size for key, size in sizes.items() if client.ttl(key) == -1}
            return Sample(
                resident_mb={name: resident_mb(pid) for name, pid in named.items()},
                open_files={
                    name: len(list(Path(f"/proc/{pid}/fd").iterdir()))
                    for name, pid in named.items()
                },
                log_kb={
                    name: (self.stack.directory / f"{name}.log").stat().st_size / 1024
                    for name in named
                    if ":" not in name
                },
                connections=self.connections(client),
                lasting=lasting,
                expiring=len(sizes) - len(lasting),
                redis_kb=int(client.info("memory")["used_memory"]) / 1024,
            )

    def connections(self, client: redis.Redis) -> int:
        """Return how many connections Redis and RabbitMQ have."""
        count = len(client.client_list())
        if self.rabbitmq:
            count += self.rabbitmq.count("connections")
        return count

    def processes(self) -> dict[str, int]:
        """Return the id of each process that lives all the time, the children of pools too."""
        found = {}
        for name, process in self.stack.processes.items():
            if name == "sandbox" or name.startswith("guest"):
                continue
            found[name] = process.pid
            for number, child in enumerate(sorted(children(process.pid)), start=1):
                found[f"{name}:{number}"] = child
        return found


@pytest.mark.parametrize(
    "broker", ["redis", pytest.param("rabbitmq", marks=[needs_rabbitmq, pytest.mark.rabbitmq])]
)
def test_a_long_life_with_every_fault_leaves_nothing_behind(tmp_path: Path, broker: str) -> None:
    with ExitStack() as servers:
        server = servers.enter_context(running_server(tmp_path, append_only=True))
        slow_url, relay = servers.enter_context(silent_relay(server.url, SlowRelay))
        settings = {}
        rabbitmq = None
        if broker == "rabbitmq":
            rabbitmq = servers.enter_context(running_rabbitmq())
            settings["CONNECT_BROKER_URL"] = rabbitmq.url
        stack = WebhookStack(
            tmp_path,
            server.url,
            CONNECT_PROCESSORS=PROCESSORS,
            CONNECT_POLL_SECONDS="5",
            # Records of ended requests go within a round.
            CONNECT_KEEP_DAYS=f"{20 / 86_400}",
            CONNECT_CONSOLE_PASSWORD=PASSWORD,
            **settings,
        )
        deployment = Deployment(stack, server, rabbitmq, relay)
        try:
            deployment.start(slow_url)
            ends_at = time.monotonic() + MINUTES * 60
            while time.monotonic() < ends_at or len(deployment.samples) < 2 * WARM_ROUNDS:
                deployment.round()
                print(deployment.samples[-1], flush=True)
            assert_each_resolved_once(stack.report())
            assert_nothing_grows(deployment.samples)
        finally:
            stack.stop()


def assert_nothing_grows(samples: list[Sample]) -> None:
    """Compare the last rounds with those after the first ones."""
    early, late = samples[WARM_ROUNDS - 1 : 2 * WARM_ROUNDS - 1], samples[-WARM_ROUNDS:]

    def grown(what: str, name: str = "") -> float:
        def values(of: list[Sample]) -> list[float]:
            found = [getattr(sample, what) for sample in of]
            return [value[name] for value in found] if name else found

        return median(values(late)) - median(values(early))

    for name in samples[-1].resident_mb:
        assert grown("resident_mb", name) < MOST_GROWTH_MB, name
        assert grown("open_files", name) < MOST_MORE_FILES, name
    for name in samples[-1].log_kb:
        written = samples[-1].log_kb[name] - samples[0].log_kb[name]
        assert written / (len(samples) - 1) < MOST_LOG_KB_PER_ROUND, name
    assert grown("connections") < MOST_MORE_CONNECTIONS
    assert grown("redis_kb") < MOST_MORE_REDIS_KB
    assert grown("expiring") < MOST_MORE_EXPIRING
    for key, size in samples[-1].lasting.items():
        most = next((most for name, most in LASTING.items() if re.fullmatch(name, key)), 0)
        assert size <= most, f"{key} stays for ever, with {size}"


@contextmanager
def changed(environment: dict[str, str], **variables: str) -> Iterator[None]:
    """Give the processes that start in this block other variables."""
    before = {name: environment[name] for name in variables}
    environment |= variables
    yield
    environment |= before


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.ConnectionError:
        return False


def size_of(client: redis.Redis, key: str) -> int:
    """Return how much a key holds."""
    commands = {
        "hash": client.hlen,
        "set": client.scard,
        "zset": client.zcard,
        "list": client.llen,
        "string": client.strlen,
    }
    kind = client.type(key)
    # It may have expired since.
    return int(commands[kind](key)) if kind in commands else 0


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

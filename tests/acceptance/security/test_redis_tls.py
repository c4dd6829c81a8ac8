"""`rediss://` for the ledger and the broker: a whole run over TLS, and no run over a false one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis
import requests
from kombu import Connection
from kombu.exceptions import OperationalError

from connect_worker.devtools.embedded_redis import embedded_redis, free_port
from connect_worker.settings.urls import celery_broker
from tests.support.certificates import Authority
from tests.support.runs import run_all_parts
from tests.support.stack import Stack
from tests.support.tls_front import TlsFront, tls_redis, tls_server

pytestmark = pytest.mark.acceptance


@contextmanager
def stack_over(directory: Path, url: str, **settings: str) -> Iterator[Stack]:
    stack = Stack(directory, url, **settings)
    try:
        yield stack
    finally:
        stack.stop()


def answers(url: str) -> bool:
    with redis.Redis.from_url(url) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


@pytest.mark.long
def test_everything_is_done_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with tls_redis(authority) as bare:
        url = f"{bare}?ssl_ca_certs={authority.ca_file}"
        with stack_over(tmp_path, url) as stack:
            assert answers(url)
            assert not answers(bare.replace("rediss", "redis"))
            run_all_parts(stack, 20)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["ledger", "broker"])
def test_a_server_that_the_authority_did_not_sign_is_not_spoken_to(
    part: str, tmp_path: Path
) -> None:
    (tmp_path / "false").mkdir()
    true, false = Authority(tmp_path), Authority(tmp_path / "false", "false")
    account = {
        "CONNECT_API_URL": "http://127.0.0.1:9/public/v1",
        "CONNECT_API_KEY": "SU-000-000-001:a-key-of-the-tests",
    }
    with tls_redis(false) as elsewhere, tls_redis(true) as here:
        true_url = f"{here}?ssl_ca_certs={true.ca_file}"
        false_url = f"{elsewhere}?ssl_ca_certs={true.ca_file}"
        ledger, broker = (true_url, false_url) if part == "broker" else (false_url, true_url)
        with stack_over(tmp_path, ledger, CONNECT_BROKER_URL=broker, **account) as stack:
            assert answers(true_url)
            assert answers(f"{elsewhere}?ssl_ca_certs={false.ca_file}")
            stack.worker("worker", "--pool", "solo")
            stack.until(
                lambda: "CERTIFICATE_VERIFY_FAILED" in stack.log("worker", lines=200),
                "the worker says why it does not speak to it",
                seconds=60,
            )
            if part == "broker":
                assert " ready." not in stack.log("worker", lines=200)


#: Each process, and which of its two servers has the wrong certificate. The first words are the
#: process; "get" asks its port for a page.
PROCESSES = {
    "rabbitmq": "celery worker --pool solo",
    "worker": "celery worker --pool solo",
    "beat": "celery beat",
    "flower": "celery flower --address=127.0.0.1 --port={port}",
    "console": "console --port {port}",
    "exporter": "metrics --port {port}",
    "status": "status --json",
    "doctor": "doctor --json",
    "poll": "poll",
}
#: These connect to the broker only, or to the ledger only.
ONE_SERVER = {
    "rabbitmq": "broker",
    "beat": "broker",
    "flower": "broker",
    "poll": "broker",
    "console": "ledger",
}
CASES = [
    pytest.param(process, server, wrong, marks=[] if quick else pytest.mark.slow)
    for process in PROCESSES
    for server in ("broker", "ledger")
    for wrong in ("authority", "address")
    if ONE_SERVER.get(process, server) == server
    for quick in [process in ("worker", "status") and server == "broker"]
]


@pytest.mark.parametrize(("process", "server", "wrong"), CASES)
def test_nothing_is_sent_to_a_server_with_a_wrong_certificate(
    process: str, server: str, wrong: str, tmp_path: Path
) -> None:
    """One server has a certificate that nobody trusts, the other one has a trusted one for another
    address."""
    (tmp_path / "false").mkdir()
    true, false = Authority(tmp_path), Authority(tmp_path / "false", "false")
    signer, address = (true, "10.1.2.3") if wrong == "address" else (false, "127.0.0.1")
    trust = f"?ssl_ca_certs={true.ca_file}" if wrong == "address" else ""
    with (
        embedded_redis() as good,
        tls_server(signer, address) as (impostor, front),
        open_stack(tmp_path, good, server, f"{impostor}{trust}") as stack,
    ):
        if process == "rabbitmq":
            # The handshake comes before the protocol.
            stack.environment["CONNECT_BROKER_URL"] = as_amqps(f"{impostor}{trust}")
        run_against(stack, PROCESSES[process], front)
        assert front.begun > 0
        assert front.accepted == 0


def test_rabbitmq_with_the_right_certificate_is_accepted(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with tls_server(authority) as (url, front):
        broker = celery_broker(as_amqps(f"{url}?ssl_ca_certs={authority.ca_file}"))
        with Connection(broker.url, ssl=broker.use_ssl or False) as connection:
            # The server is no RabbitMQ, so that what follows the handshake fails.
            with suppress(OperationalError):
                connection.ensure_connection(max_retries=1, interval_start=0, timeout=3)
            assert front.accepted > 0


def as_amqps(url: str) -> str:
    return url.replace("rediss://", "amqps://")


@contextmanager
def open_stack(directory: Path, good: str, server: str, impostor: str) -> Iterator[Stack]:
    ledger, broker = (good, impostor) if server == "broker" else (impostor, good)
    with stack_over(
        directory,
        ledger,
        CONNECT_BROKER_URL=broker,
        CONNECT_API_URL="http://127.0.0.1:9/public/v1",
        CONNECT_API_KEY="SU-000-000-001:a-key-of-the-tests",
        CONNECT_TIMEOUT_SECONDS="1",
    ) as stack:
        yield stack


def run_against(stack: Stack, words: str, front: TlsFront) -> None:
    """Run a command until its handshake has begun, and then for a second, or to its end."""
    port = free_port()
    arguments = words.format(port=port).split()
    if arguments[0] == "celery":
        stack.celery("process", *arguments[1:])
    elif str(port) in arguments:
        stack.start("process", "-m", "connect_worker", *arguments)
    else:
        stack.run(*arguments)
        return

    def has_begun() -> bool:
        if str(port) in words.format(port=port):
            with suppress(requests.RequestException):
                requests.get(f"http://127.0.0.1:{port}/metrics", timeout=2)
                requests.get(f"http://127.0.0.1:{port}/", timeout=2)
        return front.begun > 0

    stack.until(has_begun, "the process connects", seconds=60)
    time.sleep(1)

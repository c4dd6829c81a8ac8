"""`rediss://` for the ledger and the broker: a whole run over TLS, and no run over a false one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from tests.support.certificates import Authority
from tests.support.runs import run_all_parts
from tests.support.stack import Stack
from tests.support.tls_front import tls_redis

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]


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

"""`connect-worker metrics`: what it tells, and what it does when there is nobody to ask."""

from __future__ import annotations

import os
import pty
import socket
import subprocess
import sys
from contextlib import suppress
from urllib.parse import urljoin

import pytest
import requests

from connect_worker.cli.context import Exit
from connect_worker.devtools.embedded_redis import embedded_redis, free_port
from connect_worker.domain.states import PendingRequest, RequestKey, RequestKind
from connect_worker.ledger.redis import RedisLedger

from .metrics_exporter import ACCOUNT, PRODUCT, ROOT, environment, of, scrape, serving


def test_the_ledger_is_reported(served: str) -> None:
    samples = scrape(served)
    kind = {"account": ACCOUNT, "kind": "fulfillment"}
    product = {**kind, "product": PRODUCT}
    assert of(samples, "ledger_up") == 1
    assert of(samples, "requests", **product, state="queued") == 1
    assert of(samples, "requests", **product, state="parked") == 1
    assert of(samples, "cycles_total", **product, state="completed") == 1
    assert of(samples, "outcomes_total", **product, outcome="approved") == 1
    assert 0 < of(samples, "oldest_pending_seconds", **product) < 600
    assert of(samples, "oldest_pending_seconds", account=ACCOUNT, kind="usage", product="") == 0
    assert 0 <= of(samples, "poll_age_seconds", **kind) < 600
    assert of(samples, "poll_duration_seconds", **kind) == 0.5
    assert of(samples, "poll_complete", **kind) == 1
    assert 0 < of(samples, "breaker_open_seconds", account=ACCOUNT) <= 600
    assert of(samples, "breaker_failures", account=ACCOUNT) == 1


def test_attempts_retries_posts_and_errors_are_reported_by_product(served: str) -> None:
    samples = scrape(served)
    product = {"account": ACCOUNT, "kind": "fulfillment", "product": PRODUCT}
    assert of(samples, "attempts_total", **product) == 3
    assert of(samples, "retries_total", **product, cause="Connect down") == 1
    assert of(samples, "api_errors_total", **product, error="429") == 2
    assert of(samples, "api_errors_total", **product, error="no answer") == 1
    buckets = {
        bound: of(samples, "post_seconds_bucket", **product, le=bound)
        for bound in ("0.1", "0.25", "0.5", "30.0", "+Inf")
    }
    assert buckets == {"0.1": 1, "0.25": 1, "0.5": 2, "30.0": 2, "+Inf": 3}
    assert of(samples, "post_seconds_count", **product) == 3
    assert of(samples, "post_seconds_sum", **product) == pytest.approx(60.35)


def test_a_poll_that_broke_off_is_reported_and_one_without_a_processor_is_not(served: str) -> None:
    samples = scrape(served)
    assert of(samples, "poll_complete", account=ACCOUNT, kind="tier-config") == 0
    kinds = {dict(labels)["kind"] for name, labels in samples if name.endswith("poll_complete")}
    assert kinds == {"fulfillment", "tier-config"}
    # A kind that is due for its first poll has an interval, and an unused one has none.
    intervals = {
        dict(labels)["kind"]: seconds
        for (name, labels), seconds in samples.items()
        if name.endswith("poll_interval_seconds")
    }
    assert intervals == dict.fromkeys(("fulfillment", "tier-config", "usage-file"), 30)


def test_the_broker_is_reported(served: str) -> None:
    samples = scrape(served)
    assert of(samples, "broker_up") == 1
    assert of(samples, "queue_messages", queue="fulfillment") == 1
    assert of(samples, "queue_messages", queue="control") == 0


def test_nothing_is_reported_of_the_exporter_itself_or_of_the_key(served: str) -> None:
    text = requests.get(served, timeout=30).text
    assert {name.partition("_worker_")[0] for name, _ in scrape(served)} == {"connect"}
    assert "not-asked-for" not in text


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *((name, 200) for name in ("10.0.0.7:9808", "localhost", "metrics:9808", "m.prod.svc")),
        *((name, 421) for name in ("rebound.example", "127.0.0.1.rebound.example", "svc.example")),
        (socket.gethostname(), 200),
    ],
)
def test_a_name_that_another_site_may_have_is_refused(served: str, host: str, status: int) -> None:
    for path in ("/metrics", "/"):
        answer = requests.get(urljoin(served, path), headers={"Host": host}, timeout=10)
        assert answer.status_code == status
        assert ("connect_worker_" in answer.text) is (status == 200)
        assert status == 200 or "--host NAME" in answer.reason


def test_a_name_that_is_given_is_known(redis_url: str) -> None:
    with serving(redis_url, "--host", "metrics.example.com") as url:
        for host, status in (("metrics.example.com:9808", 200), ("rebound.example", 421)):
            assert requests.get(url, headers={"Host": host}, timeout=10).status_code == status


@pytest.mark.parametrize("away", ["ledger", "broker"])
def test_what_is_away_is_said_so(away: str) -> None:
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    with embedded_redis() as there:
        redis_url, broker_url = (nobody, there) if away == "ledger" else (there, nobody)
        with serving(redis_url, broker_url=broker_url) as url:
            samples = scrape(url)
    assert of(samples, "ledger_up") == (away != "ledger")
    assert of(samples, "broker_up") == (away != "broker")


def test_an_account_that_can_not_be_reported_is_a_message() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "connect_worker", "metrics", "--once"],
        cwd=ROOT,
        env=environment("redis://127.0.0.1:9/0") | {"CONNECT_API_URL": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == Exit.CONFIGURATION
    assert "CONNECT_API_URL not set" in ended.stderr


def test_a_products_name_does_not_command_a_terminal(redis_url: str) -> None:
    request = RequestKey(RequestKind.FULFILLMENT, "PR-1")
    ledger = RedisLedger.from_url(redis_url, account=ACCOUNT)
    pending = PendingRequest(request, "1", "PRD-\x1b[2J\u202e")
    ledger.register([pending], seen_at=ledger.now(), requeue_seconds=60)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "connect_worker", "metrics", "--once"]
    with subprocess.Popen(command, cwd=ROOT, env=environment(redis_url), stdout=theirs) as process:
        os.close(theirs)
        said = b""
        # Linux ends a terminal whose other side is closed with an error.
        with suppress(OSError):
            while part := os.read(ours, 65536):
                said += part
    os.close(ours)
    assert process.returncode == 0
    assert rb'product="PRD-\x1b[2J\u202e"' in said
    assert b"\x1b" not in said

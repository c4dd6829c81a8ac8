"""`connect-worker metrics` as a process over a real ledger in which something has happened."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
import requests
from prometheus_client.parser import text_string_to_metric_families

from connect_worker.config import Config
from connect_worker.domain.metrics import WorkerLoad
from connect_worker.domain.states import (
    Claim,
    PendingRequest,
    PollProblem,
    PollReport,
    RequestKey,
    RequestKind,
    State,
)
from connect_worker.engine.metrics import CallMetrics, metric_labels
from connect_worker.ledger.redis import RedisLedger
from connect_worker.settings.model import account_name

ROOT = Path(__file__).parents[3]
API_URL = "http://127.0.0.1:9/public/v1"
#: Its secret half is not needed.
KEY = "SU-000-000-001:not-asked-for"
PRODUCT = "PRD-000-000-001"
ACCOUNT = account_name(Config.local(API_URL, KEY))
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@contextmanager
def serving(redis_url: str, *options: str, broker_url: str = "") -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "connect_worker", "metrics", "--port", "0", *options],
        cwd=ROOT,
        env=environment(redis_url, broker_url),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r'"metrics at (\S+)"', line):
                yield found[1]
                break
        else:
            pytest.fail("it ended before it served")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def environment(redis_url: str, broker_url: str = "") -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("CONNECT_")}
    return inherited | {
        "CONNECT_API_URL": API_URL,
        "CONNECT_API_KEY": KEY,
        "CONNECT_REDIS_URL": redis_url,
        "CONNECT_BROKER_URL": broker_url,
    }


def fill(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.lpush("fulfillment", "a message")
    meter = CallMetrics()
    ledger = RedisLedger.from_url(redis_url, account=ACCOUNT, metric_buffer=meter)
    refs = [RequestKey(RequestKind.FULFILLMENT, f"PR-{number}") for number in range(3)]
    ledger.register(
        [PendingRequest(ref, None, PRODUCT) for ref in refs],
        seen_at=ledger.now(),
        requeue_seconds=60,
    )
    with metric_labels(RequestKind.FULFILLMENT, PRODUCT):
        for seconds in (0.05, 0.3, 60.0):
            meter("POST", "", seconds)
        meter("PUT", "429", 0.1)
        meter("GET", "429", 0.1)
        meter("GET", "no answer", 30)
        with meter.time_run():
            pass
    settled, parked = (take(ledger, ref) for ref in refs[:2])
    ledger.reschedule(settled, State.RETRY, delay_seconds=0, cause="Connect down")
    settled = take(ledger, refs[0])
    ledger.decide(settled, {"type": "approve"})
    ledger.complete(settled, "approved", keep_seconds=60)
    ledger.park(parked, "broken")
    ledger.record_poll(RequestKind.FULFILLMENT, PollReport(seconds=0.5, seen=3, new=3))
    ledger.record_poll(
        RequestKind.TIER_CONFIG, PollReport(problem=PollProblem.BREAKER_OPEN, detail="paused")
    )
    ledger.record_poll(RequestKind.USAGE, PollReport(problem=PollProblem.NO_PROCESSOR))
    ledger.record_worker("one", WorkerLoad(slots=4, busy=3))
    ledger.record_worker("two", WorkerLoad(slots=2, busy=0))
    ledger.trip_breaker(seconds=600, reason="Connect is down", failed=True)


def take(ledger: RedisLedger, ref: RequestKey) -> Claim:
    claim = ledger.claim(ref, owner="w1", lease_seconds=60)
    assert isinstance(claim, Claim)
    return claim


def scrape(url: str) -> Samples:
    answer = requests.get(url, timeout=30)
    answer.raise_for_status()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def of(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"connect_worker_{name}", frozenset(labels.items())]

"""The ledger's round trips per job, and their share of a job's time.

`python -m bench.roundtrips COUNT` is the part that runs with the worker's engine. The ledger has
its own Redis, so that the counter of Redis counts nothing else.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from bench.child import TimingProxy, run_child
from bench.jobs import KIND
from bench.sample import Row, Sample, Target
from bench.testbed import Testbed
from connect_worker.devtools.embedded_redis import embedded_redis


def measure(testbed: Testbed) -> Iterator[Row]:
    """Yield the count, and the ledger's share without and with latency of Connect."""
    no_latency = _take(testbed, testbed.size(1_000, quick=150), latency_ms=0)
    yield Row(
        what="ledger round trips per job",
        measured=Sample((no_latency["reads"],)),
        unit="round trips",
        target=Target(4),
        peer="counted at Redis: reads from clients; with the conversation message",
        facts={"calls_by_script": no_latency["scripts"]},
    )
    yield _share(no_latency, latency_ms=0)
    latency_ms = 100
    yield _share(
        _take(testbed, testbed.size(100, quick=20), latency_ms=latency_ms), latency_ms=latency_ms
    )


def _take(testbed: Testbed, count: int, *, latency_ms: int) -> Any:
    with embedded_redis() as ledger_url:
        testbed.reset(count, latency_ms=latency_ms)
        return run_child(
            testbed,
            "bench.roundtrips",
            count,
            CONNECT_REDIS_URL=ledger_url,
            CONNECT_BROKER_URL=testbed.redis_url,
        )


def _share(results: dict[str, Any], *, latency_ms: int) -> Row:
    return Row(
        what=f"share of the ledger in a job's time, at {latency_ms} ms API latency",
        measured=Sample(tuple(results["shares"])),
        unit="share",
        target=Target(0.1),
        peer="the whole job, in one process; five parts of the run",
        facts={"milliseconds_per_job": results["milliseconds"]},
    )


def main(count: str) -> None:
    """Run the job of every pending request here; print the ledger's times as JSON."""
    import redis

    from bench.backlog import Backlog
    from connect_worker.domain.states import RequestKey
    from connect_worker.engine.job_runner import run_job
    from connect_worker.engine.poller import poll
    from tasks.celery_support.bootstrap import runtime as worker_runtime
    from tasks.celery_support.bootstrap import settings

    real = worker_runtime()
    ledger = TimingProxy(real.ledger)
    runtime = replace(real, ledger=ledger)
    poll(real, KIND)
    counter = redis.Redis.from_url(settings().redis_url)
    refs = [RequestKey(KIND, name) for name in Backlog(int(count)).pending]
    for ref in refs[:10]:
        run_job(runtime, ref)
    refs = refs[10:]
    ledger.calls, ledger.seconds = 0, {}
    before = counter.info("stats")["total_reads_processed"]
    shares, milliseconds = [], []
    part = len(refs) // 5
    for start in range(0, part * 5, part):
        ledger_before, started = sum(ledger.seconds.values()), time.perf_counter()
        for ref in refs[start : start + part]:
            result = run_job(runtime, ref)
            if result.text != "approved":
                raise SystemExit(result.text)
        seconds = time.perf_counter() - started
        shares.append((sum(ledger.seconds.values()) - ledger_before) / seconds)
        milliseconds.append(1000 * seconds / part)
    # Reading the counter is one read itself.
    reads = counter.info("stats")["total_reads_processed"] - before - 1
    done = part * 5
    scripts = {name: 1000 * s / done for name, s in ledger.seconds.items()}
    print(
        json.dumps(
            {
                "reads": reads / done,
                "shares": shares,
                "milliseconds": milliseconds,
                "scripts": {"calls": ledger.calls / done, "milliseconds": scripts},
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Ledger round trips per job, and their share of its time.

`python -m bench.roundtrips COUNT` is the part that runs with the worker's engine. The ledger has a
Redis of its own, in which nothing else is counted.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from bench.child import Timed, run_child
from bench.jobs import KIND
from bench.place import Place
from bench.sample import Row, Sample, Target
from connect_worker.devtools.embedded_redis import embedded_redis


def measure(place: Place) -> Iterator[Row]:
    """Yield the count, and the share without and with a latency of Connect."""
    at_once = _take(place, place.size(1_000, quick=150), latency_ms=0)
    yield Row(
        what="ledger round trips per job",
        measured=Sample((at_once["reads"],)),
        unit="round trips",
        target=Target(4),
        peer="counted at Redis: reads from clients; with the conversation message",
        facts={"calls_by_script": at_once["scripts"]},
    )
    yield _share(at_once, latency_ms=0)
    latency_ms = 100
    yield _share(
        _take(place, place.size(100, quick=20), latency_ms=latency_ms), latency_ms=latency_ms
    )


def _take(place: Place, count: int, *, latency_ms: int) -> Any:
    with embedded_redis() as ledger_url:
        place.reset(count, latency_ms=latency_ms)
        return run_child(
            place,
            "bench.roundtrips",
            count,
            CONNECT_REDIS_URL=ledger_url,
            CONNECT_BROKER_URL=place.redis_url,
        )


def _share(taken: dict[str, Any], *, latency_ms: int) -> Row:
    return Row(
        what=f"share of the ledger in a job's time, at {latency_ms} ms API latency",
        measured=Sample(tuple(taken["shares"])),
        unit="share",
        target=Target(0.1),
        peer="the whole of the job, in one process; five parts of the run",
        facts={"milliseconds_per_job": taken["milliseconds"]},
    )


def main(count: str) -> None:
    """Handle every request that waits, here; print what the ledger took as JSON."""
    import redis

    from bench.backlog import Backlog
    from connect_worker.domain.states import RequestKey
    from connect_worker.engine.job_runner import run_job
    from connect_worker.engine.poller import poll
    from tasks.celery_support.bootstrap import runtime, settings

    real = runtime()
    ledger = Timed(real.ledger)
    here = replace(real, ledger=ledger)
    poll(real, KIND)
    counter = redis.Redis.from_url(settings().redis_url)
    refs = [RequestKey(KIND, name) for name in Backlog(int(count)).pending]
    for ref in refs[:10]:
        run_job(here, ref)
    refs = refs[10:]
    ledger.calls, ledger.seconds = 0, {}
    before = counter.info("stats")["total_reads_processed"]
    shares, milliseconds = [], []
    part = len(refs) // 5
    for start in range(0, part * 5, part):
        ledger_before, begun = sum(ledger.seconds.values()), time.perf_counter()
        for ref in refs[start : start + part]:
            handled = run_job(here, ref)
            if handled.text != "approved":
                raise SystemExit(handled.text)
        whole = time.perf_counter() - begun
        shares.append((sum(ledger.seconds.values()) - ledger_before) / whole)
        milliseconds.append(1000 * whole / part)
    # The counter's own question is one read.
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

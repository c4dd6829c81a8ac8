"""The cost of one more request while few requests wait, and while many wait.

`python -m bench.growth PASSES SIZE …` is the part that runs with the worker's engine, on its own
Redis.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.child import run_child
from bench.jobs import KIND, start_beat
from bench.sample import MeasurementError, Row, Sample, Target, sample
from bench.testbed import Testbed, await_condition
from connect_worker.devtools.embedded_redis import embedded_redis

#: The number of requests that are registered and completed at each depth.
MARGIN = 100


def measure(testbed: Testbed) -> Iterator[Row]:
    """Yield the ledger's time, Redis's bytes, and the worker's memory."""
    deepest = testbed.size(100_000, quick=10_000)
    depths = [depth for depth in (100, 1_000, 10_000, 100_000) if depth <= deepest]
    with embedded_redis() as url:
        results = run_child(
            testbed,
            "bench.growth",
            testbed.size(7, quick=2),
            *depths,
            CONNECT_REDIS_URL=url,
            CONNECT_BROKER_URL=testbed.redis_url,
        )
    costs = {int(depth): Sample(tuple(costs)) for depth, costs in results["costs"].items()}
    few, many = costs[depths[0]], costs[depths[-1]]
    ratios = [b / a for a, b in zip(few.values, many.values, strict=True)]
    yield Row(
        what=f"the ledger's cost of a request: {deepest:,} pending against {depths[0]}",
        measured=sample(ratios),
        unit="×",
        target=Target(1.2),
        peer=f"the same with {depths[0]} pending: register, claim, decide, record a step, complete",
        ours=many,
        theirs=few,
        side_unit="µs",
        facts={"median_microseconds": {depth: cost.median for depth, cost in costs.items()}},
    )
    yield Row(
        what="Redis memory per waiting request, its message included",
        measured=Sample((results["ledger_bytes"] + results["message_bytes"],)),
        unit="bytes",
        target=Target(1024),
        peer=f"INFO memory, {deepest:,} pending",
        facts={name: results[name] for name in ("ledger_bytes", "message_bytes")},
    )
    yield _worker_memory(testbed, (100, 2_000) if testbed.quick else (100, 1_000, 10_000, 100_000))


def _worker_memory(testbed: Testbed, depths: Sequence[int]) -> Row:
    """Compare a worker's peak memory after a poll of few requests and after a poll of many."""
    peaks = {depth: _peak_megabytes(testbed, depth) for depth in depths}
    few, many = depths[0], depths[-1]
    return Row(
        what=f"peak memory of a worker that polls {many:,} waiting requests",
        measured=Sample((peaks[many] / peaks[few],)),
        unit="×",
        target=Target(1.2),
        peer=f"the same with {few} waiting",
        ours=Sample((peaks[many],)),
        theirs=Sample((peaks[few],)),
        side_unit="MB",
        facts={"peak_megabytes": peaks},
    )


def _peak_megabytes(testbed: Testbed, count: int) -> float:
    """Return the peak resident memory of the process that polled."""
    testbed.reset(count)
    with testbed.processes() as processes:
        worker = testbed.worker(processes, "tasks", "-Q", "control", "-P", "prefork", "-c", "1")
        start_beat(testbed, processes)
        log = processes.children[0].log
        await_condition(
            lambda: f'"seen": {count}' in log.read_text(errors="replace"),
            processes,
            "the worker has polled",
        )
        family = [worker, *worker.children(recursive=True)]
        return max(_peak(process.pid) for process in family)


def _peak(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        raise MeasurementError("peak memory needs /proc, which this system lacks") from None
    line = next(line for line in lines if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main(passes: str, *depths: str) -> None:
    """Measure each depth in several passes; print the costs as JSON."""
    import redis

    from connect_worker.domain.states import RequestKey
    from tasks.celery_support.bootstrap import runtime as worker_runtime
    from tasks.celery_support.bootstrap import settings

    runtime = worker_runtime()
    client = redis.Redis.from_url(settings().redis_url)
    costs: dict[int, list[float]] = {int(depth): [] for depth in depths}
    results: dict[str, Any] = {"costs": costs}
    for _ in range(int(passes)):
        for depth in costs:
            _flush(client)
            empty = client.info("memory")["used_memory"]
            _register(
                runtime, [RequestKey(KIND, f"PR-0000-{number:06d}-000") for number in range(depth)]
            )
            results["ledger_bytes"] = (client.info("memory")["used_memory"] - empty) / depth
            more = [RequestKey(KIND, f"PR-0001-{number:06d}-000") for number in range(MARGIN)]
            started = time.perf_counter()
            _register(runtime, more)
            for ref in more:
                _complete(runtime, ref)
            costs[depth].append(1e6 * (time.perf_counter() - started) / MARGIN)
    broker = redis.Redis.from_url(settings().broker_url)
    _flush(broker)
    empty = broker.info("memory")["used_memory"]
    messages = [RequestKey(KIND, f"PR-0000-{number:06d}-000") for number in range(2_000)]
    runtime.publisher.publish(messages)
    used = broker.info("memory")["used_memory"] - empty
    results["message_bytes"] = used / len(messages)
    print(json.dumps(results))


def _flush(client: Any) -> None:
    """Empty Redis and wait: memory that is still being freed would hide the next allocation."""
    client.execute_command("FLUSHALL", "SYNC")


def _register(engine: Any, refs: Sequence[Any]) -> None:
    from connect_worker.domain.states import PendingRequest

    seen_at = engine.ledger.now()
    pending = [PendingRequest(ref, None, "PRD-000-000-000") for ref in refs]
    engine.ledger.register(pending, seen_at=seen_at, requeue_seconds=60)


def _complete(engine: Any, ref: Any) -> None:
    """Claim, decide and complete a request, in the ledger only."""
    claim = engine.ledger.claim(ref, owner=f"bench:{ref.id}", lease_seconds=60)
    decision = {"decision": {"type": "approve"}, "seen": "", "pending_status": "pending"}
    engine.ledger.decide(claim, decision)
    engine.ledger.record_step(claim, "approve", {"posted": "approved"})
    engine.ledger.complete(claim, "approved", keep_seconds=60)


if __name__ == "__main__":
    main(*sys.argv[1:])

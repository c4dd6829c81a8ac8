"""What one more request costs while few wait, and while many do.

`python -m bench.growth PASSES SIZE …` is the part that runs with the worker's engine, on a Redis
of its own.
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
from bench.place import Place, await_condition
from bench.sample import NotMeasured, Row, Sample, Target, sample
from connect_worker.devtools.embedded_redis import embedded_redis

#: So many requests are sighted and worked through at each depth.
MARGIN = 100


def measure(place: Place) -> Iterator[Row]:
    """Yield the ledger's time, Redis's bytes, and the worker's memory."""
    deepest = place.size(100_000, quick=10_000)
    depths = [depth for depth in (100, 1_000, 10_000, 100_000) if depth <= deepest]
    with embedded_redis() as url:
        taken = run_child(
            place,
            "bench.growth",
            place.size(7, quick=2),
            *depths,
            CONNECT_REDIS_URL=url,
            CONNECT_BROKER_URL=place.redis_url,
        )
    costs = {int(depth): Sample(tuple(costs)) for depth, costs in taken["costs"].items()}
    few, many = costs[depths[0]], costs[depths[-1]]
    ratios = [b / a for a, b in zip(few.values, many.values, strict=True)]
    yield Row(
        what=f"the ledger's cost of a request: {deepest:,} pending against {depths[0]}",
        measured=sample(ratios),
        unit="×",
        target=Target(1.2),
        peer=f"the same with {depths[0]} pending: sight, claim, decide, record, settle",
        ours=many,
        theirs=few,
        side_unit="µs",
        facts={"median_microseconds": {depth: cost.median for depth, cost in costs.items()}},
    )
    yield Row(
        what="Redis memory per waiting request, its message included",
        measured=Sample((taken["ledger_bytes"] + taken["message_bytes"],)),
        unit="bytes",
        target=Target(1024),
        peer=f"INFO memory, {deepest:,} pending",
        facts={name: taken[name] for name in ("ledger_bytes", "message_bytes")},
    )
    yield _worker_memory(place, (100, 2_000) if place.quick else (100, 1_000, 10_000, 100_000))


def _worker_memory(place: Place, depths: Sequence[int]) -> Row:
    """Compare the peak memory of a worker that has polled few with one that has polled many."""
    peaks = {depth: _peak_megabytes(place, depth) for depth in depths}
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


def _peak_megabytes(place: Place, count: int) -> float:
    """Return the greatest resident memory of the process that polled."""
    place.reset(count)
    with place.processes() as processes:
        worker = place.worker(processes, "tasks", "-Q", "control", "-P", "prefork", "-c", "1")
        start_beat(place, processes)
        log = processes.children[0].log
        await_condition(
            lambda: f'"seen": {count}' in log.read_text(errors="replace"),
            processes,
            "it has polled",
        )
        family = [worker, *worker.children(recursive=True)]
        return max(_peak(process.pid) for process in family)


def _peak(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        raise NotMeasured("peak memory is read from /proc, which is not here") from None
    found = next(line for line in lines if line.startswith("VmHWM"))
    return int(found.split()[1]) / 1024


def main(passes: str, *depths: str) -> None:
    """Measure each depth, over and over; print the costs as JSON."""
    import redis

    from connect_worker.domain.states import RequestKey
    from tasks.celery_support.bootstrap import runtime, settings

    here = runtime()
    client = redis.Redis.from_url(settings().redis_url)
    costs: dict[int, list[float]] = {int(depth): [] for depth in depths}
    taken: dict[str, Any] = {"costs": costs}
    for _ in range(int(passes)):
        for depth in costs:
            _flush(client)
            empty = client.info("memory")["used_memory"]
            _sight(here, [RequestKey(KIND, f"PR-0000-{number:06d}-000") for number in range(depth)])
            taken["ledger_bytes"] = (client.info("memory")["used_memory"] - empty) / depth
            more = [RequestKey(KIND, f"PR-0001-{number:06d}-000") for number in range(MARGIN)]
            begun = time.perf_counter()
            _sight(here, more)
            for ref in more:
                _work(here, ref)
            costs[depth].append(1e6 * (time.perf_counter() - begun) / MARGIN)
    broker = redis.Redis.from_url(settings().broker_url)
    _flush(broker)
    empty = broker.info("memory")["used_memory"]
    messages = [RequestKey(KIND, f"PR-0000-{number:06d}-000") for number in range(2_000)]
    here.publisher.publish(messages)
    used = broker.info("memory")["used_memory"] - empty
    taken["message_bytes"] = used / len(messages)
    print(json.dumps(taken))


def _flush(client: Any) -> None:
    """Empty Redis, and wait: memory that is still being freed would hide what comes next."""
    client.execute_command("FLUSHALL", "SYNC")


def _sight(engine: Any, refs: Sequence[Any]) -> None:
    from connect_worker.domain.states import PendingRequest

    seen_at = engine.ledger.now()
    sightings = [PendingRequest(ref, None, "PRD-000-000-000") for ref in refs]
    engine.ledger.register(sightings, seen_at=seen_at, requeue_seconds=60)


def _work(engine: Any, ref: Any) -> None:
    """Take a request the whole way, in the ledger alone."""
    claim = engine.ledger.claim(ref, owner=f"bench:{ref.id}", lease_seconds=60)
    decision = {"decision": {"type": "approve"}, "seen": "", "waited_as": "pending"}
    engine.ledger.decide(claim, decision)
    engine.ledger.record(claim, "approve", {"posted": "approved"})
    engine.ledger.complete(claim, "approved", keep_seconds=60)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A poll that finds 10,000 new requests, and the same poll again, without HTTP.

`python -m bench.polling COUNT PAIRS` is the part that runs in its own process, with the worker's
engine. The rows that Connect would send are in memory; the ledger and the broker are real.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NoReturn, cast

import requests

from bench.child import TimingProxy, run_child
from bench.jobs import KIND
from bench.sample import MeasurementError, Pairs, Row, Sample, Target, ratio_row
from bench.standin import API
from bench.testbed import Testbed


def measure(testbed: Testbed) -> Iterator[Row]:
    """Yield the row of the first poll and the row of the second."""
    count = testbed.size(10_000, quick=2_000)
    testbed.reset(count)
    results = run_child(testbed, "bench.polling", count, testbed.size(5, quick=2))
    first, again, bare = (Sample(tuple(results[name])) for name in ("first", "again", "bare"))
    yield ratio_row(
        f"a poll that finds {count:,} new requests: register and enqueue",
        Pairs(first, bare),
        peer=f"publishing {count:,} bare messages, same producer settings",
        side_unit="s",
        target=Target(1.0),
        **{name: results[name] for name in ("ledger_seconds", "publish_seconds", "over_http")},
    )
    yield ratio_row(
        "the same poll again, with nothing new",
        Pairs(again, first),
        peer="the poll that found everything new",
        side_unit="s",
        target=Target(0.05),
    )
    for what, unit in (("bytes", "MB"), ("processor time", "s")):
        selected, whole = (Sample(tuple(results[name][what])) for name in ("selected", "whole"))
        yield ratio_row(
            f"{what} of a poll of {count:,} known requests, over HTTP",
            Pairs(selected, whole),
            peer="the same poll with whole documents in its list",
            side_unit=unit,
            target=Target(0.2),
        )


@dataclass(frozen=True, slots=True)
class _Rows:
    """Connect's list, in memory."""

    rows: list[dict[str, Any]]

    def get_all(self, *_: object) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def get(self, *_: object) -> NoReturn:
        raise MeasurementError("a poll asked for more than the list")

    def send(self, *_: object, key: str) -> NoReturn:
        raise MeasurementError(f"a poll sent a change to Connect, with the key {key}")


def main(count: str, pairs: str) -> None:
    """Measure polls and bare publishing in turns; print the seconds as JSON."""
    from bench import bare
    from bench.backlog import PAYLOAD, Backlog
    from connect_worker.api import Client
    from connect_worker.engine.poller import poll
    from connect_worker.resources.processor import AutomationProcessor
    from tasks.celery_support.bootstrap import runtime as worker_runtime

    real = worker_runtime()
    document = json.loads(PAYLOAD.read_text("utf-8"))[0] | {"status": "pending"}
    names = list(Backlog(int(count)).pending)
    ledger, publisher = TimingProxy(real.ledger), TimingProxy(real.publisher)
    rows = [{**document, "id": name} for name in names]
    runtime = replace(
        real, connect=_Rows(rows), ledger=ledger, publisher=publisher, poll_seconds={}
    )

    def publish_bare() -> None:
        with bare.app.producer_pool.acquire(block=True) as producer:
            for name in names:
                bare.nothing.apply_async((name,), producer=producer)

    # A running worker has already loaded scripts, opened connections and imported modules.
    poll(replace(runtime, connect=_Rows(rows[:10])), KIND)
    results: dict[str, Any] = {"first": [], "again": [], "bare": []}
    for _ in range(int(pairs)):
        _empty()
        for name in ("first", "again"):
            results[name].append(_seconds(lambda: poll(runtime, KIND)))
        _require_messages(KIND.value, len(names))
        _empty()
        results["bare"].append(_seconds(publish_bare))
        _require_messages("bare", len(names))
    runs = int(pairs)
    results["ledger_seconds"] = {name: s / runs for name, s in ledger.seconds.items()}
    results["publish_seconds"] = publisher.seconds["publish"] / runs
    _empty()
    over_http = replace(real, poll_seconds={})
    results["over_http"] = {
        "poll_seconds": _seconds(lambda: poll(over_http, KIND)),
        "list_alone_seconds": _seconds(lambda: list(real.connect.get_all("requests"))),
    }
    connect = cast("Client", real.connect)
    processor = cast("AutomationProcessor", real.registry.of_kind(KIND)[0])
    for name in ("selected", "whole") * runs:
        processor._selects = name == "selected"
        sizes = results.setdefault(name, {"bytes": [], "processor time": []})
        before, began = _list_bytes(connect.url), time.process_time()
        poll(over_http, KIND)
        sizes["processor time"].append(time.process_time() - began)
        sizes["bytes"].append((_list_bytes(connect.url) - before) / 1e6)
    print(json.dumps(results))


def _empty() -> None:
    _redis().flushall()


def _require_messages(queue: str, count: int) -> None:
    length = _redis().llen(queue)
    if length != count:
        raise MeasurementError(f"{queue} has {length} messages instead of {count}")


def _redis() -> Any:
    import redis

    from tasks.celery_support.bootstrap import settings

    return redis.Redis.from_url(settings().redis_url)


def _list_bytes(api_url: str) -> int:
    report = requests.get(f"{api_url.removesuffix(API.rstrip('/'))}/bench/report", timeout=30)
    return int(report.json()["list_bytes"])


def _seconds(run: Any) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


if __name__ == "__main__":
    main(*sys.argv[1:])

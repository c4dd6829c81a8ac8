"""A poll that finds 10,000 new requests, and the same poll again; beside the HTTP.

`python -m bench.polling COUNT PAIRS` is the part that runs in a process of its own, with the
worker's engine: the rows that Connect would send are in memory, ledger and broker are real.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from bench.child import Timed, run_child
from bench.jobs import KIND
from bench.place import Place
from bench.sample import NotMeasured, Pairs, Row, Sample, Target, ratio_row


def measure(place: Place) -> Iterator[Row]:
    """Yield the row of the first poll, and that of the second."""
    count = place.size(10_000, quick=2_000)
    place.reset(count)
    taken = run_child(place, "bench.polling", count, place.size(5, quick=2))
    first, again, bare = (Sample(tuple(taken[name])) for name in ("first", "again", "bare"))
    yield ratio_row(
        f"a poll that finds {count:,} new requests: claim and enqueue",
        Pairs(first, bare),
        peer=f"publishing {count:,} bare messages, same producer settings",
        side_unit="s",
        target=Target(1.0),
        **{name: taken[name] for name in ("ledger_seconds", "publish_seconds", "over_http")},
    )
    yield ratio_row(
        "the same poll again, with nothing new",
        Pairs(again, first),
        peer="the poll that found everything new",
        side_unit="s",
        target=Target(0.05),
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    """Connect's list, in memory."""

    rows: list[dict[str, Any]]

    def get_all(self, *_: object) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def get(self, *_: object) -> NoReturn:
        raise NotMeasured("a poll asked for more than the list")

    def send(self, *_: object, key: str) -> NoReturn:
        raise NotMeasured(f"a poll changed something, with the key {key}")


def main(count: str, pairs: str) -> None:
    """Measure polls and bare publishing in turns; print the seconds as JSON."""
    from bench import bare
    from bench.backlog import PAYLOAD, Backlog
    from connect_worker.engine.poller import poll
    from tasks.celery_support.bootstrap import runtime

    real = runtime()
    document = json.loads(PAYLOAD.read_text("utf-8"))[0] | {"status": "pending"}
    names = list(Backlog(int(count)).pending)
    ledger, publisher = Timed(real.ledger), Timed(real.publisher)
    rows = [{**document, "id": name} for name in names]
    here = replace(real, connect=_Rows(rows), ledger=ledger, publisher=publisher, poll_seconds={})

    def publish_bare() -> None:
        with bare.app.producer_pool.acquire(block=True) as producer:
            for name in names:
                bare.nothing.apply_async((name,), producer=producer)

    # Scripts loaded, connections made, modules imported: what a worker has behind it.
    poll(replace(here, connect=_Rows(rows[:10])), KIND)
    taken: dict[str, Any] = {"first": [], "again": [], "bare": []}
    for _ in range(int(pairs)):
        _empty()
        for name in ("first", "again"):
            taken[name].append(_seconds(lambda: poll(here, KIND)))
        _require_messages(KIND.value, len(names))
        _empty()
        taken["bare"].append(_seconds(publish_bare))
        _require_messages("bare", len(names))
    runs = int(pairs)
    taken["ledger_seconds"] = {name: s / runs for name, s in ledger.seconds.items()}
    taken["publish_seconds"] = publisher.seconds["publish"] / runs
    _empty()
    whole = replace(real, poll_seconds={})
    taken["over_http"] = {
        "poll_seconds": _seconds(lambda: poll(whole, KIND)),
        "list_alone_seconds": _seconds(lambda: list(real.connect.get_all("requests"))),
    }
    print(json.dumps(taken))


def _empty() -> None:
    _redis().flushall()


def _require_messages(queue: str, count: int) -> None:
    found = _redis().llen(queue)
    if found != count:
        raise NotMeasured(f"{found} messages in {queue}, and {count} were to be sent")


def _redis() -> Any:
    import redis

    from tasks.celery_support.bootstrap import settings

    return redis.Redis.from_url(settings().redis_url)


def _seconds(run: Any) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main(*sys.argv[1:])

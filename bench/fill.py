"""Fills a queue: `python -m bench.fill ours` polls, `python -m bench.fill bare N` publishes."""

from __future__ import annotations

import sys


def main(side: str, count: str = "0") -> None:
    """Enqueue everything that waits in the stand-in."""
    if side == "ours":
        from connect_worker.engine.poll import poll
        from connect_worker.processing.states import Kind
        from tasks.wiring import engine

        polled = poll(engine(), Kind.FULFILLMENT)
        if polled.problem:
            raise SystemExit(polled.problem)
        return
    from bench import bare
    from bench.backlog import Backlog

    with bare.app.producer_pool.acquire(block=True) as producer:
        for name in Backlog(int(count)).pending:
            bare.approve.apply_async((name,), producer=producer)


if __name__ == "__main__":
    main(*sys.argv[1:])

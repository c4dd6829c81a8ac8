"""Fills the queues: `python -m bench.fill ours` polls; `… approve N` and `… nothing N` publish."""

from __future__ import annotations

import sys


def main(what: str, count: str) -> None:
    """Enqueue all pending requests of the stand-in, or that many messages of a bare task."""
    if what == "ours":
        from connect_worker.domain.states import RequestKind
        from connect_worker.engine.poller import poll
        from tasks.celery_support.bootstrap import runtime as worker_runtime

        result = poll(worker_runtime(), RequestKind.FULFILLMENT)
        if result.problem:
            raise SystemExit(result.detail)
        return
    from bench import bare
    from bench.backlog import Backlog

    with bare.app.producer_pool.acquire(block=True) as producer:
        for name in Backlog(int(count)).pending:
            getattr(bare, what).apply_async((name,), producer=producer)


if __name__ == "__main__":
    main(*sys.argv[1:])

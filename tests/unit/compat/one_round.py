"""A worker's round without Celery and Redis: `python -m tests.unit.compat.one_round MODULE …`.

Loads the modules as the worker does, polls each kind once, and handles what came up.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from connect_worker.api import Client
from connect_worker.config import Config
from connect_worker.domain.kinds import ChangeHint
from connect_worker.domain.states import NO_BACKLOG, Backlog, RequestKey, RequestKind
from connect_worker.engine.job_runner import run_job
from connect_worker.engine.lease import LeaseKeeper
from connect_worker.engine.poller import poll
from connect_worker.engine.runtime import Runtime
from connect_worker.ledger.memory import MemoryLedger
from connect_worker.resources.processor import load_registry


class Publisher:
    def __init__(self) -> None:
        self.refs: list[RequestKey] = []

    def publish(self, refs: Iterable[RequestKey]) -> None:
        self.refs.extend(refs)

    def publish_hints(self, notices: Iterable[ChangeHint]) -> None:
        assert not list(notices), "nobody has sent a notification"

    def backlogged(self) -> Backlog:
        return NO_BACKLOG


def main(modules: list[str]) -> None:
    config = Config.local(file="config.json")
    ledger, publisher = MemoryLedger(), Publisher()
    engine = Runtime(
        ledger=ledger,
        connect=Client(config.api_url, config.api_key),
        publisher=publisher,
        registry=load_registry(modules, config),
        leases=LeaseKeeper(ledger),
        account="test",
        worker="worker-1",
    )
    for kind in RequestKind:
        poll(engine, kind)
    for ref in publisher.refs:
        print(ref.id, run_job(engine, ref).text)


if __name__ == "__main__":
    main(sys.argv[1:])

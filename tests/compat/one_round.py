"""A worker's round without Celery and Redis: `python -m compat.one_round MODULE …`.

Loads the modules as the worker does, polls each kind once, and handles what came up.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from connect_worker.api import Client
from connect_worker.config import Config
from connect_worker.domain.change_hints import Notice
from connect_worker.domain.routing import NO_BACKLOG, Backlog
from connect_worker.domain.states import Kind, Ref
from connect_worker.engine.job_runner import handle
from connect_worker.engine.lease import Heart
from connect_worker.engine.poller import poll
from connect_worker.engine.runtime import Engine
from connect_worker.ledger.memory import MemoryLedger
from connect_worker.resources.discovery import load_registry


class Publisher:
    def __init__(self) -> None:
        self.refs: list[Ref] = []

    def publish(self, refs: Iterable[Ref]) -> None:
        self.refs.extend(refs)

    def notify(self, notices: Iterable[Notice]) -> None:
        assert not list(notices), "nobody has sent a notification"

    def backlogged(self) -> Backlog:
        return NO_BACKLOG


def main(modules: list[str]) -> None:
    config = Config.local(file="config.json")
    ledger, publisher = MemoryLedger(), Publisher()
    engine = Engine(
        ledger=ledger,
        connect=Client(config.api_url, config.api_key),
        publisher=publisher,
        registry=load_registry(modules, config),
        heart=Heart(ledger),
        account="test",
        worker="worker-1",
    )
    for kind in Kind:
        poll(engine, kind)
    for ref in publisher.refs:
        print(ref.id, handle(engine, ref).text)


if __name__ == "__main__":
    main(sys.argv[1:])

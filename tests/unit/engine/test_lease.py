"""Leases are renewed while jobs run, whatever the number of threads that start at once."""

from __future__ import annotations

import threading
import time

import pytest

from connect_worker.domain.states import Claim, PendingRequest, RequestKey, RequestKind
from connect_worker.engine.lease import LeaseKeeper
from connect_worker.exceptions import LeaseLost
from connect_worker.ledger.memory import MemoryLedger

LEASE_SECONDS = 2.0


def claims(ledger: MemoryLedger, count: int) -> list[Claim]:
    refs = [RequestKey(RequestKind.FULFILLMENT, f"PR-{number}") for number in range(count)]
    ledger.register([PendingRequest(ref) for ref in refs], seen_at=ledger.now(), requeue_seconds=60)
    given = [ledger.claim(ref, owner=ref.id, lease_seconds=LEASE_SECONDS) for ref in refs]
    return [claim for claim in given if isinstance(claim, Claim)]


def heartbeats() -> int:
    return sum(thread.name == "heartbeat" for thread in threading.enumerate())


def test_every_lease_outlives_its_length_while_its_job_runs() -> None:
    ledger = MemoryLedger()
    heart = LeaseKeeper(ledger)
    before = heartbeats()
    held: list[bool] = []
    start = threading.Barrier(20)

    def job(claim: Claim) -> None:
        start.wait()
        with heart.keep_alive(claim) as pulse:
            end = time.monotonic() + 2 * LEASE_SECONDS
            while time.monotonic() < end:
                threading.Event().wait(0.05)
            pulse.ensure_held()
            held.append(ledger.renew_lease(claim))

    threads = [threading.Thread(target=job, args=(claim,)) for claim in claims(ledger, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held == [True] * 20
    assert heartbeats() == before + 1, "one thread renews them all"


def test_a_lease_that_somebody_else_has_is_noticed_before_a_write() -> None:
    now = [1_000.0]
    ledger = MemoryLedger(clock=lambda: now[0])
    (claim,) = claims(ledger, 1)
    with LeaseKeeper(ledger).keep_alive(claim) as pulse:
        now[0] += LEASE_SECONDS + 1
        ledger.take_due(limit=9, requeue_seconds=60, max_attempts=9)
        pulse.renew()
        with pytest.raises(LeaseLost):
            pulse.ensure_held()

"""Leases are renewed while jobs run, whatever the number of threads that start at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from connect_worker.domain.states import Claim, PendingRequest, RequestKey, RequestKind
from connect_worker.engine.lease import Lease, LeaseBackup, LeaseKeeper
from connect_worker.exceptions import LeaseLost, LedgerUnavailable
from connect_worker.ledger.memory import MemoryLedger

LEASE_SECONDS = 2.0
SHORT_SECONDS = 1.0


def claims(ledger: MemoryLedger, count: int, seconds: float = LEASE_SECONDS) -> list[Claim]:
    refs = [RequestKey(RequestKind.FULFILLMENT, f"PR-{number}") for number in range(count)]
    ledger.register([PendingRequest(ref) for ref in refs], seen_at=ledger.now(), requeue_seconds=60)
    given = [ledger.claim(ref, owner=ref.id, lease_seconds=seconds) for ref in refs]
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


class CountingLedger(MemoryLedger):
    """Counts the renewals that it is asked for."""

    renewals = 0
    is_down = False

    def renew_lease(self, claim: Claim) -> bool:
        self.renewals += 1
        if self.is_down:
            raise LedgerUnavailable("Redis can't be reached")
        return super().renew_lease(claim)

    def is_renewed_within(self, seconds: float) -> bool:
        """Whether a renewal comes; those that were on their way at the start do not count."""
        time.sleep(SHORT_SECONDS / 8)
        before, end = self.renewals, time.monotonic() + seconds
        while self.renewals == before and time.monotonic() < end:
            time.sleep(0.01)
        return self.renewals > before


@pytest.fixture
def silent_process() -> Iterator[tuple[CountingLedger, int, int]]:
    """A forked process that holds a lease and never renews it; its id, and a pipe to it.

    It says that its job has ended when something is written to the pipe.
    """
    # Its clock stands still: on a slow machine, too, the lease is there to be renewed.
    ledger = CountingLedger(clock=lambda: 1_000_000_000.0)
    (claim,) = claims(ledger, 1, SHORT_SECONDS)
    backup = LeaseBackup(ledger)
    backup.start()
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        backup.hold(claim)
        os.read(reader, 1)
        backup.release()
        time.sleep(60)
        os._exit(0)
    try:
        yield ledger, pid, writer
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
        os.close(reader)
        os.close(writer)


def test_the_main_process_renews_for_a_silent_process_until_its_job_ends(
    silent_process: tuple[CountingLedger, int, int],
) -> None:
    ledger, _, pipe = silent_process
    assert ledger.is_renewed_within(SHORT_SECONDS)
    os.write(pipe, b".")
    assert not ledger.is_renewed_within(SHORT_SECONDS)


@pytest.mark.parametrize("is_reaped", [True, False])
def test_the_main_process_renews_nothing_for_a_process_that_was_killed(
    silent_process: tuple[CountingLedger, int, int], is_reaped: bool
) -> None:
    ledger, pid, _ = silent_process
    assert ledger.is_renewed_within(SHORT_SECONDS)
    os.kill(pid, signal.SIGKILL)
    if is_reaped:
        os.waitpid(pid, 0)
    assert not ledger.is_renewed_within(SHORT_SECONDS)


def test_the_main_process_renews_nothing_while_a_process_is_stopped(
    silent_process: tuple[CountingLedger, int, int],
) -> None:
    ledger, pid, _ = silent_process
    os.kill(pid, signal.SIGSTOP)
    assert not ledger.is_renewed_within(0.7 * SHORT_SECONDS)
    os.kill(pid, signal.SIGCONT)
    assert ledger.is_renewed_within(SHORT_SECONDS)


def test_only_a_renewal_that_the_ledger_granted_is_reported(
    silent_process: tuple[CountingLedger, int, int], caplog: pytest.LogCaptureFixture
) -> None:
    ledger, _, _ = silent_process
    ledger.is_down = True
    for _ in range(3):
        assert ledger.is_renewed_within(SHORT_SECONDS)
    assert "lease.renewal_failed" in caplog.text
    assert "lease.renewed_by_main_process" not in caplog.text
    ledger.is_down = False
    assert ledger.is_renewed_within(SHORT_SECONDS)
    assert ledger.is_renewed_within(SHORT_SECONDS)
    assert "lease.renewed_by_main_process" in caplog.text


class DeafBackup(LeaseBackup):
    """Its main process reads nothing, as one that is stopped."""

    def _run(self) -> None:
        pass


def test_a_job_does_not_wait_for_a_main_process_that_reads_nothing() -> None:
    ledger = MemoryLedger()
    (claim,) = claims(ledger, 1)
    backup = DeafBackup(ledger)
    backup.start()
    pid = os.fork()
    if not pid:
        for _ in range(5_000):
            backup.hold(claim)
        os._exit(7)
    end = time.monotonic() + 30
    while not (ended := os.waitpid(pid, os.WNOHANG))[0] and time.monotonic() < end:
        time.sleep(0.01)
    if not ended[0]:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(ended[1]) == 7


class RecordingBackup(LeaseBackup):
    """Notes what it would send to the main process."""

    def __init__(self, ledger: MemoryLedger) -> None:
        super().__init__(ledger)
        self.sent: list[str] = []

    def hold(self, claim: Claim) -> None:
        self.sent.append("hold")

    def release(self) -> None:
        self.sent.append("release")


def test_the_main_process_does_not_learn_of_a_renewal_that_ends_after_the_job() -> None:
    ledger = MemoryLedger()
    (claim,) = claims(ledger, 1)
    backup = RecordingBackup(ledger)
    pulse = Lease(ledger, claim, backup)
    pulse.renew()
    pulse.revoke()
    pulse.renew()
    assert backup.sent == ["hold", "release"]

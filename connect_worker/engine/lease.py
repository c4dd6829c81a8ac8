"""Leases: while a job runs, a thread of its process renews its lease."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from connect_worker.domain.states import Claim
from connect_worker.engine.ports import RequestRecords
from connect_worker.exceptions import LeaseLost, LedgerUnavailable
from connect_worker.logger import LogEvent, logger

#: A lease is renewed three times before it would end: two renewals may be lost.
RENEWALS_PER_LEASE = 3


class Lease:
    """One job's view of its own lease."""

    def __init__(self, ledger: RequestRecords, claim: Claim) -> None:
        self.claim = claim
        self.lost = False
        self._ledger = ledger
        self._renewed = time.monotonic()

    @property
    def age_seconds(self) -> float:
        """Seconds since the lease was known to hold, by this machine's steady clock."""
        return time.monotonic() - self._renewed

    def renew(self) -> None:
        """Renew the lease; a refusal marks it as lost, a ledger that is down changes nothing."""
        asked = time.monotonic()
        try:
            held = self._ledger.renew_lease(self.claim)
        except LedgerUnavailable as exc:
            logger.warning(LogEvent("lease.renewal_failed", request=self.claim.ref, error=exc))
            return
        if held:
            self._renewed = asked
        else:
            self.lost = True

    def ensure_held(self) -> None:
        """Return only while the lease holds; called before each write to another system.

        A process that was frozen can't trust that its thread renewed the lease: when the last
        renewal is old, the ledger is asked again.

        Raises:
            LeaseLost: Another worker may own the request now.
        """
        if not self.lost and self.age_seconds > self.claim.lease_seconds / 2:
            self.renew()
        if self.lost or self.age_seconds > self.claim.lease_seconds:
            raise LeaseLost(f"{self.claim.ref}: the lease of fence {self.claim.fence} has ended")


class LeaseKeeper:
    """One thread that renews all leases of this process; started with the first job."""

    def __init__(self, ledger: RequestRecords) -> None:
        self._ledger = ledger
        self._leases: dict[str, Lease] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._starting = threading.Lock()

    @contextmanager
    def keep_alive(self, claim: Claim) -> Iterator[Lease]:
        """Keep the claim's lease alive for the length of a `with` block."""
        lease = Lease(self._ledger, claim)
        self._ensure_thread()
        with self._changed:
            self._leases[claim.owner] = lease
            self._changed.notify()
        try:
            yield lease
        finally:
            with self._changed:
                self._leases.pop(claim.owner, None)

    def _ensure_thread(self) -> None:
        """Start the thread; once per process, since a fork takes no threads along."""
        with self._starting:
            if self._pid == os.getpid() and self._thread is not None and self._thread.is_alive():
                return
            self._pid = os.getpid()
            self._changed = threading.Condition()
            self._leases = {}
            self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        changed = self._changed
        while True:
            with changed:
                while not self._leases:
                    changed.wait()
                leases = list(self._leases.values())
            due = [
                lease
                for lease in leases
                if lease.age_seconds >= lease.claim.lease_seconds / RENEWALS_PER_LEASE
            ]
            for lease in due:
                if not lease.lost:
                    lease.renew()
            shortest = min(lease.claim.lease_seconds for lease in leases)
            time.sleep(shortest / RENEWALS_PER_LEASE / 4)

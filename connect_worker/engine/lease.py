"""Leases: while a job runs, a thread of its process renews its lease, or else the main process."""

from __future__ import annotations

import json
import os
import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from connect_worker.domain.states import Claim, RequestKey
from connect_worker.engine.ports import RequestRecords
from connect_worker.exceptions import LeaseLost, LedgerUnavailable
from connect_worker.logger import LogEvent, logger

#: A lease is renewed three times before it would end: two renewals may be lost.
RENEWALS_PER_LEASE = 3

#: Why the thread that renews leases had no turn.
STARVED = (
    'a processor held Python\'s interpreter lock (GIL), or the process was frozen: see "Pools" in '
    "docs/deployment.md"
)


class Lease:
    """One job's view of its own lease.

    Args:
        ledger: Renews it.
        claim: Whose lease it is.
        backup: Learns when the lease was renewed, and when it is no longer to be renewed.
    """

    def __init__(
        self, ledger: RequestRecords, claim: Claim, backup: LeaseBackup | None = None
    ) -> None:
        self.claim = claim
        self.lost = False
        self._ledger = ledger
        self._backup = backup
        #: Without it, a renewal that is under way could reach the backup after the end of the job.
        self._telling = threading.Lock()
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
        if not held:
            self.lost = True
            return
        self._renewed = asked
        with self._telling:
            if self._backup and not self.lost:
                self._backup.hold(self.claim)

    def revoke(self) -> None:
        """Prevent all further writes of the job, and let the lease end."""
        with self._telling:
            self.lost = True
            if self._backup:
                self._backup.release()

    def ensure_held(self) -> None:
        """Return only while the lease holds; called before each write to another system.

        A process that was frozen can't trust that its thread renewed the lease: when the last
        renewal is old, the ledger is asked again.

        Raises:
            LeaseLost: Another worker may own the request now.
        """
        age = self.age_seconds
        if not self.lost and age > self.claim.lease_seconds / 2:
            self.renew()
        if self.lost or self.age_seconds > self.claim.lease_seconds:
            why = f"; no renewal for {age:.0f} s" if age > self.claim.lease_seconds else ""
            raise LeaseLost(
                f"{self.claim.ref}: the lease of fence {self.claim.fence} has ended{why}"
            )


class LeaseBackup:
    """Renews leases in a worker's main process while the pool's processes that hold them can't.

    A call into an extension, or a regular expression, may hold Python's interpreter lock (GIL) for
    longer than a lease: no other thread of its process runs then. The processes of a prefork pool
    say in a pipe which lease they hold, and after each renewal. The main process, in which no
    processor runs, renews a lease of which it has heard nothing for half of its length, as long as
    the process runs. A process that was killed or stopped is not backed up.
    """

    def __init__(self, ledger: RequestRecords) -> None:
        self._ledger = ledger
        self._main = 0
        self._reader = self._writer = -1
        #: The lease of each process, which has one job at a time.
        self._leases: dict[int, Lease] = {}
        self._renewing: set[int] = set()

    def start(self) -> None:
        """Start, in the main process, before it starts its pool."""
        self._main = os.getpid()
        self._reader, self._writer = os.pipe()
        threading.Thread(target=self._run, name="lease backup", daemon=True).start()

    def hold(self, claim: Claim) -> None:
        """Say that this process holds the lease, and has renewed it now."""
        self._send(str(claim.ref), claim.fence, claim.owner, claim.lease_seconds)

    def release(self) -> None:
        """Say that this process holds no lease."""
        self._send()

    def _send(self, *claim: str | float) -> None:
        pid = os.getpid()
        if self._main in (0, pid):
            return
        if self._reader >= 0:
            # The main process alone reads: when it ends, writing fails, and does not wait.
            os.close(self._reader)
            self._reader = -1
        with suppress(OSError):
            # Shorter than a pipe's buffer, so that messages of several processes do not mix.
            os.write(self._writer, f"{json.dumps([pid, *claim])}\n".encode())

    def _run(self) -> None:
        pipe, rest = select.poll(), b""
        pipe.register(self._reader, select.POLLIN)
        while True:
            if pipe.poll(self._check_seconds() * 1000):
                *lines, rest = (rest + os.read(self._reader, select.PIPE_BUF)).split(b"\n")
                for line in lines:
                    self._note(*json.loads(line))
            for pid, lease in list(self._leases.items()):
                if lease.age_seconds > lease.claim.lease_seconds / 2:
                    self._renew(pid, lease)

    def _check_seconds(self) -> float:
        return min(
            (lease.claim.lease_seconds / 12 for lease in self._leases.values()), default=60.0
        )

    def _note(
        self, pid: int, ref: str = "", fence: int = 0, owner: str = "", seconds: float = 0
    ) -> None:
        if not ref:
            self._leases.pop(pid, None)
            return
        key = RequestKey.parse(ref)
        claim = Claim(ref=key, cycle="", fence=fence, owner=owner, attempt=0, lease_seconds=seconds)
        self._leases[pid] = Lease(self._ledger, claim)

    def _renew(self, pid: int, lease: Lease) -> None:
        try:
            ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            # The pool has noticed its end.
            del self._leases[pid]
            return
        if lease.lost:
            del self._leases[pid]
        elif ended is None and pid not in self._renewing:
            self._renewing.add(pid)
            # The ledger may take long to answer, and the pipe must not fill up meanwhile.
            threading.Thread(target=self._renew_now, args=(pid, lease), daemon=True).start()

    def _renew_now(self, pid: int, lease: Lease) -> None:
        silent = round(lease.age_seconds, 1)
        lease.renew()
        self._renewing.discard(pid)
        if not lease.lost:
            logger.warning(
                LogEvent(
                    "lease.renewed_by_main_process",
                    request=lease.claim.ref.id,
                    pid=pid,
                    seconds=silent,
                    why=STARVED,
                )
            )


class LeaseKeeper:
    """One thread that renews all leases of this process; started with the first job."""

    def __init__(self, ledger: RequestRecords) -> None:
        self._ledger = ledger
        self._backup: LeaseBackup | None = None
        self._leases: dict[str, Lease] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._starting = threading.Lock()

    def start_backup(self) -> None:
        """Renew from this process what processes that it forks later can't renew themselves."""
        self._backup = LeaseBackup(self._ledger)
        self._backup.start()

    @contextmanager
    def keep_alive(self, claim: Claim) -> Iterator[Lease]:
        """Keep the claim's lease alive for the length of a `with` block."""
        lease = Lease(self._ledger, claim, self._backup)
        self._ensure_thread()
        if self._backup:
            self._backup.hold(claim)
        with self._changed:
            self._leases[claim.owner] = lease
            self._changed.notify()
        try:
            yield lease
        finally:
            with self._changed:
                self._leases.pop(claim.owner, None)
            lease.revoke()

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
            pause = shortest / RENEWALS_PER_LEASE / 4
            asked = time.monotonic()
            time.sleep(pause)
            late = time.monotonic() - asked - pause
            if late > shortest / 2:
                logger.warning(
                    LogEvent("lease.thread_starved", seconds=round(late, 1), why=STARVED)
                )

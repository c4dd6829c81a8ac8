"""The time limit of a run inside its processor, and what happens when it is exceeded."""

from __future__ import annotations

import contextvars
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final

from connect_worker.domain.retry import Cause
from connect_worker.domain.states import State
from connect_worker.engine.job import Job
from connect_worker.engine.ports import ProcessKiller
from connect_worker.engine.runtime import Runtime
from connect_worker.exceptions import LeaseLost, LedgerUnavailable
from connect_worker.logger import LogEvent, logger

#: The method of an automation in which the user's code begins.
ENTRY: Final = "process_request"


@contextmanager
def time_limit(runtime: Runtime, job: Job, seconds: float | None) -> Iterator[None]:
    """Take the request away from a run whose block takes longer than this; None for no limit.

    Raises:
        LeaseLost: At the end of the block, when the limit was exceeded inside of it.
    """
    if seconds is None:
        yield
        return
    deadline = Deadline(partial(exceed_time_limit, runtime, job), runtime.process_killer)
    deadline.start(seconds)
    try:
        yield
    finally:
        deadline.end()


@dataclass(slots=True)
class Deadline:
    """Calls a function when the time is over, unless the run has ended before; never both.

    The timer is a thread. Under gevent it is a greenlet, and a processor that computes without
    waiting for anything does not let it run: then the process killer ends the process.
    """

    #: Gets the seconds that were allowed, and the place of the user's code at that moment.
    on_exceeded: Callable[[float, str], None]
    #: Kills the run's process when the timer could not run.
    killer: ProcessKiller
    is_over: bool = False
    _has_ended: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _timer: threading.Timer | None = None

    def start(self, seconds: float) -> None:
        """Start the timer for the calling thread."""
        thread = threading.get_ident()
        # With the job's context, so that the log lines of the timer have its facts.
        context = contextvars.copy_context()
        self._timer = threading.Timer(seconds, context.run, (self._pass, seconds, thread))
        self._timer.daemon = True
        self._timer.start()
        self.killer.arm(seconds)

    def end(self) -> None:
        """Stop the timer: the run has left its processor.

        Raises:
            LeaseLost: The time was over before.
        """
        with self._lock:
            self._has_ended = not self.is_over
        if self.is_over and self._timer:
            # Until the request is rescheduled and, in a pool of processes, this process is killed:
            # the next job must not begin in it.
            self._timer.join()
            raise LeaseLost("its time_limit is over: the request was taken from this run")
        if self._timer:
            self._timer.cancel()
            self.killer.disarm()

    def _pass(self, seconds: float, thread: int) -> None:
        with self._lock:
            if self._has_ended:
                return
            self.is_over = True
        self.on_exceeded(seconds, place_of(sys._current_frames().get(thread)))


def exceed_time_limit(runtime: Runtime, job: Job, seconds: float, place: str) -> None:
    """Reschedule the request, or park it after its last attempt, and kill this process.

    In a pool of processes, the process is the run's own, and the pool starts another one. In a pool
    of threads, which can't be killed, the run goes on and can write nothing more: no step, no
    decision, no change through the automation.
    """
    # First, and without the ledger: whatever the ledger answers, this run writes nothing more.
    job.revoke()
    claim, most = job.claim, runtime.policy.max_attempts
    is_last = claim.attempt >= most
    error = (
        f"the run took longer than its time_limit of {seconds:g} s in attempt {claim.attempt} of "
        f"{most}{', the last one' if is_last else ''}{f' ({place})' if place else ''}"
    )
    logger.error(
        LogEvent("job.time_limit_exceeded", seconds=seconds, attempt=claim.attempt, place=place)
    )
    try:
        if is_last:
            runtime.ledger.park(claim, error)
        else:
            delay = runtime.policy.delay(claim.attempt)
            runtime.ledger.reschedule(
                claim, State.RETRY, delay_seconds=delay, error=error, cause=Cause.TIME_LIMIT
            )
        runtime.wake_slot_queue(claim.limit)
    except LeaseLost:
        # Another worker owns the request already.
        pass
    except LedgerUnavailable as unavailable:
        # The lease is no longer renewed: it ends, and the next sweep reschedules the request.
        logger.warning(LogEvent("job.reschedule_failed", error=unavailable))
    finally:
        runtime.process_killer.end()


def place_of(frame: FrameType | None) -> str:
    """Return where the user's code is: `vendor.py, line 12, in create`; "" when it is not known.

    It is the innermost place in the folder of the module that has `process_request`.
    """
    frames = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    entries = [item for item in frames if item.f_code.co_name == ENTRY]
    if not entries:
        return ""
    home = f"{Path(entries[-1].f_code.co_filename).parent}{os.sep}"
    inside = next(item for item in frames if item.f_code.co_filename.startswith(home))
    code = inside.f_code
    return f"{Path(code.co_filename).name}, line {inside.f_lineno}, in {code.co_name}"

"""Ends a pool's process whose job has been inside its processor for too long.

Celery's own time limits travel in each message, so that they are as old as the message. They
include the posts and the wait for the rate limiter, and only the prefork pool applies them
(docs/decisions/014-steps-and-limits.md). tests/faults/test_time_limit.py holds this one.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys

from billiard.process import current_process

#: How much later a process is ended in which Python's own timer can't run: an extension computes.
GRACE_SECONDS = 5.0


class PoolProcessKiller:
    """Ends the process that uses it, if that belongs to a pool: the worker starts another one."""

    def arm(self, seconds: float) -> None:
        """End this process later, even if no Python code can run, unless `disarm` is called before.

        It writes the place of each thread to standard error first.
        """
        if is_pool_process() and sys.__stderr__:
            faulthandler.dump_traceback_later(
                seconds + GRACE_SECONDS, exit=True, file=sys.__stderr__
            )

    def disarm(self) -> None:
        """Cancel what `arm` has planned."""
        if is_pool_process():
            faulthandler.cancel_dump_traceback_later()

    def end(self) -> None:
        """End this process now, unless it is the worker's own."""
        if is_pool_process():
            os.kill(os.getpid(), signal.SIGKILL)


def is_pool_process() -> bool:
    """Whether this process runs one job at a time, so that its end affects no other job."""
    return bool(current_process().name != "MainProcess")

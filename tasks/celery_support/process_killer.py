"""Ending a pool's process whose job has been inside its processor for too long.

Celery has time limits of its own, sent with each message. They count the whole job, posts and
waiting for a turn included, are as old as the message, and are heeded by one pool only; see
docs/decisions/014-steps-and-limits.md.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys

from billiard.process import current_process

#: A process that does not let its own timer in (an extension that computes) is ended so much later.
GRACE_SECONDS = 5.0


class PoolProcessKiller:
    """Ends the process that it is used in, if it is one of a pool's: its worker starts another."""

    def arm(self, seconds: float) -> None:
        """End this process later, without any help of Python's, if `disarm` is not called before.

        The places where its threads are go to standard error then.
        """
        if is_pool_process() and sys.__stderr__:
            faulthandler.dump_traceback_later(
                seconds + GRACE_SECONDS, exit=True, file=sys.__stderr__
            )

    def disarm(self) -> None:
        """Forget what `arm` was told."""
        if is_pool_process():
            faulthandler.cancel_dump_traceback_later()

    def end(self) -> None:
        """End this process now; a worker's own process goes on."""
        if is_pool_process():
            os.kill(os.getpid(), signal.SIGKILL)


def is_pool_process() -> bool:
    """Whether this is a process that runs one job at a time, and whose end is nobody else's."""
    return bool(current_process().name != "MainProcess")

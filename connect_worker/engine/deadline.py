"""The time that a run may be inside its processor, and what becomes of one that takes longer."""

from __future__ import annotations

import contextvars
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final

from connect_worker.engine.ports import ProcessKiller
from connect_worker.exceptions import LeaseLost

#: The method of an automation in which the user's code begins.
ENTRY: Final = "process_request"


@dataclass(slots=True)
class Deadline:
    """Calls somebody when the time is over, unless the run has ended before; never both.

    It is a timer in a thread of its own: under gevent a greenlet, which a processor that computes
    without waiting for anything does not let in.
    """

    #: Is given the seconds that were allowed, and the place in which the code was.
    over: Callable[[float, str], None]
    #: Ends the run's process when the timer is not let in.
    reaper: ProcessKiller
    is_over: bool = False
    _has_ended: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _timer: threading.Timer | None = None

    def start(self, seconds: float) -> None:
        """Give the calling thread so much time."""
        thread = threading.get_ident()
        # The lines that are logged have the facts of the job.
        context = contextvars.copy_context()
        self._timer = threading.Timer(seconds, context.run, (self._pass, seconds, thread))
        self._timer.daemon = True
        self._timer.start()
        self.reaper.arm(seconds)

    def end(self) -> None:
        """Take note that the run is out of its processor.

        Raises:
            LeaseLost: Its time was over before.
        """
        with self._lock:
            self._has_ended = not self.is_over
        if self.is_over and self._timer:
            # Until the request is given back and, under processes, this one is ended: the next job
            # must not begin in it.
            self._timer.join()
            raise LeaseLost("its time_limit is over: the request was taken from this run")
        if self._timer:
            self._timer.cancel()
            self.reaper.disarm()

    def _pass(self, seconds: float, thread: int) -> None:
        with self._lock:
            if self._has_ended:
                return
            self.is_over = True
        self.over(seconds, place_of(sys._current_frames().get(thread)))


def place_of(frame: FrameType | None) -> str:
    """Return where the user's code is: `vendor.py, line 12, in create`; "" when it is not known.

    It is the innermost place in the folder of the module that has `process_request`.
    """
    frames = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    entered = [item for item in frames if item.f_code.co_name == ENTRY]
    if not entered:
        return ""
    home = f"{Path(entered[-1].f_code.co_filename).parent}{os.sep}"
    inside = next(item for item in frames if item.f_code.co_filename.startswith(home))
    code = inside.f_code
    return f"{Path(code.co_filename).name}, line {inside.f_lineno}, in {code.co_name}"

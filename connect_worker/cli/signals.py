"""The signals that ask a program to stop, noted instead of obeyed at once."""

from __future__ import annotations

import os
import select
import signal
from types import FrameType, TracebackType
from typing import Any, Self

ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):  # noqa: N818 - a person's wish, not a fault
    """A person or the system asked the program to stop."""


class StopSignals:
    """Notes Ctrl-C, SIGTERM and a lost terminal while the block runs; the main thread's only.

    What runs is never torn apart in the middle: it asks, or waits here, and stops when it is ready.
    """

    def __init__(self) -> None:
        #: The first signal that came, or 0.
        self.first = 0
        #: How many came: a person who presses Ctrl-C again is in a hurry.
        self.count = 0
        self._former: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._awake, write_end = os.pipe()
        os.set_blocking(self._awake, False)
        os.set_blocking(write_end, False)
        # Python writes a byte here when a signal arrives: it ends a wait without a race.
        self._former_fd = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for number in ASKING:
            # `nohup` means that the end of the terminal is not the end of the program.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._former[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        write_end = signal.set_wakeup_fd(self._former_fd)
        os.close(write_end)
        os.close(self._awake)

    def wait(self, seconds: float) -> None:
        """Let the time pass.

        Raises:
            Interrupted: A signal came, now or before.
        """
        self.check()
        select.select([self._awake], [], [], seconds)
        self.check()

    def check(self) -> None:
        """Raise `Interrupted` when a signal came."""
        if self.first:
            raise Interrupted(signal.Signals(self.first).name)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.first = self.first or number
        self.count += 1

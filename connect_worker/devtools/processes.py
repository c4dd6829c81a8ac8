"""The processes that a program starts, and their end: all of them, in order, whatever happens."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Any, Self

from connect_worker.devtools import watchdog

# The signals that ask a program to stop, noted instead of obeyed at once.

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


_LOG_LINES = 6


@dataclass(frozen=True, slots=True)
class Child:
    """One process, the first of a group of its own."""

    #: What it is for; children of one role end together.
    role: str
    #: For people, such as `worker 1`; names its log too.
    name: str
    process: subprocess.Popen[bytes]
    log: Path
    #: How long it may take to end by itself once asked to.
    grace_seconds: float

    @property
    def status(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self.process.poll()

    @property
    def last_lines(self) -> str:
        """What it logged last."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return "\n".join(lines[-_LOG_LINES:])


class Processes:
    """Starts processes and ends them when the block does, the last one first.

    Each one leads a session of its own: the terminal's Ctrl-C reaches only this program, which
    then stops them in their order. Should this program be killed, a watchdog kills them.

    Args:
        directory: Their working directory, where each has its log.
        in_hurry: Asked while they end; they are killed once it says True.
    """

    def __init__(self, directory: Path, *, in_hurry: Callable[[], bool] = lambda: False) -> None:
        self.directory = directory
        self.children: list[Child] = []
        self._in_hurry = in_hurry

    def __enter__(self) -> Self:
        self._watchdog = subprocess.Popen(  # noqa: S603 - this project's own file
            [sys.executable, "-I", watchdog.__file__],
            stdin=subprocess.PIPE,
            start_new_session=True,
            text=True,
            bufsize=1,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        pipe = self._pipe()
        with suppress(BrokenPipeError):
            pipe.close()
        self._watchdog.wait()

    def start(
        self,
        role: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        number: int | None = None,
        grace_seconds: float = 5.0,
    ) -> Child:
        """Start a process; its output goes to `<role>.log`, or `<role>-<number>.log`."""
        name = role if number is None else f"{role} {number}"
        log = self.directory / f"{name.replace(' ', '-').lower()}.log"
        with log.open("wb") as output:
            pipe = self._pipe().fileno()
            announcing = [sys.executable, "-I", "-S", watchdog.__file__, str(pipe)]
            process = subprocess.Popen(  # noqa: S603 - commands are made by this program
                [*announcing, *command],
                pass_fds=(pipe,),
                cwd=self.directory,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        child = Child(role, name, process, log, grace_seconds)
        self.children.append(child)
        return child

    def end(self, child: Child) -> None:
        """End one of them."""
        self._stop([child])
        self.children.remove(child)

    def stop(self) -> None:
        """End all: the role started last first, its children together."""
        for _, row in groupby(reversed(self.children), key=lambda child: child.role):
            self._stop(list(row))
        self.children.clear()

    def _stop(self, children: list[Child]) -> None:
        for child in children:
            if child.status is None:
                child.process.terminate()
        give_up = time.monotonic() + max(child.grace_seconds for child in children)
        while any(child.status is None for child in children):
            if time.monotonic() > give_up or self._in_hurry():
                break
            time.sleep(0.02)
        for child in children:
            # The rest of its group too: a worker that was killed leaves its pool behind.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.process.pid, signal.SIGKILL)
            child.process.wait()
            self._tell(f"-{child.process.pid}")

    def _tell(self, line: str) -> None:
        # Without a watchdog the program still ends its processes itself.
        with suppress(BrokenPipeError):
            self._pipe().write(line + "\n")

    def _pipe(self) -> IO[str]:
        pipe = self._watchdog.stdin
        assert pipe is not None  # noqa: S101 - it was asked for
        return pipe

"""Supervises the processes of a program: starts them, waits for them, and ends all of them.

`until` is the one loop that waits. `Processes` ends what it started, the last one first, also when
the program fails or is killed. `StopSignals` turns Ctrl-C and SIGTERM into an exception at a safe
place.
"""

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
from typing import IO, Any, Self, TypeVar

from connect_worker.devtools import watchdog
from connect_worker.observability.masking import mask_secrets
from connect_worker.observability.output import escape_lines

T = TypeVar("T")

#: Between two checks of a condition.
CHECK_SECONDS = 0.02
#: How long a process may take to start on a busy machine.
START_SECONDS = 60.0


class ProcessError(RuntimeError):
    """A process did not start in time, or ended unexpectedly; the message has its log's end."""


def until(
    condition: Callable[[], T | None],
    *,
    seconds: float,
    otherwise: Callable[[], Exception],
    wait: Callable[[float], None] = time.sleep,
) -> T:
    """Wait until a condition holds and return its value.

    Args:
        condition: Called every few milliseconds; holds when its value is true. It may raise an
            exception when waiting is pointless.
        seconds: How long to wait at most.
        otherwise: Makes the exception to raise after that time.
        wait: Lets the time between two attempts pass.
    """
    give_up = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > give_up:
            raise otherwise()
        wait(CHECK_SECONDS)
    return value


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):  # noqa: N818 - a request to stop is not an error
    """A person or the system asked the program to stop."""


class StopSignals:
    """Records Ctrl-C, SIGTERM and a lost terminal while the block runs; for the main thread only.

    A signal interrupts no code. The program calls `wait` or `check` where it can stop.
    """

    def __init__(self) -> None:
        #: The first signal that came, or 0.
        self.first = 0
        #: How many came: a second Ctrl-C means that the processes are to be killed.
        self.count = 0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._read_end, write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(write_end, False)
        # Python writes a byte here when a signal arrives. The byte ends `wait` without a race.
        self._previous_fd = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for number in _SIGNALS:
            # Under `nohup` the program goes on after its terminal is closed.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._record)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        write_end = signal.set_wakeup_fd(self._previous_fd)
        os.close(write_end)
        os.close(self._read_end)

    def wait(self, seconds: float) -> None:
        """Wait, at most until a signal arrives.

        Raises:
            Interrupted: A signal arrived, now or before.
        """
        self.check()
        select.select([self._read_end], [], [], seconds)
        self.check()

    def check(self) -> None:
        """Raise `Interrupted` when a signal has arrived."""
        if self.first:
            raise Interrupted(signal.Signals(self.first).name)

    def _record(self, number: int, _frame: FrameType | None) -> None:
        self.first = self.first or number
        self.count += 1


_LOG_LINES = 6


@dataclass(frozen=True, slots=True)
class Child:
    """One process, the leader of its own process group."""

    #: What it does, such as `worker`; the children of one role are stopped together.
    role: str
    #: Its name for people and for the log file, such as `worker 1`.
    name: str
    process: subprocess.Popen[bytes]
    log: Path
    #: How long it may take to end after SIGTERM, before it is killed.
    grace_seconds: float

    @property
    def status(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self.process.poll()

    @property
    def last_lines(self) -> str:
        """The last lines of its log, without secrets and control characters."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().split("\n")
        return escape_lines(mask_secrets("\n".join(lines[-_LOG_LINES:])), indent="")

    def error(self, problem: str) -> ProcessError:
        """Return an error with a problem of this process and the end of its log."""
        return ProcessError(
            f"The {self.name} {problem}; the end of its log, {self.log}:\n{self.last_lines}"
        )

    def end_error(self) -> ProcessError:
        """Return the error of a process that ended although nothing stopped it."""
        status = self.status or 0
        manner = f"signal {-status}" if status < 0 else f"exit status {status}"
        return self.error(f"ended unexpectedly ({manner})")


class Processes:
    """Starts processes, and stops them at the end of the block, the last one first.

    Each process leads its own session. So the terminal's Ctrl-C reaches only this program, which
    then stops the processes in order. If this program is killed, the watchdog kills the processes.

    Args:
        directory: The working directory of the processes; has a log file for each.
        in_hurry: Called while the processes end; they are killed as soon as it returns True.
        wait: Lets time pass while a process starts; `StopSignals.wait` makes it interruptible.
    """

    def __init__(
        self,
        directory: Path,
        *,
        in_hurry: Callable[[], bool] = lambda: False,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.directory = directory
        self.children: list[Child] = []
        self._in_hurry = in_hurry
        self._wait = wait

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
        """Start a process; its output goes to `<role>.log` or `<role>-<number>.log`."""
        name = role if number is None else f"{role} {number}"
        log = self.directory / f"{name.replace(' ', '-').lower()}.log"
        # It may quote customer data, so no other user may read it.
        log.unlink(missing_ok=True)
        with open(log, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as output:
            pipe = self._pipe().fileno()
            wrapper = [sys.executable, "-I", "-S", watchdog.__file__, str(pipe)]
            process = subprocess.Popen(  # noqa: S603 - commands are made by this program
                [*wrapper, *command],
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

    def until_ready(
        self, child: Child, is_ready: Callable[[], bool], *, seconds: float = START_SECONDS
    ) -> None:
        """Wait until a process is ready.

        Raises:
            ProcessError: It ended or took too long, or a process other than a worker ended.
        """

        def condition() -> bool:
            if child in self.require_running(may_end="worker"):
                raise child.end_error()
            return is_ready()

        until(
            condition,
            seconds=seconds,
            otherwise=lambda: child.error(f"did not answer for {seconds:.0f} seconds"),
            wait=self._wait,
        )

    def require_running(self, *, may_end: str = "") -> list[Child]:
        """Return the processes of the role `may_end` that ended.

        Raises:
            ProcessError: A process of another role ended.
        """
        ended = [child for child in self.children if child.status is not None]
        for child in ended:
            if child.role != may_end:
                raise child.end_error()
        return ended

    def end(self, child: Child) -> None:
        """Stop one process."""
        self._stop([child])
        self.children.remove(child)

    def stop(self) -> None:
        """Stop all processes: the role that was started last first, its processes together."""
        for _, of_role in groupby(reversed(self.children), key=lambda child: child.role):
            self._stop(list(of_role))
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
            # The whole group: a worker that was killed leaves the processes of its pool behind.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.process.pid, signal.SIGKILL)
            child.process.wait()
            self._send_watchdog(f"-{child.process.pid}")

    def _send_watchdog(self, line: str) -> None:
        # If the watchdog is gone, the program still stops its processes itself.
        with suppress(BrokenPipeError):
            self._pipe().write(line + "\n")

    def _pipe(self) -> IO[str]:
        pipe = self._watchdog.stdin
        assert pipe is not None  # noqa: S101 - opened as a pipe
        return pipe

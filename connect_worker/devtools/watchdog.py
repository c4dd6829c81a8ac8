"""Kills the processes of a program that died without stopping them.

`processes.py` runs this file by its path, in isolated mode. So it imports nothing but the standard
library. It reads one line for each process group from standard input: `+PGID` when a group starts,
`-PGID` when it has ended. The pipe closes when the program at its other end dies, for whatever
reason. Then the groups that are left are killed.

Run as `watchdog.py FD COMMAND …`, it writes the `+PGID` of its own process to the pipe FD and then
becomes the command. The program could not do this as safely: it may be killed between the start of
a process and the line about it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import NoReturn


def groups_left(lines: Iterable[str]) -> list[int]:
    """Read until the end; return the groups that started and did not end, in their order."""
    groups: dict[int, None] = {}
    for line in lines:
        sign, group = line[:1], int(line[1:])
        if sign == "+":
            groups[group] = None
        else:
            groups.pop(group, None)
    return list(groups)


def announce(pipe: int, command: list[str]) -> NoReturn:
    """Report this process to the watchdog, then become the command; the pid stays the same."""
    os.write(pipe, f"+{os.getpid()}\n".encode())
    os.close(pipe)
    os.execvp(command[0], command)  # noqa: S606 - the command is the program's own


if __name__ == "__main__":
    if sys.argv[1:]:
        announce(int(sys.argv[1]), sys.argv[2:])
    for left in groups_left(sys.stdin):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(left, signal.SIGKILL)

"""Ends the process groups of a program that is gone without having ended them itself.

Started by path, with nothing but the standard library. Reads one line per group from standard
input: `+PGID` when a group begins, `-PGID` when it has ended. The pipe closes when the program
at its other end dies, however it dies; what is left then is killed.

Started with `FD COMMAND …` it is a process of the program's: it announces itself at the pipe before
it becomes the command. The program could be killed before it did that for a process it has started.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import NoReturn


def groups_left(lines: Iterable[str]) -> list[int]:
    """Read until the end; return the groups that began and did not end, in their order."""
    groups: dict[int, None] = {}
    for line in lines:
        sign, group = line[:1], int(line[1:])
        if sign == "+":
            groups[group] = None
        else:
            groups.pop(group, None)
    return list(groups)


def announce(pipe: int, command: list[str]) -> NoReturn:
    """Tell the watchdog of this process, then become the command; the pid stays."""
    os.write(pipe, f"+{os.getpid()}\n".encode())
    os.close(pipe)
    os.execvp(command[0], command)  # noqa: S606 - the command is the program's own


if __name__ == "__main__":
    if sys.argv[1:]:
        announce(int(sys.argv[1]), sys.argv[2:])
    for left in groups_left(sys.stdin):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(left, signal.SIGKILL)

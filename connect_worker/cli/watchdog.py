"""Ends the process groups of a program that is gone without having ended them itself.

Started by path, with nothing but the standard library. Reads one line per group from standard
input: `+PGID` when a group begins, `-PGID` when it has ended. The pipe closes when the program
at its other end dies, however it dies; what is left then is killed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress


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


if __name__ == "__main__":
    for left in groups_left(sys.stdin):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(left, signal.SIGKILL)

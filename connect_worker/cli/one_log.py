"""The logs of several processes as one, a colour for each."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from connect_worker.cli.processes import Child

_COLOURS = {
    "redis": "red",
    "sandbox": "magenta",
    "beat": "blue",
    "worker": "green",
    "dev": "bold cyan",
}
#: By the words that log lines of these levels have.
_STYLES = {" ERROR ": "bold red", " CRITICAL ": "bold red", " WARNING ": "yellow"}
#: What a worker says every second or two while nothing happens, and of each message it takes.
_ROUTINE = re.compile(
    r" celery\.worker\.strategy | Task (poll|sweep)\[.* succeeded | polled kind=\S+ seen=\d+ new=0$"
)
_WIDTH = max(map(len, _COLOURS))


@dataclass(slots=True)
class _Tail:
    """How far a file was read."""

    path: Path
    offset: int = 0
    rest: bytes = b""

    def lines(self) -> list[str]:
        """Return the lines that were finished since the last call."""
        with self.path.open("rb") as log:
            log.seek(self.offset)
            new = log.read()
        self.offset += len(new)
        *whole, self.rest = (self.rest + new).split(b"\n")
        return [line.decode("utf-8", "replace").rstrip() for line in whole]


class OneLog:
    """Follows the logs of processes and shows each new line behind its process's name.

    Args:
        console: Where they are shown.
        is_whole: Whether routine is shown, too: polls and sweeps that find nothing.
    """

    def __init__(self, console: Console, *, is_whole: bool = False) -> None:
        self._console = console
        self._is_whole = is_whole
        self._tails: dict[int, tuple[Child, _Tail]] = {}

    def follow(self, children: Iterable[Child]) -> None:
        """Show what these have logged since the last call."""
        for child in children:
            known = self._tails.setdefault(child.process.pid, (child, _Tail(child.log)))
            for line in known[1].lines():
                if self._is_whole or not _ROUTINE.search(line):
                    self.say(child.role, line)

    def say(self, who: str, line: str) -> None:
        """Show one line."""
        text = Text(f"{who:>{_WIDTH}} │ ", style=_COLOURS.get(who, ""))
        text.append(line, style=_style(line))
        self._console.print(text, soft_wrap=True, highlight=False)


def _style(line: str) -> str:
    return next((style for word, style in _STYLES.items() if word in line), "default")

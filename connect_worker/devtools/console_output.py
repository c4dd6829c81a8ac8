"""The logs of several processes as one, a colour for each."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from connect_worker.devtools.dashboard import Scene, plain
from connect_worker.devtools.processes import Child

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
    r" celery\.worker\.strategy | Task (poll|sweep)\[.* succeeded | poll\.completed kind=\S+ seen=\d+ new=0$"
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


# Where the picture goes: a terminal, drawn anew in place, or a log, line by line.

#: Between two lines where there is no terminal.
LINE_SECONDS = 3.0


class Screen:
    """Shows what happens while the block runs, and leaves the terminal as it was.

    Args:
        console: The terminal, or what stands in its place.
        is_passing: Whether the picture goes when the block ends.
    """

    def __init__(self, console: Console, *, is_passing: bool) -> None:
        self._console = console
        # Drawn by the main thread only: signals and children are its business too.
        self._live = (
            Live(console=console, auto_refresh=False, transient=is_passing)
            if console.is_interactive and console.file.isatty()
            else None
        )
        self._scene: Scene | None = None
        self._next_line = 0.0

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        """Show a sentence."""
        if self._live:
            self._live.update(Text(text), refresh=True)
        else:
            self._write(text)

    def show(self, scene: Scene) -> None:
        """Show how far it is; where there is no terminal, every few seconds."""
        self._scene = scene
        if self._live:
            self._live.update(scene, refresh=True)
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LINE_SECONDS
            self._write(plain(scene))

    def say_stopping(self) -> None:
        """Show the last scene, and that everything is being stopped."""
        if self._live and self._scene:
            self._live.update(replace(self._scene, is_stopping=True), refresh=True)
            return
        if self._scene:
            self._write(plain(self._scene))
        self.say("Stopping …")

    def _write(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)

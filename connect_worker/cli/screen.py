"""Where the picture goes: a terminal, drawn anew in place, or a log, line by line."""

from __future__ import annotations

import time
from dataclasses import replace
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from connect_worker.cli.picture import Scene, plain

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

"""What commands print on a terminal: the texts themselves, whatever they say."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest
from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from connect_worker.cli.context import TerminalConsole

HOSTILE = "[red]a[/] [link=http://evil.example]b[/link] :smile: \x1b]0;c \x9b2J \u202ed"
SHOWN = "[red]a[/] [link=http://evil.example]b[/link] :smile: \\x1b]0;c"

SCRIPT = """
from rich.text import Text
from connect_worker.cli.context import TerminalConsole
TerminalConsole().print(Text("red \x1b]0;c", style="bold red"), "[bold]plain[/]", highlight=False)
"""


def table(cell: str) -> Table:
    grid = Table("heading")
    grid.add_row(cell)
    return grid


@pytest.mark.parametrize(
    "renderable", [HOSTILE, Text(HOSTILE), table(HOSTILE), Panel(HOSTILE)], ids=type
)
def test_a_text_is_printed_and_does_nothing(
    renderable: RenderableType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    console = TerminalConsole()
    with console.capture() as captured:
        console.print(renderable)
    assert SHOWN in captured.get()
    assert all(line.isprintable() for line in captured.get().split("\n"))


def test_a_terminal_gets_the_styles_of_this_program_and_no_other_command() -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=theirs, env={**os.environ, "TERM": "xterm"}
    ) as process:
        assert process.wait(timeout=60) == 0
    os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        said = terminal.read(4096).decode()
    assert "\x1b[1;31m" in said
    assert r"red \x1b]0;c" in said
    assert "\x1b]0" not in said
    assert "[bold]plain[/]" in said

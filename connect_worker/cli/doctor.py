"""``connect-worker doctor``: what is wrong with a deployment, and what to do."""

from __future__ import annotations

import sys

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from connect_worker.cli.checkup import Checkup, Finding, Level
from connect_worker.cli.desk import Exit, example, write_json
from connect_worker.desk.words import clean

_MARKS = {Level.OK: ("ok", "green"), Level.WARN: ("warn", "yellow"), Level.FAIL: ("FAIL", "red")}


@click.command(
    short_help="Tell what is wrong, and what to do.",
    epilog=example("connect-worker doctor", "connect-worker doctor --json"),
)
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON document.")
def doctor(*, as_json: bool) -> None:
    """Look at the settings, the processors, Connect, Redis, workers and beat.

    Run it with the workers' environment. It changes nothing; it sends a few GETs to Connect.
    Exits with 1 when something fails; a warning is no failure.
    """
    console = Console()
    findings = []
    for finding in Checkup().findings():
        findings.append(finding)
        if not as_json:
            _draw(console, finding)
    if as_json:
        write_json({"ok": _is_well(findings), "findings": [_document(one) for one in findings]})
    sys.exit(Exit.DONE if _is_well(findings) else Exit.NEEDS_ATTENTION)


def _is_well(findings: list[Finding]) -> bool:
    return all(finding.level is not Level.FAIL for finding in findings)


def _document(finding: Finding) -> dict[str, str]:
    return {
        "part": finding.part,
        "level": finding.level.value,
        "text": clean(finding.text),
        "remedy": clean(finding.remedy),
    }


def _draw(console: Console, finding: Finding) -> None:
    mark, style = _MARKS[finding.level]
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=4, style=style)
    grid.add_column(width=10, style="bold")
    grid.add_column(overflow="fold")
    grid.add_row(mark, finding.part, Text(clean(finding.text)))
    if finding.remedy:
        grid.add_row("", "", Text(f"→ {clean(finding.remedy)}"))
    console.print(grid)

"""``connect-worker doctor``: what is wrong with a deployment, and what to do."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from connect_worker.cli.checkup import Checkup, Finding, Level
from connect_worker.cli.desk import Exit, account_option, choose_accounts, example, write_json
from connect_worker.desk.words import clean
from connect_worker.exceptions import SettingsError
from connect_worker.settings import Settings

_MARKS = {Level.OK: ("ok", "green"), Level.WARN: ("warn", "yellow"), Level.FAIL: ("FAIL", "red")}

#: What is one for all accounts.
SHARED_PARTS = ("versions", "Redis", "workers")


@click.command(
    short_help="Tell what is wrong, and what to do.",
    epilog=example("connect-worker doctor", "connect-worker doctor --json"),
)
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON document.")
@account_option
def doctor(*, as_json: bool, account: str) -> None:
    """Look at the settings, the processors, Connect, Redis, workers and beat.

    Run it with the workers' environment. It changes nothing; it sends a few GETs to Connect.
    Exits with 1 when something fails; a warning is no failure.
    """
    console = Console()
    findings, headed = [], ""
    for name, finding in _findings(account):
        findings.append((name, finding))
        if not as_json:
            if name not in ("", headed):
                console.print(Text(f"Account {name}", style="bold underline"))
                headed = name
            _draw(console, finding)
    is_well = all(finding.level is not Level.FAIL for _, finding in findings)
    if as_json:
        documents = [_document(name, finding) for name, finding in findings]
        write_json({"ok": is_well, "findings": documents})
    sys.exit(Exit.DONE if is_well else Exit.NEEDS_ATTENTION)


def _findings(account: str) -> Iterator[tuple[str, Finding]]:
    """Yield the findings, with the name of the account that each is about; "" for all."""
    try:
        names = choose_accounts(Settings.from_env(), account)
    except SettingsError:
        # That is the first finding.
        names = ("",)
    is_whole = True
    for name in names:
        checkup = Checkup(name, is_whole=is_whole)
        for finding in checkup.findings():
            if finding.part != "versions" or name == names[0]:
                yield "" if finding.part in SHARED_PARTS else name, finding
        # What all have in common was looked at with the first one whose settings can be used.
        is_whole = is_whole and not checkup.has_settings


def _document(account: str, finding: Finding) -> dict[str, str]:
    return {
        **({"account": account} if account else {}),
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

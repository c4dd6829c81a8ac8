"""What is said when the demo has ended, and the exit status that says the same to a program."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from connect_worker.cli.verdict import Verdict

_SHOWN_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Stopped:
    """A signal ended it."""

    signal: int
    #: Whether it was to end by itself, and so did not get there.
    is_early: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """It ended by itself, and the sandbox was asked what happened."""

    verdict: Verdict
    worked_seconds: float
    per_second: float
    #: The time limit that it ran into; None when nothing was left to do.
    timeout_seconds: float | None = None


Ending = Stopped | Judged


def conclude(ending: Ending, *, directory: Path, console: Console) -> int:
    """Say how it ended; return the exit status, 0 only for an end as it should be."""
    if isinstance(ending, Stopped):
        console.print("Stopped; no process is left.")
        return 128 + ending.signal if ending.is_early else 0
    verdict = ending.verdict
    console.print(_table(verdict))
    if verdict.problems or ending.timeout_seconds is not None:
        for line in _complaint(ending):
            console.print(line, soft_wrap=True, highlight=False, markup=False)
        console.print(f"The logs are in {directory}", soft_wrap=True, highlight=False)
        return 1
    console.print(
        f"[bold green]Every request was resolved exactly once[/], says the sandbox: "
        f"{verdict.total} in {ending.worked_seconds:.1f} s, {ending.per_second:.0f} a second.",
        soft_wrap=True,
        highlight=False,
    )
    return 0


def _table(verdict: Verdict) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Kind", style="bold")
    table.add_column("Requests", justify="right")
    table.add_column("Resolved once", justify="right")
    table.add_column("Accepted by the sandbox")
    for kind, accepted in verdict.accepted.items():
        requests = verdict.requests.get(kind, 0)
        shown = "  ".join(f"{action} {count}" for action, count in sorted(accepted.items()))
        table.add_row(kind, str(requests), str(requests - verdict.unresolved(kind)), shown)
    return table


def _complaint(ending: Judged) -> list[str]:
    verdict = ending.verdict
    lines = []
    if ending.timeout_seconds is not None:
        lines.append(f"The time limit of {ending.timeout_seconds:g} seconds is over.")
    lines.append(
        f"{verdict.unresolved()} of {verdict.total} requests were not resolved exactly once:"
    )
    shown = verdict.problems[:_SHOWN_PROBLEMS]
    lines += [f"  {problem.request_id}: {problem.reason}" for problem in shown]
    if rest := len(verdict.problems) - len(shown):
        lines.append(f"  … and {rest} more")
    return lines

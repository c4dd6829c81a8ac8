"""Whether every request was resolved exactly once, judged by the sandbox's report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from connect_worker.domain.states import RequestKind
from connect_worker.operations.status import KindCounts

# How far the demo is: what the ledger counts, and whether anything is left to do.


@dataclass(frozen=True, slots=True)
class Tally:
    """All kinds at one moment, as the ledger has them and as the sandbox has them."""

    rows: Mapping[RequestKind, KindCounts]
    #: What is to be resolved yet, by kind; seen in the sandbox, after the ledger was read.
    open_requests: Mapping[RequestKind, int]

    @property
    def total(self) -> KindCounts:
        """The sum of the rows."""
        return sum(self.rows.values(), KindCounts())

    @property
    def left(self) -> int:
        """How many are to be resolved yet, parked ones included."""
        return sum(self.open_requests.values())

    @property
    def is_quiet(self) -> bool:
        """Whether nothing more will happen: the ledger is idle, and what is still open is parked.

        The ledger is read first: a report that it has as settled has put its file into the sandbox.
        """
        return not self.total.active and all(
            count <= self.rows[kind].parked for kind, count in self.open_requests.items()
        )


JSON = Any

#: The statuses in which a request is seeded, or created, for the vendor to act on.
_WAITING = frozenset({"pending", "ready", "draft", "listed"})


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a request was not resolved exactly once."""

    kind: str
    request_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the sandbox saw of all requests that waited for the vendor, by kind."""

    requests: Mapping[str, int]
    #: How often it accepted each action: approve, inquire, … and, of listings, upload.
    accepted: Mapping[str, Mapping[str, int]]
    problems: tuple[Problem, ...]

    @property
    def total(self) -> int:
        """How many requests waited."""
        return sum(self.requests.values())

    def unresolved(self, kind: str | None = None) -> int:
        """How many were not resolved exactly once; of one kind, or of all."""
        found = {problem.request_id for problem in self.problems if kind in (None, problem.kind)}
        return len(found)


def judge(report: JSON, *, parked: Mapping[str, str]) -> Verdict:
    """Judge the document of `/sandbox/report`.

    Args:
        report: `requests` by id, each with the outcomes that the sandbox accepted and refused.
        parked: The worker's parked requests and their errors: the reason for what is missing.
    """
    entries = list(report["requests"].values())
    bought = {entry["product"] for entry in entries if entry["kind"] == "fulfillment"}
    problems = [
        Problem(entry["kind"], entry["id"], reason)
        for entry in entries
        for reason in _reasons(entry, bought, parked.get(entry["id"]))
    ]
    waiting = [entry for entry in entries if entry["initial_status"] in _WAITING]
    return Verdict(
        requests=Counter(entry["kind"] for entry in waiting),
        accepted={kind: _accepted(entries, kind) for kind in report["totals"]},
        problems=tuple(problems),
    )


def still_open(summary: JSON) -> dict[str, int]:
    """Count per kind, from the report's totals, what still waits for the vendor.

    Listings are missing: they stay listed, whether their usage was reported or not.
    """
    return {
        kind: totals["status"].get("pending" if kind != "usage-file" else "ready", 0)
        for kind, totals in summary["totals"].items()
        if kind != "usage"
    }


def _reasons(entry: JSON, bought: set[str], parked: str | None) -> Iterator[str]:
    if parked is not None:
        yield f"parked: {parked}"
    elif entry["kind"] == "usage":
        yield from _report_reasons(entry, has_assets=entry["product"] in bought)
    else:
        yield from _outcome_reasons(entry)
    for refusal in entry["refused"]:
        yield f"Connect refused its {refusal['action']} with {refusal['status']}"
    if entry["vendor"]["effects"] > 1:
        yield f"the vendor has {entry['vendor']['effects']} tenants for it"


def _outcome_reasons(entry: JSON) -> Iterator[str]:
    actions = [outcome["action"] for outcome in entry["accepted"]]
    due = 1 if entry["initial_status"] in _WAITING else 0
    if len(actions) > due:
        yield f"{len(actions)} outcomes where {due} was due: {', '.join(actions)}"
    elif len(actions) < due:
        yield f"no outcome, it is {entry['status']}"


def _report_reasons(entry: JSON, *, has_assets: bool) -> Iterator[str]:
    """A listing is resolved by one file uploaded once; by none where nobody bought its product."""
    files = entry["usage_files"]
    if len(files) > 1 or (has_assets and not files):
        yield f"{len(files)} usage files where 1 was due"
    for file in files:
        if file["uploads"] != 1:
            yield f"its usage file {file['id']} was uploaded {file['uploads']} times"
        elif file["records_invalid"]:
            bad = f"{file['records_invalid']} of {file['records']}"
            yield f"{bad} records of its usage file {file['id']} are invalid"


def _accepted(entries: list[JSON], kind: str) -> Mapping[str, int]:
    counts: Counter[str] = Counter()
    for entry in entries:
        if entry["kind"] == kind:
            counts.update(outcome["action"] for outcome in entry["accepted"])
            counts["upload"] += sum(file["uploads"] for file in entry.get("usage_files", ()))
    return +counts


# What is said when the demo has ended, and the exit status that says the same to a program.

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

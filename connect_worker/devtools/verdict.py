"""The progress of the demo, and its verdict: was every request decided exactly once?

The sandbox's report decides, not the worker's own ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from connect_worker.domain.states import RequestKind
from connect_worker.operations.status import KindCounts

JSON = Any


@dataclass(frozen=True, slots=True)
class DemoProgress:
    """The requests of all kinds at one moment, in the ledger and in the sandbox."""

    #: Counts of the ledger.
    rows: Mapping[RequestKind, KindCounts]
    #: Requests that still wait for a decision; read from the sandbox, after the ledger.
    open_requests: Mapping[RequestKind, int]

    @property
    def total(self) -> KindCounts:
        """The sum of the rows."""
        return sum(self.rows.values(), KindCounts())

    @property
    def open_count(self) -> int:
        """How many requests still wait for a decision, parked ones included."""
        return sum(self.open_requests.values())

    @property
    def is_idle(self) -> bool:
        """Whether nothing more will happen: the ledger is idle, and what is still open is parked.

        The ledger is read before the sandbox: a usage report that the ledger has as completed has
        already created its usage file, which is a request of its own, in the sandbox.
        """
        return not self.total.active and all(
            count <= self.rows[kind].parked for kind, count in self.open_requests.items()
        )


#: The first statuses of requests that the vendor has to decide.
_WAITING = frozenset({"pending", "ready", "draft", "listed"})


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a request was not decided exactly once."""

    kind: str
    request_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the sandbox reports, by kind."""

    #: How many requests waited for the vendor.
    requests: Mapping[str, int]
    #: How often the sandbox accepted each action: approve, inquire, … and upload for listings.
    accepted: Mapping[str, Mapping[str, int]]
    problems: tuple[Problem, ...]

    @property
    def total(self) -> int:
        """How many requests waited for the vendor."""
        return sum(self.requests.values())

    def violations(self, kind: str | None = None) -> int:
        """How many requests were not decided exactly once, of one kind or of all."""
        return len({item.request_id for item in self.problems if kind in (None, item.kind)})


def judge(report: JSON, *, parked: Mapping[str, str]) -> Verdict:
    """Judge the document of `/sandbox/report`.

    Args:
        report: `requests` by id, each with the actions that the sandbox accepted and refused.
        parked: The errors of the parked requests in the ledger, by id.
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
    """Count by kind, from the report's totals, the requests that still wait for the vendor.

    Listings are left out: they stay listed, whether their usage was reported or not.
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
        yield f"Connect refused {refusal['action']} with status {refusal['status']}"
    if entry["vendor"]["effects"] > 1:
        yield f"the vendor's system created {entry['vendor']['effects']} tenants"


def _outcome_reasons(entry: JSON) -> Iterator[str]:
    actions = [outcome["action"] for outcome in entry["accepted"]]
    expected = 1 if entry["initial_status"] in _WAITING else 0
    if len(actions) > expected:
        decisions = "1 decision" if len(actions) == 1 else f"{len(actions)} decisions"
        yield f"{decisions} instead of {expected}: {', '.join(actions)}"
    elif len(actions) < expected:
        yield f"no decision, its status is {entry['status']}"


def _report_reasons(entry: JSON, *, has_assets: bool) -> Iterator[str]:
    """A listing needs one usage file, uploaded once; none if its product has no assets."""
    files = entry["usage_files"]
    if len(files) > 1 or (has_assets and not files):
        yield f"{len(files)} usage files instead of 1"
    for file in files:
        if file["uploads"] != 1:
            yield f"usage file {file['id']} was uploaded {file['uploads']} times"
        elif file["records_invalid"]:
            bad = f"{file['records_invalid']} of {file['records']}"
            yield f"{bad} records of usage file {file['id']} are invalid"


def _accepted(entries: list[JSON], kind: str) -> Mapping[str, int]:
    counts: Counter[str] = Counter()
    for entry in entries:
        if entry["kind"] == kind:
            counts.update(outcome["action"] for outcome in entry["accepted"])
            counts["upload"] += sum(file["uploads"] for file in entry.get("usage_files", ()))
    return +counts


# ---- how the demo ends: a sentence for people, and an exit status for programs

_SHOWN_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class DemoStop:
    """A signal ended the demo."""

    signal: int
    #: Whether it came before the demo, run with `--exit-when-done`, was done.
    is_early: bool


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The demo was done, and the sandbox reported what happened."""

    verdict: Verdict
    worked_seconds: float
    per_second: float
    #: The time limit that was reached; None when nothing was left to do.
    timeout_seconds: float | None = None


DemoEnd = DemoStop | DemoResult


def conclude(end: DemoEnd, *, directory: Path, console: Console) -> int:
    """Print how the demo ended; return its exit status, 0 only for success."""
    if isinstance(end, DemoStop):
        console.print("Stopped; no process is left running.")
        return 128 + end.signal if end.is_early else 0
    verdict = end.verdict
    console.print(_table(verdict))
    if verdict.problems or end.timeout_seconds is not None:
        for line in _failure(end):
            console.print(line, soft_wrap=True, highlight=False, markup=False)
        where = f"The logs are in {directory}"
        console.print(where, soft_wrap=True, highlight=False, markup=False)
        return 1
    console.print(
        Text.assemble(
            ("Every request was decided exactly once", "bold green"),
            f", the sandbox reports: {verdict.total} in {end.worked_seconds:.1f} s, "
            f"{end.per_second:.0f} per second.",
        ),
        soft_wrap=True,
        highlight=False,
    )
    return 0


def _table(verdict: Verdict) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Kind", style="bold")
    table.add_column("Requests", justify="right")
    table.add_column("Decided once", justify="right")
    table.add_column("Accepted by the sandbox")
    for kind, accepted in verdict.accepted.items():
        requests = verdict.requests.get(kind, 0)
        shown = "  ".join(f"{action} {count}" for action, count in sorted(accepted.items()))
        table.add_row(kind, str(requests), str(requests - verdict.violations(kind)), shown)
    return table


def _failure(end: DemoResult) -> list[str]:
    verdict = end.verdict
    lines = []
    if end.timeout_seconds is not None:
        lines.append(f"The time limit of {end.timeout_seconds:g} seconds is over.")
    if verdict.problems:
        lines.append(
            f"{verdict.violations()} of {verdict.total} requests were not decided exactly once:"
        )
    shown = verdict.problems[:_SHOWN_PROBLEMS]
    lines += [f"  {problem.request_id}: {problem.reason}" for problem in shown]
    if rest := len(verdict.problems) - len(shown):
        lines.append(f"  … and {rest} more")
    return lines

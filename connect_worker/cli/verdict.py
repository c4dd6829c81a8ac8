"""Whether every request was resolved exactly once, judged by the sandbox's report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

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
        found = {one.request_id for one in self.problems if kind in (None, one.kind)}
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

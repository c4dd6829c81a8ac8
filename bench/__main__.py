"""`python -m bench [quick]`: measure everything and write the report."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import click

from bench import (
    calls,
    capacity,
    curves,
    growth,
    latency,
    machine,
    memory,
    models,
    polling,
    roundtrips,
    throughput,
    usage,
)
from bench.jobs import ROOT
from bench.report import Results, write
from bench.sample import Row
from bench.testbed import Testbed, start_testbed

FIGURES: dict[str, Callable[[Testbed], Iterator[Row]]] = {
    "capacity": capacity.measure,
    "throughput": throughput.measure,
    "polling": polling.measure,
    "calls": calls.measure,
    "roundtrips": roundtrips.measure,
    "models": models.measure,
    "growth": growth.measure,
    "memory": memory.measure,
    "usage": usage.measure,
    "latency": latency.measure,
}


@click.command
@click.argument("how", type=click.Choice(["full", "quick"]), default="full")
@click.option(
    "--only", multiple=True, type=click.Choice([*FIGURES, "curves"]), help="Only these figures."
)
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder of the report. A partial run updates the report there if that is of the same "
    "machine.  [default: docs; build/bench for a quick or partial run]",
)
def main(how: str, only: tuple[str, ...], into: Path | None) -> None:
    """Measure the worker against its peers; exit with 1 if a figure could not be measured."""
    quick = how == "quick"
    is_complete = not (quick or only)
    folder = into or (ROOT / "docs" if is_complete else ROOT / "build/bench")
    results = Results(machine.facts(), quick)
    taken_at = ""
    if only and into and (earlier := _earlier(into)):
        _require_same(earlier, results)
        results, taken_at = earlier, results.machine["date"]
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as directory,
        start_testbed(Path(directory), quick=quick) as testbed,
    ):
        for name, measure in FIGURES.items():
            if not only or name in only:
                _take(name, measure, testbed, results, taken_at=taken_at)
                # Write at once, so that an interrupted run keeps its figures.
                write(results, folder)
        if not only or "curves" in only:
            _draw(testbed, results)
            write(results, folder)
    click.echo(f"The report is in {folder}.")
    missed = [row.what for row in results.rows if row.holds is False]
    click.echo(f"{len(missed)} of {len(results.rows)} figures miss their target.")
    if any(row.measured is None for row in results.rows):
        raise SystemExit("Not every figure could be measured.")


def _earlier(folder: Path) -> Results | None:
    file = folder / "benchmarks.json"
    return Results.from_json(file.read_text()) if file.exists() else None


def _require_same(earlier: Results, now: Results) -> None:
    """Refuse to mix figures of two machines in one report."""
    changing = {"date", "load before the run"}
    names = [name for name in now.machine if name not in changing]
    changed = [name for name in names if earlier.machine.get(name) != now.machine[name]]
    if changed or earlier.quick != now.quick:
        differs = ", ".join(changed) or "its size"
        raise click.UsageError(
            f"The existing report is of another run; these differ: {differs}. Measure all figures."
        )


def _take(
    name: str,
    measure: Callable[[Testbed], Iterator[Row]],
    testbed: Testbed,
    results: Results,
    *,
    taken_at: str,
) -> None:
    """Measure one figure; if it fails, its row says so, and the run continues."""
    started = time.monotonic()
    try:
        for row in measure(testbed):
            results.put(replace(row, taken_at=taken_at))
            _print(row)
    except Exception as error:  # noqa: BLE001 - an error of one figure must not stop the others
        row = Row(what=name, measured=None, unit="", missing=f"{type(error).__name__}: {error}")
        results.put(row)
        _print(row)
    click.echo(f"  {name}: {time.monotonic() - started:.0f} s")


def _draw(testbed: Testbed, results: Results) -> None:
    started = time.monotonic()
    try:
        results.curves = list(curves.measure(testbed))
    except Exception as error:  # noqa: BLE001 - as above
        missing = f"{type(error).__name__}: {error}"
        results.rows.append(Row(what="curves", measured=None, unit="", missing=missing))
    click.echo(f"  curves: {time.monotonic() - started:.0f} s")


def _print(row: Row) -> None:
    if row.measured is None:
        click.secho(f"{row.what}: not measured: {row.missing}", fg="red")
        return
    color = {True: "green", False: "red", None: "white"}[row.holds]
    target = "" if row.target is None else f" (target {row.target})"
    click.secho(f"{row.what}: {row.measured.median:.3g} {row.unit}{target}", fg=color)


if __name__ == "__main__":
    main(prog_name="python -m bench")

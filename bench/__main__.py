"""`python -m bench [quick]`: measures everything and writes the report."""

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
from bench.place import Place, place
from bench.report import Results, write
from bench.sample import Row

FIGURES: dict[str, Callable[[Place], Iterator[Row]]] = {
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
    "--only", multiple=True, type=click.Choice([*FIGURES, "curves"]), help="Some figures."
)
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the report goes; some figures are put into the one of the same machine that is "
    "there.  [default: docs; build/bench for a quick or partial run]",
)
def main(how: str, only: tuple[str, ...], into: Path | None) -> None:
    """Measure the worker against its peers; exits with 1 when a figure could not be taken."""
    quick = how == "quick"
    whole = not (quick or only)
    folder = into or (ROOT / "docs" if whole else ROOT / "build/bench")
    results = Results(machine.facts(), quick)
    apart = ""
    if only and into and (earlier := _earlier(into)):
        _require_same(earlier, results)
        results, apart = earlier, results.machine["date"]
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as directory,
        place(Path(directory), quick=quick) as here,
    ):
        for name, measure in FIGURES.items():
            if not only or name in only:
                _take(name, measure, here, results, apart=apart)
                # At once: a run that is broken off has measured what it has.
                write(results, folder)
        if not only or "curves" in only:
            _draw(here, results)
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
    """Refuse to put figures of one machine beside those of another."""
    changing = {"date", "load before the run"}
    names = [name for name in now.machine if name not in changing]
    other = [name for name in names if earlier.machine.get(name) != now.machine[name]]
    if other or earlier.quick != now.quick:
        differs = ", ".join(other) or "its size"
        raise click.UsageError(f"The report there is of another run ({differs}): measure all anew.")


def _take(
    name: str,
    measure: Callable[[Place], Iterator[Row]],
    here: Place,
    results: Results,
    *,
    apart: str,
) -> None:
    """Take one figure's rows; one that fails says so in its place, and the next one is taken."""
    begun = time.monotonic()
    try:
        for row in measure(here):
            results.put(replace(row, apart=apart))
            _tell(row)
    except Exception as error:  # noqa: BLE001 - whatever ails one figure concerns no other one
        row = Row(what=name, measured=None, unit="", missing=f"{type(error).__name__}: {error}")
        results.put(row)
        _tell(row)
    click.echo(f"  {name}: {time.monotonic() - begun:.0f} s")


def _draw(here: Place, results: Results) -> None:
    begun = time.monotonic()
    try:
        results.curves = list(curves.measure(here))
    except Exception as error:  # noqa: BLE001 - as above
        missing = f"{type(error).__name__}: {error}"
        results.rows.append(Row(what="curves", measured=None, unit="", missing=missing))
    click.echo(f"  curves: {time.monotonic() - begun:.0f} s")


def _tell(row: Row) -> None:
    if row.measured is None:
        click.secho(f"{row.what}: not measured: {row.missing}", fg="red")
        return
    colour = {True: "green", False: "red", None: "white"}[row.holds]
    target = "" if row.target is None else f" (target {row.target})"
    click.secho(f"{row.what}: {row.measured.median:.3g} {row.unit}{target}", fg=colour)


if __name__ == "__main__":
    main(prog_name="python -m bench")

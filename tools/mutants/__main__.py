"""Runs the mutation proof: `python -m tools.mutants [words of a mutant's name …]`.

Exit code 0: the unchanged copy passes, and of each mutant a test failed, by an assertion.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tools.mutants.copied import Copied, MissedError, WrongCodeError, copied, replaced
from tools.mutants.table import MUTANTS, Mutant
from tools.mutants.verdict import Told, Verdict, of_run, read_report

ROOT = Path(__file__).parents[2]
#: The unchanged tree, on which the same tests must pass.
CONTROL = "control: nothing is switched off"
WORDS = {Verdict.PASSED: "SURVIVED", Verdict.FAILED: "caught", Verdict.BROKEN: "BROKEN"}


def main(arguments: Sequence[str] | None = None, *, mutants: Sequence[Mutant] = MUTANTS) -> int:
    """Run the mutants that the command line names, all by default; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only the mutants that have one of these words")
    parser.add_argument("--jobs", default="3", help="how many tests run at once")
    options = parser.parse_args(arguments)
    chosen = [m for m in mutants if not options.words or any(w in m.name for w in options.words)]
    try:
        check_edits(chosen)
    except MissedError as error:
        sys.stderr.write(f"tools/mutants/table.py is out of date: {error}\n")
        return 2
    tests = tuple(dict.fromkeys(test for mutant in chosen for test in mutant.tests))
    table = Table("mutant", "tests", "failed", "verdict", "seconds")
    # Tests that fail of themselves would catch everything.
    good = _row(table, Mutant(CONTROL, (), tests), options.jobs, wanted=Verdict.PASSED)
    if good:
        caught = [_row(table, m, options.jobs, wanted=Verdict.FAILED) for m in chosen]
        good = all(caught)
    Console(width=140).print(table)
    return 0 if good else 1


def check_edits(mutants: Sequence[Mutant]) -> None:
    """Try each edit before anything is run.

    Raises:
        MissedError: One does not fit the code any more.
    """
    for mutant in mutants:
        for edit in mutant.edits:
            replaced((ROOT / edit.path).read_text(), edit)


def _row(table: Table, mutant: Mutant, jobs: str, *, wanted: Verdict) -> bool:
    """Run one mutant and add what became of it; return whether it is as wanted."""
    began = time.monotonic()
    with copied(ROOT) as tree:
        tree.change(mutant.edits)
        verdict, told, said = _run(tree, mutant, jobs)
    failed = [item for item in told if item.verdict is not Verdict.PASSED]
    word = WORDS[verdict] if wanted is Verdict.FAILED else verdict.value
    seconds = f"{time.monotonic() - began:.0f}"
    names = "\n".join(item.test for item in failed)
    table.add_row(mutant.name, str(len(told)), names, word, seconds)
    sys.stdout.write(f"{word}: {mutant.name} ({seconds} s)\n")
    for item in failed:
        sys.stdout.write(f"    {item.test}: {item.why.splitlines()[0]}\n")
    if verdict is not wanted:
        sys.stdout.write(f"{said}\n")
    sys.stdout.flush()
    return verdict is wanted


def _run(tree: Copied, mutant: Mutant, jobs: str) -> tuple[Verdict, list[Told], str]:
    """Run the mutant's tests in its copy; the verdict, each test's end, and what to read."""
    report = tree.directory / "report.xml"
    ran = subprocess.run(  # noqa: S603 - this Python, and tests from the table
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *(
                "-m",
                "faults and (not long or mutant)",
                "-n",
                jobs,
                f"--junitxml={report}",
                *mutant.tests,
            ),
        ],
        cwd=tree.directory,
        env=tree.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    told = read_report(report, waits=mutant.waits) if report.exists() else []
    verdict = of_run(ran.returncode, told)
    try:
        tree.demand_own_code()
    except WrongCodeError as error:
        return Verdict.BROKEN, told, f"{error}\n{ran.stdout}"
    return verdict, told, ran.stdout


if __name__ == "__main__":
    sys.exit(main())

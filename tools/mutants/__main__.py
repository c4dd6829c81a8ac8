"""Runs the mutation proof: `python -m tools.mutants [words of a mutant's name …]`.

Exit code 0: the unchanged copy passes all tests, and for each mutant an assertion of a test failed.
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

from tools.mutants.table import MUTANTS, Mutant
from tools.mutants.tree_copy import (
    EditError,
    TreeCopy,
    WrongCodeError,
    apply_edit,
    temporary_copy,
)
from tools.mutants.verdict import CaseResult, Verdict, of_run, read_report

ROOT = Path(__file__).parents[2]
#: The unchanged tree: the same tests must pass on it.
CONTROL = "control: nothing is switched off"
WORDS = {Verdict.PASSED: "SURVIVED", Verdict.FAILED: "caught", Verdict.BROKEN: "BROKEN"}


def main(arguments: Sequence[str] | None = None, *, mutants: Sequence[Mutant] = MUTANTS) -> int:
    """Run the mutants that the command line names, all by default; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only the mutants that have one of these words")
    parser.add_argument("--jobs", default="3", help="how many tests run at once")
    options = parser.parse_args(arguments)
    selected = [m for m in mutants if not options.words or any(w in m.name for w in options.words)]
    try:
        check_edits(selected)
    except EditError as error:
        sys.stderr.write(f"tools/mutants/table.py is out of date: {error}\n")
        return 2
    tests = tuple(dict.fromkeys(test for mutant in selected for test in mutant.tests))
    table = Table("mutant", "tests", "failed", "verdict", "seconds")
    # Tests that fail on the unchanged tree would catch every mutant.
    is_good = _row(table, Mutant(CONTROL, (), tests), options.jobs, wanted=Verdict.PASSED)
    if is_good:
        caught = [_row(table, m, options.jobs, wanted=Verdict.FAILED) for m in selected]
        is_good = all(caught)
    Console(width=140).print(table)
    return 0 if is_good else 1


def check_edits(mutants: Sequence[Mutant]) -> None:
    """Check each edit before any test runs.

    Raises:
        EditError: An edit no longer fits the code.
    """
    for mutant in mutants:
        for edit in mutant.edits:
            apply_edit((ROOT / edit.path).read_text(), edit)


def _row(table: Table, mutant: Mutant, jobs: str, *, wanted: Verdict) -> bool:
    """Run one mutant and add its result to the table; return whether it is the wanted one."""
    started = time.monotonic()
    with temporary_copy(ROOT) as tree:
        tree.change(mutant.edits)
        verdict, results, output = _run(tree, mutant, jobs)
    failed = [result for result in results if result.verdict is not Verdict.PASSED]
    word = WORDS[verdict] if wanted is Verdict.FAILED else verdict.value
    seconds = f"{time.monotonic() - started:.0f}"
    names = "\n".join(result.test for result in failed)
    table.add_row(mutant.name, str(len(results)), names, word, seconds)
    sys.stdout.write(f"{word}: {mutant.name} ({seconds} s)\n")
    for result in failed:
        sys.stdout.write(f"    {result.test}: {result.why.splitlines()[0]}\n")
    if verdict is not wanted:
        sys.stdout.write(f"{output}\n")
    sys.stdout.flush()
    return verdict is wanted


def _run(tree: TreeCopy, mutant: Mutant, jobs: str) -> tuple[Verdict, list[CaseResult], str]:
    """Run the mutant's tests in its copy; return the verdict, each test's result, the output."""
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
    results = read_report(report, waits=mutant.waits) if report.exists() else []
    verdict = of_run(ran.returncode, results)
    try:
        tree.require_own_code()
    except WrongCodeError as error:
        return Verdict.BROKEN, results, f"{error}\n{ran.stdout}"
    return verdict, results, ran.stdout


if __name__ == "__main__":
    sys.exit(main())

"""Runs the fault suite with other versions of Celery, kombu and redis-py: `make test-versions`.

    python -m tools.try_versions celery=5.7.0,kombu=5.7.0 --tests tests/faults/redis

Each combination gets a virtual environment under `.cache/`, made of the development lock with these
versions in place of its own. docs/decisions/002-celery-and-kombu-versions.md says what came of it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tools.mutants.verdict import Told, Verdict, read_report

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements" / "dev.txt"

#: The oldest and the newest that pyproject.toml and pip's resolver allow; then what is kept out.
COMBINATIONS = (
    "celery=5.6.3,kombu=5.6.2,redis=6.4.0",
    "celery=5.6.3,kombu=5.7.0,redis=6.4.0",
    "celery=5.6.3,kombu=5.7.0,redis=8.1.0",
    # Celery 5.7.0 pins python-dateutil.
    "celery=5.7.0,kombu=5.7.0,redis=6.4.0,python-dateutil=2.9.0.post0",
    "celery=5.7.0,kombu=5.7.0,redis=8.1.0,python-dateutil=2.9.0.post0",
)
TESTS = ("tests/faults", "tests/acceptance")

#: kombu's extra says which versions of redis-py its transport works with.
EXTRAS = {"celery": "celery[redis]"}


class RefusedError(Exception):
    """pip finds no set of packages with these versions."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Try what the command line names; return 0 when every test passed with each."""
    parser = argparse.ArgumentParser(prog="python -m tools.try_versions")
    parser.add_argument("combinations", nargs="*", default=COMBINATIONS, metavar="NAME=VERSION,…")
    parser.add_argument("--tests", nargs="+", default=TESTS, help="paths for pytest")
    parser.add_argument("--markers", default="(faults or acceptance) and not long")
    parser.add_argument("--jobs", default="4", help="how many tests run at once")
    options = parser.parse_args(arguments)
    table = Table("versions", "passed", "failed", "which")
    good = True
    for combination in options.combinations:
        sys.stdout.write(f"---- {combination}\n")
        sys.stdout.flush()
        try:
            python = environment(parse(combination))
        except RefusedError as error:
            table.add_row(combination, "", "", f"not allowed: {error}")
            continue
        told = run(python, options.tests, markers=options.markers, jobs=options.jobs)
        failed = [item.test for item in told if item.verdict is not Verdict.PASSED]
        good = good and bool(told) and not failed
        table.add_row(
            combination, str(len(told) - len(failed)), str(len(failed)), "\n".join(failed)
        )
    Console(width=140).print(table)
    return 0 if good else 1


def parse(combination: str) -> dict[str, str]:
    """Read `celery=5.7.0,kombu=5.7.0`."""
    return dict(part.split("=", 1) for part in combination.split(","))


def requirements(lock: str, versions: Mapping[str, str]) -> str:
    """Return the lock's packages with these versions in place of its own.

    Without hashes: the lock has none of what it does not name.

    Raises:
        ValueError: The lock does not name one of them.
    """
    lines = re.findall(r"^[a-z0-9][^\s\\]*(?: ; [^\\\n]*[^\\\s])?", lock, flags=re.MULTILINE)
    names = {re.split("[=\\[]", line, maxsplit=1)[0]: line for line in lines}
    unknown = versions.keys() - names.keys()
    if unknown:
        raise ValueError(f"the lock has no {', '.join(sorted(unknown))}")
    chosen = {name: f"{EXTRAS.get(name, name)}=={version}" for name, version in versions.items()}
    return "\n".join({**names, **chosen}.values()) + "\n"


def environment(versions: Mapping[str, str]) -> Path:
    """Make the virtual environment, unless it is there; return its Python.

    Raises:
        RefusedError: pip's resolver does not allow the versions together.
    """
    name = "-".join(f"{package}-{version}" for package, version in versions.items())
    directory = ROOT / ".cache" / "versions" / name
    python, wanted, ready = (
        directory / part for part in ("bin/python", "requirements.txt", "ready")
    )
    text = requirements(LOCK.read_text(), versions)
    if ready.exists() and wanted.read_text() == text:
        return python
    ready.unlink(missing_ok=True)
    venv.create(directory, with_pip=True, clear=True)
    wanted.write_text(text)
    for what in (["-r", str(wanted)], ["--no-deps", "--no-build-isolation", "-e", str(ROOT)]):
        done = subprocess.run(  # noqa: S603 - the Python that was made above
            [str(python), "-m", "pip", "install", "--disable-pip-version-check", *what],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RefusedError(reason(done.stdout))
    ready.touch()
    return python


def reason(said: str) -> str:
    """Return pip's own words on a conflict, or its last line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    conflicts = [line for line in lines if "depends on" in line or "requested" in line]
    return "; ".join(conflicts or lines[-1:])


def run(python: Path, tests: Sequence[str], *, markers: str, jobs: str) -> list[Told]:
    """Run the tests with one environment's Python; return each one's end."""
    report = python.parents[1] / "report.xml"
    report.unlink(missing_ok=True)
    subprocess.run(  # noqa: S603 - that Python, and the maintainer's arguments
        [
            *(str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--dist", "worksteal"),
            *("-m", markers, "-n", jobs, f"--junitxml={report}", *tests),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    return read_report(report, waits=True) if report.exists() else []


if __name__ == "__main__":
    sys.exit(main())

"""Runs the fault suite with other versions of Celery, kombu and redis-py: `make test-versions`.

    python -m tools.try_versions celery=5.7.0,kombu=5.7.0 --tests tests/faults/redis

Each combination gets a virtual environment under `.cache/`. It has the packages of the development
lock, with these versions in place of the locked ones. The results are in
docs/decisions/002-celery-and-kombu-versions.md.
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

from tools.mutants.verdict import CaseResult, Verdict, read_report

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements" / "dev.txt"

#: The oldest and the newest versions that pyproject.toml and pip's resolver allow; then versions
#: that pyproject.toml excludes.
COMBINATIONS = (
    "celery=5.6.3,kombu=5.6.2,redis=6.4.0",
    "celery=5.6.3,kombu=5.7.0,redis=6.4.0",
    "celery=5.6.3,kombu=5.7.0,redis=8.1.0",
    # Celery 5.7.0 pins python-dateutil.
    "celery=5.7.0,kombu=5.7.0,redis=6.4.0,python-dateutil=2.9.0.post0",
    "celery=5.7.0,kombu=5.7.0,redis=8.1.0,python-dateutil=2.9.0.post0",
)
TESTS = ("tests/faults", "tests/acceptance")

#: kombu's extra names the versions of redis-py that its transport works with.
EXTRAS = {"celery": "celery[redis]"}


class ConflictError(Exception):
    """pip finds no set of packages with these versions."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the combinations of the command line; return 0 if every test passed with each."""
    parser = argparse.ArgumentParser(prog="python -m tools.try_versions")
    parser.add_argument("combinations", nargs="*", default=COMBINATIONS, metavar="NAME=VERSION,…")
    parser.add_argument("--tests", nargs="+", default=TESTS, help="paths for pytest")
    parser.add_argument("--markers", default="(faults or acceptance) and not long")
    parser.add_argument("--jobs", default="4", help="how many tests run at once")
    options = parser.parse_args(arguments)
    table = Table("versions", "passed", "failed", "failed tests")
    is_good = True
    for combination in options.combinations:
        sys.stdout.write(f"---- {combination}\n")
        sys.stdout.flush()
        try:
            python = environment(parse(combination))
        except ConflictError as error:
            table.add_row(combination, "", "", f"not allowed: {error}")
            continue
        results = run(python, options.tests, markers=options.markers, jobs=options.jobs)
        failed = [result.test for result in results if result.verdict is not Verdict.PASSED]
        is_good = is_good and bool(results) and not failed
        table.add_row(
            combination, str(len(results) - len(failed)), str(len(failed)), "\n".join(failed)
        )
    Console(width=140).print(table)
    return 0 if is_good else 1


def parse(combination: str) -> dict[str, str]:
    """Read `celery=5.7.0,kombu=5.7.0`."""
    return dict(part.split("=", 1) for part in combination.split(","))


def requirements(lock: str, versions: Mapping[str, str]) -> str:
    """Return the lock's packages, with these versions in place of the locked ones.

    The result has no hashes, because the lock has none for other versions.

    Raises:
        ValueError: The lock does not name one of the packages.
    """
    lines = re.findall(r"^[a-z0-9][^\s\\]*(?: ; [^\\\n]*[^\\\s])?", lock, flags=re.MULTILINE)
    names = {re.split("[=\\[]", line, maxsplit=1)[0]: line for line in lines}
    unknown = versions.keys() - names.keys()
    if unknown:
        raise ValueError(f"the lock has no {', '.join(sorted(unknown))}")
    pins = {name: f"{EXTRAS.get(name, name)}=={version}" for name, version in versions.items()}
    return "\n".join({**names, **pins}.values()) + "\n"


def environment(versions: Mapping[str, str]) -> Path:
    """Create the virtual environment unless it exists; return its Python.

    Raises:
        ConflictError: pip's resolver does not allow the versions together.
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
    for arguments in (["-r", str(wanted)], ["--no-deps", "--no-build-isolation", "-e", str(ROOT)]):
        pip = subprocess.run(  # noqa: S603 - the Python that was created above
            [str(python), "-m", "pip", "install", "--disable-pip-version-check", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if pip.returncode:
            raise ConflictError(reason(pip.stdout))
    ready.touch()
    return python


def reason(output: str) -> str:
    """Return pip's explanation of a conflict, or its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    conflicts = [line for line in lines if "depends on" in line or "requested" in line]
    return "; ".join(conflicts or lines[-1:])


def run(python: Path, tests: Sequence[str], *, markers: str, jobs: str) -> list[CaseResult]:
    """Run the tests with one environment's Python; return the result of each."""
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

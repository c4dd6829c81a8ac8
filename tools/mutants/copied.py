"""A copy of the tree that can be changed, and the proof that nothing but the copy is run."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tools.mutants.table import Edit

WITNESS = Path(__file__).with_name("witness.py")
#: Every kind of process that a fault test starts; `test` is the one that starts them.
ROLES = frozenset({"test", "worker", "beat", "connect_worker.sandbox"})


class MissedError(Exception):
    """An edit that does not fit the code any more."""

    def __init__(self, edit: Edit, times: int) -> None:
        super().__init__(f"{edit.path}: found {times} times, not once:\n{edit.old}")


class WrongCodeError(Exception):
    """Processes ran that did not use the copy's code."""


def replaced(text: str, edit: Edit) -> str:
    """Return a file's text with the edit made.

    Raises:
        MissedError: What it replaces is not there exactly once.
    """
    times = text.count(edit.old)
    if times != 1:
        raise MissedError(edit, times)
    return text.replace(edit.old, edit.new)


class Copied:
    """One copy, made of the files that git tracks, as they are in the working tree."""

    def __init__(self, original: Path, directory: Path) -> None:
        self.original = original
        self.directory = directory
        self._notes = directory / ".witness"
        listed = subprocess.run(
            ["git", "ls-files", "-z"],  # noqa: S607 - the maintainer's git
            cwd=original,
            check=True,
            capture_output=True,
            text=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            source = original / name
            # A file that was deleted, and not from the index yet.
            if source.is_file():
                (directory / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, directory / name)
        shutil.copy(WITNESS, directory / "sitecustomize.py")

    def change(self, edits: Iterable[Edit]) -> None:
        """Make the edits in the copy."""
        for edit in edits:
            path = self.directory / edit.path
            path.write_text(replaced(path.read_text(), edit))

    def environment(self) -> dict[str, str]:
        """Return the variables with which Python takes the copy's code before any other."""
        return {
            **os.environ,
            "PYTHONPATH": str(self.directory),
            "PYTHONDONTWRITEBYTECODE": "1",
            "MUTANTS_ORIGINAL": str(self.original),
            "MUTANTS_NOTES": str(self._notes),
        }

    def demand_own_code(self) -> None:
        """Return only when each kind of process ran the copy's code, and none the original's.

        Raises:
            WrongCodeError: Otherwise; what the tests said then says nothing of the copy.
        """
        lines = self._notes.read_text().splitlines() if self._notes.exists() else []
        notes = {tuple(line.split(" ", 1)) for line in lines}
        strangers = sorted(file for whose, file in notes if whose == "original")
        if strangers:
            raise WrongCodeError(f"not the copy's: {', '.join(strangers[:5])}")
        missing = ROLES - {role for whose, role in notes if whose == "copy"}
        if missing:
            raise WrongCodeError(f"never seen with the copy's code: {', '.join(sorted(missing))}")


@contextmanager
def copied(original: Path) -> Iterator[Copied]:
    """Make a copy that is gone after the `with` block."""
    with TemporaryDirectory(prefix="mutant-") as directory:
        yield Copied(original, Path(directory).resolve())

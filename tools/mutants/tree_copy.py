"""A copy of the tree that mutants change, and the proof that processes run only its code."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tools.mutants.table import Edit

RECORDER = Path(__file__).with_name("code_recorder.py")
#: Every kind of process in a fault test; `test` is the process that starts the others.
ROLES = frozenset({"test", "worker", "beat", "connect_worker.sandbox"})


class EditError(Exception):
    """An edit that no longer fits the code."""

    def __init__(self, edit: Edit, times: int) -> None:
        super().__init__(f"{edit.path}: found {times} times, not once:\n{edit.old}")


class WrongCodeError(Exception):
    """A process ran code that is not the copy's, or no process of a kind was seen."""


def apply_edit(text: str, edit: Edit) -> str:
    """Return a file's text with the edit applied.

    Raises:
        EditError: The text to replace does not occur exactly once.
    """
    times = text.count(edit.old)
    if times != 1:
        raise EditError(edit, times)
    return text.replace(edit.old, edit.new)


class TreeCopy:
    """One copy of the files that git tracks, as they are in the working tree."""

    def __init__(self, original: Path, directory: Path) -> None:
        self.original = original
        self.directory = directory
        self._notes = directory / ".executed-code"
        listed = subprocess.run(
            ["git", "ls-files", "-z"],  # noqa: S607 - the maintainer's git
            cwd=original,
            check=True,
            capture_output=True,
            text=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            source = original / name
            # Git still lists a file that was deleted and is not yet removed from the index.
            if source.is_file():
                (directory / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, directory / name)
        shutil.copy(RECORDER, directory / "sitecustomize.py")

    def change(self, edits: Iterable[Edit]) -> None:
        """Apply the edits in the copy."""
        for edit in edits:
            path = self.directory / edit.path
            path.write_text(apply_edit(path.read_text(), edit))

    def environment(self) -> dict[str, str]:
        """Return the environment variables that put the copy's code first."""
        return {
            **os.environ,
            "PYTHONPATH": str(self.directory),
            "PYTHONDONTWRITEBYTECODE": "1",
            "MUTANTS_ORIGINAL": str(self.original),
            "MUTANTS_NOTES": str(self._notes),
        }

    def require_own_code(self) -> None:
        """Return if each kind of process ran the copy's code, and none ran the original's.

        Raises:
            WrongCodeError: Otherwise. The results of the tests then prove nothing about the copy.
        """
        lines = self._notes.read_text().splitlines() if self._notes.exists() else []
        notes = {tuple(line.split(" ", 1)) for line in lines}
        original_files = sorted(file for owner, file in notes if owner == "original")
        if original_files:
            raise WrongCodeError(f"not the copy's: {', '.join(original_files[:5])}")
        missing = ROLES - {role for owner, role in notes if owner == "copy"}
        if missing:
            raise WrongCodeError(f"never seen with the copy's code: {', '.join(sorted(missing))}")


@contextmanager
def temporary_copy(original: Path) -> Iterator[TreeCopy]:
    """Make a copy that is deleted at the end of the `with` block."""
    with TemporaryDirectory(prefix="mutant-") as directory:
        yield TreeCopy(original, Path(directory).resolve())

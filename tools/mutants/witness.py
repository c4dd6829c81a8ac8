"""Notes whose code a process runs; in a copy of the tree it is `sitecustomize`.

Python imports it at the start of every process that has the copy in `PYTHONPATH`, and raises the
audit event `exec` for each module that is run: what was run, a search path could only guess.
"""

from __future__ import annotations

import os
import sys

OURS = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - imported at each start: os is there
ORIGINAL = os.environ["MUTANTS_ORIGINAL"]
ROLES = ("worker", "beat", "connect_worker.sandbox")


def _role() -> str:
    return next((role for role in ROLES if role in sys.orig_argv), "test")


def _note(whose: str, what: str) -> None:
    # One write of one short line: processes can't mix them up.
    notes = os.open(os.environ["MUTANTS_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(notes, f"{whose} {what}\n".encode())
    os.close(notes)


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event != "exec":
        return
    file = getattr(arguments[0], "co_filename", "")
    if file == f"{OURS}/connect_worker/__init__.py":
        _note("copy", _role())
    elif file.startswith(f"{ORIGINAL}/") and not file.startswith(f"{sys.prefix}/"):
        _note("original", file)


sys.addaudithook(_watch)

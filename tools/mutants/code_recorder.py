"""Records which tree's code a process runs; in a copy of the tree this file is `sitecustomize`.

Python imports it at the start of every process that has the copy in `PYTHONPATH`. Python raises the
audit event `exec` for each module that it runs. The event proves which file ran; a search path
would only suggest it.
"""

from __future__ import annotations

import os
import sys

OURS = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib would slow each start down
ORIGINAL = os.environ["MUTANTS_ORIGINAL"]
ROLES = ("worker", "beat", "connect_worker.sandbox")


def _role() -> str:
    return next((role for role in ROLES if role in sys.orig_argv), "test")


def _record(owner: str, name: str) -> None:
    # One write of one short line, so that the lines of several processes do not mix.
    notes = os.open(os.environ["MUTANTS_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(notes, f"{owner} {name}\n".encode())
    os.close(notes)


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event != "exec":
        return
    file = getattr(arguments[0], "co_filename", "")
    if file == f"{OURS}/connect_worker/__init__.py":
        _record("copy", _role())
    elif file.startswith(f"{ORIGINAL}/") and not file.startswith(f"{sys.prefix}/"):
        _record("original", file)


sys.addaudithook(_watch)

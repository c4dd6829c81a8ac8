"""``python -m connect_worker.compat script.py``: runs a script of the 2019 SDK as it stands."""

from __future__ import annotations

import logging
import runpy
import sys
from collections import Counter
from pathlib import Path

from connect_worker.compat import install
from connect_worker.config import DEFAULT_FILE
from connect_worker.exceptions import CompatInstallError
from connect_worker.observability.logging import prepare_handler
from connect_worker.observability.output import accept_any_text, format_count, report_crashes
from connect_worker.resources.runner import LOCAL_RUNNER, NOT_DECIDED

_USAGE = "usage: python -m connect_worker.compat SCRIPT [ARGUMENT …]"


def main(arguments: list[str]) -> None:
    """Run a script as `python SCRIPT …` would, with `connect` as a name of connect_worker.

    The exit status is the script's, but 1 in place of 0 where a request was not decided because of
    an error.
    """
    if not arguments or arguments[0].startswith("-"):
        raise SystemExit(_USAGE)
    script = Path(arguments[0])
    if not script.is_file():
        raise SystemExit(f"connect_worker.compat: there is no file {script}")
    sys.argv = arguments
    if not sys.flags.safe_path:
        # `python -m` puts the working directory there, `python script.py` the script's.
        sys.path[0] = str(script.resolve().parent)
    try:
        install()
    except CompatInstallError as error:
        raise SystemExit(f"connect_worker.compat: {error}") from None
    accept_any_text(sys.stdout, sys.stderr)
    _show_log()
    report_crashes()
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as error:
        if error.code:
            raise
    except FileNotFoundError as error:
        if Path(str(error.filename)).name != DEFAULT_FILE:
            raise
        raise SystemExit(
            f"connect_worker.compat: there is no file {error.filename}: write apiEndpoint and "
            f"apiKey into it, or start the script in the folder that has it"
        ) from None
    finally:
        _print_summary(LOCAL_RUNNER.results)
    if LOCAL_RUNNER.results[NOT_DECIDED]:
        raise SystemExit(1)


def _print_summary(results: Counter[str]) -> None:
    """Say on standard error how the requests ended, those with an error last."""
    words = sorted(results, key=lambda word: (word == NOT_DECIDED, word))
    ends = ", ".join(f"{results[word]} {word}" for word in words)
    count = format_count(results.total())
    print(f"connect_worker.compat: {count}{': ' * bool(ends)}{ends}", file=sys.stderr)  # noqa: T201


def _show_log() -> None:
    """Write the log to stderr, as the SDK did, unless the script gives logging its own handlers."""
    handler = logging.StreamHandler()
    prepare_handler(handler, "text")
    logging.lastResort = handler


if __name__ == "__main__":
    main(sys.argv[1:])

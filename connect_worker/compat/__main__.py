"""``python -m connect_worker.compat script.py``: runs a script of the 2019 SDK as it stands."""

from __future__ import annotations

import logging
import runpy
import sys
from pathlib import Path

from connect_worker.compat import install
from connect_worker.exceptions import CompatInstallError
from connect_worker.observability.logging import prepare_handler
from connect_worker.observability.output import accept_any_text, report_crashes

_USAGE = "usage: python -m connect_worker.compat SCRIPT [ARGUMENT …]"


def main(arguments: list[str]) -> None:
    """Run a script as `python SCRIPT …` would, with `connect` as a name of connect_worker."""
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
    runpy.run_path(str(script), run_name="__main__")


def _show_log() -> None:
    """Write the log to stderr, as the SDK did, unless the script gives logging its own handlers."""
    handler = logging.StreamHandler()
    prepare_handler(handler, "text")
    logging.lastResort = handler


if __name__ == "__main__":
    main(sys.argv[1:])

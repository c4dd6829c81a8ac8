"""The documentation's site: `python -m tools.site tables|build|serve`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading

from tools.site import reference, tables
from tools.site.stage import PAGES, ROOT, LostLink, stage
from tools.site.whole import faults

SITE = ROOT / "build" / "site"
#: Between two looks at the pages while the site is shown.
LOOK_SECONDS = 1.0


def main(arguments: list[str]) -> int:
    """Do what the command line asks for; return the exit code."""
    try:
        match arguments:
            case ["tables"]:
                tables.write()
                return 0
            case ["build"]:
                return build()
            case ["serve", *options]:
                return serve(options)
    except LostLink as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stderr.write(f"{__doc__}\n")
    return 2


def build() -> int:
    """Build the site and check the whole of it."""
    lay_out()
    shutil.rmtree(SITE, ignore_errors=True)
    if code := _zensical("build", "--strict", "--clean"):
        return code
    said = [*faults(SITE), *reference.missing(SITE)]
    for item in said:
        sys.stderr.write(f"{item}\n")
    pages = len(list(SITE.rglob("*.html")))
    sys.stdout.write(f"build/site: {pages} pages, {len(said) or 'no'} faults\n")
    return 1 if said else 0


def serve(options: list[str]) -> int:
    """Show the site, and what becomes of its pages while they are written."""
    lay_out()
    threading.Thread(target=_follow, daemon=True).start()
    try:
        return _zensical("serve", *options)
    except KeyboardInterrupt:
        return 0


def lay_out() -> None:
    """Put all pages where the builder reads them."""
    stage()
    reference.write(PAGES / "api")


def _follow() -> None:
    seen = _changes()
    while True:
        threading.Event().wait(LOOK_SECONDS)
        if (now := _changes()) != seen:
            seen = now
            try:
                stage(renew=True)
            except LostLink as error:
                sys.stderr.write(f"{error}\n")


def _changes() -> float:
    watched = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*")]
    return max(path.stat().st_mtime for path in watched)


def _zensical(*words: str) -> int:
    command = [sys.executable, "-m", "zensical", *words]
    return subprocess.run(command, cwd=ROOT, check=False).returncode  # noqa: S603 - the docs extra


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

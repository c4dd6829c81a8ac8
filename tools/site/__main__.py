"""The documentation's site: `python -m tools.site tables|build|serve`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading

from tools.site import reference, tables
from tools.site.html_check import find_problems
from tools.site.pages import PAGES, ROOT, BrokenLinkError, write_pages

SITE = ROOT / "build" / "site"
#: The time between two checks for changed pages while the site is served.
CHECK_SECONDS = 1.0


def main(arguments: list[str]) -> int:
    """Run the command of the command line; return the exit code."""
    try:
        match arguments:
            case ["tables"]:
                tables.write()
                return 0
            case ["build"]:
                return build()
            case ["serve", *options]:
                return serve(options)
    except BrokenLinkError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stderr.write(f"{__doc__}\n")
    return 2


def build() -> int:
    """Build the site and check all of it."""
    prepare_pages()
    shutil.rmtree(SITE, ignore_errors=True)
    if code := _zensical("build", "--strict", "--clean"):
        return code
    problems = [*find_problems(SITE), *reference.missing(SITE)]
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    pages = len(list(SITE.rglob("*.html")))
    sys.stdout.write(f"build/site: {pages} pages, {len(problems) or 'no'} problems\n")
    return 1 if problems else 0


def serve(options: list[str]) -> int:
    """Serve the site, and update it while its pages change."""
    prepare_pages()
    threading.Thread(target=_watch, daemon=True).start()
    try:
        return _zensical("serve", *options)
    except KeyboardInterrupt:
        return 0


def prepare_pages() -> None:
    """Write all pages into the folder that the builder reads."""
    write_pages()
    reference.write(PAGES / "api")


def _watch() -> None:
    latest = _last_change()
    while True:
        threading.Event().wait(CHECK_SECONDS)
        if (now := _last_change()) != latest:
            latest = now
            try:
                write_pages(keep_others=True)
            except BrokenLinkError as error:
                sys.stderr.write(f"{error}\n")


def _last_change() -> float:
    watched = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*")]
    return max(path.stat().st_mtime for path in watched)


def _zensical(*words: str) -> int:
    command = [sys.executable, "-m", "zensical", *words]
    return subprocess.run(command, cwd=ROOT, check=False).returncode  # noqa: S603 - the docs extra


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

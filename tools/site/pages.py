"""Prepares the pages for the site: README becomes the first page, and links lead to site pages.

In the repository, a link names a file of this tree. On the site, a link to a page leads to that
page, and a link to any other file leads to the repository.
"""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

ROOT: Final = Path(__file__).parents[2]
#: The folder that the builder reads; mkdocs.yml names it too.
PAGES: Final = ROOT / "build" / "pages"
DECISIONS: Final = PurePosixPath("docs/decisions")

_TOP: Final = {"README.md": "index.md", "CHANGELOG.md": "changelog.md"}
_LINK: Final = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
_FENCE: Final = re.compile(r"^ *```", re.MULTILINE)


class BrokenLinkError(ValueError):
    """A page has a link to a file that does not exist."""


def write_pages(*, keep_others: bool = False) -> None:
    """Write all pages into `PAGES`.

    Args:
        keep_others: Keep the other files of the folder instead of emptying it first.

    Raises:
        BrokenLinkError: The message names the page and the link.
    """
    if not keep_others:
        shutil.rmtree(PAGES, ignore_errors=True)
    for source, path_on_site in sources():
        target = PAGES / path_on_site
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".md":
            target.write_text(with_site_links(source), encoding="utf-8")
        else:
            shutil.copyfile(ROOT / source, target)
    (PAGES / "decisions" / "index.md").write_text(decisions(), encoding="utf-8")


def sources() -> Iterator[tuple[PurePosixPath, str]]:
    """Yield each file of the site: its path in this tree, and its path on the site."""
    for name, path_on_site in _TOP.items():
        yield PurePosixPath(name), path_on_site
    for path in sorted((ROOT / "docs").rglob("*")):
        if path.is_file():
            source = PurePosixPath(path.relative_to(ROOT).as_posix())
            yield source, site_path(source) or ""


def site_path(path: PurePosixPath) -> str | None:
    """Return the path on the site of a file of this tree; None if the site does not have it."""
    if str(path) in _TOP:
        return _TOP[str(path)]
    if path == DECISIONS:
        return "decisions/index.md"
    return str(path.relative_to("docs")) if path.is_relative_to("docs") else None


def with_site_links(source: PurePosixPath) -> str:
    """Return a page's text with each link outside of code changed to its target on the site."""
    text = (ROOT / source).read_text(encoding="utf-8")
    parts = re.split(r"(^ *```.*?^ *```[ \t]*$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(
        part if _FENCE.match(part) else _LINK.sub(lambda link: _site_link(source, link), part)
        for part in parts
    )


def decisions() -> str:
    """Return the page that lists the decision records."""
    lines = ["# Decisions", "", "What was decided, why, and which alternatives were rejected.", ""]
    for path in sorted((ROOT / DECISIONS).glob("*.md")):
        title = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        lines.append(f"- [{title}]({path.name})")
    return "\n".join([*lines, ""])


def _site_link(source: PurePosixPath, link: re.Match[str]) -> str:
    opening, target, anchor, closing = link.groups(default="")
    if re.match(r"[a-z]+:", target):
        return link[0]
    path = PurePosixPath(os.path.normpath(source.parent / target))
    if not (ROOT / path).exists():
        raise BrokenLinkError(f"{source} has a link to {target}, which does not exist")
    path_on_site = site_path(path)
    if path_on_site is None:
        return f"{opening}{repository()}/{path}{anchor}{closing}"
    here = PurePosixPath(site_path(source) or "").parent
    return f"{opening}{os.path.relpath(path_on_site, here)}{anchor}{closing}"


def repository() -> str:
    """Return the address of this tree's files."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    address: str = project["urls"]["Documentation"]
    return address.removesuffix("/docs")

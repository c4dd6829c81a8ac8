"""Lays the pages out as the site has them: README is the first, and links lead to the site's pages.

On a page, a link names a file of this tree, as any reader of the repository follows it. On the site
a link to a page leads to that page, and one to any other file to the repository.
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
#: Where the pages lie for the builder; mkdocs.yml names it too.
PAGES: Final = ROOT / "build" / "pages"
DECISIONS: Final = PurePosixPath("docs/decisions")

_TOP: Final = {"README.md": "index.md", "CHANGELOG.md": "changelog.md"}
_LINK: Final = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
_FENCE: Final = re.compile(r"^ *```", re.MULTILINE)


class LostLink(ValueError):  # noqa: N818 - it says what it is
    """A page has a link to what is not there."""


def stage(*, renew: bool = False) -> None:
    """Write all pages into `PAGES`.

    Args:
        renew: Lay them over what is there, in place of beginning with nothing.

    Raises:
        LostLink: Naming the page and the link.
    """
    if not renew:
        shutil.rmtree(PAGES, ignore_errors=True)
    for source, place in sources():
        target = PAGES / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".md":
            target.write_text(with_links_of_the_site(source), encoding="utf-8")
        else:
            shutil.copyfile(ROOT / source, target)
    (PAGES / "decisions" / "index.md").write_text(decisions(), encoding="utf-8")


def sources() -> Iterator[tuple[PurePosixPath, str]]:
    """Each file of the site: its path in this tree, and its place on the site."""
    for name, place in _TOP.items():
        yield PurePosixPath(name), place
    for path in sorted((ROOT / "docs").rglob("*")):
        if path.is_file():
            source = PurePosixPath(path.relative_to(ROOT).as_posix())
            yield source, place_of(source) or ""


def place_of(path: PurePosixPath) -> str | None:
    """Where a file of this tree is on the site; None when it is not there."""
    if str(path) in _TOP:
        return _TOP[str(path)]
    if path == DECISIONS:
        return "decisions/index.md"
    return str(path.relative_to("docs")) if path.is_relative_to("docs") else None


def with_links_of_the_site(source: PurePosixPath) -> str:
    """Return a page's text, each link outside of code turned to where it leads on the site."""
    text = (ROOT / source).read_text(encoding="utf-8")
    parts = re.split(r"(^ *```.*?^ *```[ \t]*$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(
        part if _FENCE.match(part) else _LINK.sub(lambda found: _turned(source, found), part)
        for part in parts
    )


def decisions() -> str:
    """The page that lists the decision records."""
    lines = ["# Decisions", "", "What was decided, why, and what was weighed.", ""]
    for path in sorted((ROOT / DECISIONS).glob("*.md")):
        title = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        lines.append(f"- [{title}]({path.name})")
    return "\n".join([*lines, ""])


def _turned(source: PurePosixPath, found: re.Match[str]) -> str:
    opening, target, anchor, closing = found.groups(default="")
    if re.match(r"[a-z]+:", target):
        return found[0]
    path = PurePosixPath(os.path.normpath(source.parent / target))
    if not (ROOT / path).exists():
        raise LostLink(f"{source} has a link to {target}, which is not there")
    place = place_of(path)
    if place is None:
        return f"{opening}{repository()}/{path}{anchor}{closing}"
    here = PurePosixPath(place_of(source) or "").parent
    return f"{opening}{os.path.relpath(place, here)}{anchor}{closing}"


def repository() -> str:
    """The address of this tree's files."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    address: str = project["urls"]["Documentation"]
    return address.removesuffix("/docs")

"""Checks the built site: links and anchors have targets, and no page fetches from other hosts.

The check reads the HTML, so that it works with the output of any builder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

#: The elements and attributes whose addresses a browser fetches by itself.
_FETCHED: Final = {("script", "src"), ("img", "src"), ("source", "src"), ("iframe", "src")}
#: The `rel` values of `<link>` elements that a browser fetches.
_RELATIONS: Final = {"stylesheet", "icon", "preload", "modulepreload", "preconnect", "dns-prefetch"}
_REMOTE: Final = re.compile(r"(?:https?:)?//", re.IGNORECASE)
_CSS: Final = re.compile(r"""(?:url\(\s*|@import\s+)["']?((?:https?:)?//[^"')\s]+)""", re.I)
#: The builder's page for unknown addresses; its links begin at the server's root.
_NOT_FOUND: Final = "404.html"


@dataclass
class Page:
    """The anchors, links and fetched addresses of a page."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if "id" in values:
            self.page.ids.add(values["id"])
        if tag == "a" and "href" in values:
            self.page.links.append(values["href"])
        if tag == "link" and set(values.get("rel", "").split()) & _RELATIONS:
            self.page.fetched.append(values.get("href", ""))
        self.page.fetched += [values[name] for name in values if (tag, name) in _FETCHED]


def find_problems(site: Path) -> Iterator[str]:
    """Yield a line for each problem of a site."""
    pages = {path: _read(path) for path in sorted(site.rglob("*.html"))}
    if not pages:
        yield f"{site} has no page"
    for path, page in pages.items():
        name = path.relative_to(site)
        for address in page.fetched:
            if _REMOTE.match(address):
                yield f"{name} fetches {address}"
            elif path.name != _NOT_FOUND and not _file(path, address).is_file():
                yield f"{name} fetches {address}, which is not there"
        for address in page.links if path.name != _NOT_FOUND else ():
            yield from (f"{name}: {problem}" for problem in _check_link(address, path, pages))
    for path in sorted(site.rglob("*.css")):
        for address in _CSS.findall(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(site)} fetches {address}"


def _read(path: Path) -> Page:
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    return reader.page


def _check_link(address: str, path: Path, pages: dict[Path, Page]) -> Iterator[str]:
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return
    target = _file(path, address)
    if not target.is_file():
        yield f"no page for the link {address}"
    elif parts.fragment and target in pages:
        anchor = unquote(parts.fragment)
        if anchor not in pages[target].ids and not anchor.startswith("__"):
            yield f"no anchor for the link {address}"


def _file(path: Path, address: str) -> Path:
    """Return the file that an address on a page names."""
    relative = unquote(urlsplit(address).path)
    target = (path.parent / relative).resolve() if relative else path
    return target / "index.html" if target.is_dir() else target

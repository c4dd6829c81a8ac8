"""Whether the built site is whole: links and anchors lead somewhere, and nothing comes from afar.

It reads the HTML itself, whichever program has built it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

#: What a browser fetches by itself, by the element and the attribute that names it.
_FETCHED: Final = {("script", "src"), ("img", "src"), ("source", "src"), ("iframe", "src")}
#: The links of a head that it fetches.
_RELATIONS: Final = {"stylesheet", "icon", "preload", "modulepreload", "preconnect", "dns-prefetch"}
_FAR: Final = re.compile(r"(?:https?:)?//", re.IGNORECASE)
_CSS: Final = re.compile(r"""(?:url\(\s*|@import\s+)["']?((?:https?:)?//[^"')\s]+)""", re.I)
#: The builder's own page for what is not there; its links begin at the server's root.
_NOT_FOUND: Final = "404.html"


@dataclass
class Page:
    """What a page has and asks for."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.page.ids.add(given["id"])
        if tag == "a" and "href" in given:
            self.page.links.append(given["href"])
        if tag == "link" and set(given.get("rel", "").split()) & _RELATIONS:
            self.page.fetched.append(given.get("href", ""))
        self.page.fetched += [given[name] for name in given if (tag, name) in _FETCHED]


def faults(site: Path) -> Iterator[str]:
    """Tell what is wrong with a site, a line each; nothing when it is whole."""
    pages = {path: _read(path) for path in sorted(site.rglob("*.html"))}
    if not pages:
        yield f"{site} has no page"
    for path, page in pages.items():
        name = path.relative_to(site)
        for address in page.fetched:
            if _FAR.match(address):
                yield f"{name} fetches {address}"
            elif path.name != _NOT_FOUND and not _file(path, address).is_file():
                yield f"{name} fetches {address}, which is not there"
        for address in page.links if path.name != _NOT_FOUND else ():
            yield from (f"{name}: {said}" for said in _lost(address, path, pages))
    for path in sorted(site.rglob("*.css")):
        for address in _CSS.findall(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(site)} fetches {address}"


def _read(path: Path) -> Page:
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    return reader.page


def _lost(address: str, path: Path, pages: dict[Path, Page]) -> Iterator[str]:
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
    """The file that an address on a page leads to."""
    relative = unquote(urlsplit(address).path)
    target = (path.parent / relative).resolve() if relative else path
    return target / "index.html" if target.is_dir() else target

"""The fenced blocks of all pages, as a reader of Markdown finds them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
_DOCS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
PAGES = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "requirements/README.md", *_DOCS]


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between two fences."""

    page: str
    #: Of the opening fence, from 1.
    line: int
    #: The first word after the fence; "" when there is none.
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str, text: str) -> Iterator[Block]:
    """Find the blocks of a page; an indented one has no language."""
    for token in MarkdownIt().parse(text):
        if token.type in ("fence", "code_block"):
            assert token.map is not None
            language = token.info.partition(" ")[0]
            yield Block(page, token.map[0] + 1, language, token.content)


def blocks(page: str) -> list[Block]:
    return list(blocks_of(page, (ROOT / page).read_text(encoding="utf-8")))


BLOCKS = [block for page in PAGES for block in blocks(page)]

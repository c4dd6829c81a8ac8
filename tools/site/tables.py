"""Writes what pages say of the settings, from their descriptions in the settings' model.

What is written stands between two comments; the rest of a page is a person's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from connect_worker.settings.docs import Description, descriptions
from connect_worker.settings.environment import PREFIX
from connect_worker.settings.model import Settings

ROOT: Final = Path(__file__).parents[2]
_BEGIN: Final = "<!-- settings: written by `make tables` -->"
_END: Final = "<!-- end of the settings -->"


def table() -> str:
    """README's table: a row per setting."""
    rows = [
        f"| {_names(description)} | {description.default} | {description.meaning} |"
        for description in descriptions(Settings)
    ]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


def sections() -> str:
    """The reference: a section per setting, so that a link can name it."""
    return "\n\n".join(_section(description) for description in descriptions(Settings))


#: The pages that say it, and how.
PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "README.md": table,
    "docs/configuration.md": sections,
}


def renewed(page: str) -> str:
    """Return a page's text with what is written anew between the comments.

    Raises:
        ValueError: The page has no place for it.
    """
    text = (ROOT / page).read_text(encoding="utf-8")
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"{page} has no place for the settings: {_BEGIN} … {_END}")
    return f"{before}{begin}\n\n{PAGES[page]()}\n\n{end}{after}"


def write() -> None:
    """Write the pages that differ."""
    for page in PAGES:
        text = renewed(page)
        if (ROOT / page).read_text(encoding="utf-8") != text:
            (ROOT / page).write_text(text, encoding="utf-8")


def _names(one: Description) -> str:
    return ", ".join(f"`{PREFIX}{name}`" for name in one.variables)


def _section(one: Description) -> str:
    first, *others = (f"{PREFIX}{name}" for name in one.variables)
    # This page lies in docs/, and a description's links begin at the root.
    meaning = f"{one.meaning[0].upper()}{one.meaning[1:]}".replace("](docs/", "](")
    lines = [f"### {first}", "", f"{meaning}.", "", f"- Default: {one.default or 'none'}"]
    if one.unit:
        lines.append(f"- Unit: {one.unit}")
    if others:
        lines.append(f"- Also: {', '.join(f'`{name}`' for name in others)}")
    return "\n".join(lines)

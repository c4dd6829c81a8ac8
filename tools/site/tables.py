"""Writes the settings into the pages, from their descriptions in the settings' model.

The generated part is between two comments; people write the rest of a page.
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
    """Return README's table: a row per setting."""
    rows = [
        f"| {_names(setting)} | {setting.default} | {setting.meaning} |"
        for setting in descriptions(Settings)
    ]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


def sections() -> str:
    """Return the reference: a section per setting, so that a link can name it."""
    return "\n\n".join(_section(setting) for setting in descriptions(Settings))


#: The pages with a generated part, and the function that writes it.
PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "README.md": table,
    "docs/configuration.md": sections,
}


def with_settings(page: str) -> str:
    """Return a page's text with a new generated part between the comments.

    Raises:
        ValueError: The page lacks the comments.
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
        text = with_settings(page)
        if (ROOT / page).read_text(encoding="utf-8") != text:
            (ROOT / page).write_text(text, encoding="utf-8")


def _names(setting: Description) -> str:
    return ", ".join(f"`{PREFIX}{name}`" for name in setting.variables)


def _section(setting: Description) -> str:
    first, *others = (f"{PREFIX}{name}" for name in setting.variables)
    # This page is in docs/, but the links of a description begin at the root.
    meaning = f"{setting.meaning[0].upper()}{setting.meaning[1:]}".replace("](docs/", "](")
    lines = [f"### {first}", "", f"{meaning}.", "", f"- Default: {setting.default or 'none'}"]
    if setting.unit:
        lines.append(f"- Unit: {setting.unit}")
    if others:
        lines.append(f"- Also: {', '.join(f'`{name}`' for name in others)}")
    return "\n".join(lines)

"""Writes tables into pages: the settings from their descriptions, the servers from their tests.

The generated parts are between pairs of comments; people write the rest of the page. The alert
rules are written into their manifest for Kubernetes, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import groupby
from pathlib import Path
from textwrap import TextWrapper, indent
from typing import Final

from connect_worker.settings.environment import PREFIX, Description, descriptions
from connect_worker.settings.model import NEVER_SHARED, SHARED, Settings
from tools.try_servers import RESULTS, read_servers

ROOT: Final = Path(__file__).parents[2]
_BEGIN: Final = "<!-- {}: written by `make tables` -->"
_END: Final = "<!-- end of the {} -->"
#: The width of this project's Markdown; a list's item goes on behind its dash.
_WRAPPED: Final = TextWrapper(120, break_long_words=False, break_on_hyphens=False)
_ITEM: Final = TextWrapper(
    120, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
)


def table() -> str:
    """Return the overview: a row per setting, with a link to its section."""
    rows = [
        f"| {_names(setting)} | {setting.default or 'none'} | {_scope(setting)} |"
        for setting in descriptions(Settings)
    ]
    return "\n".join(["| variable | default | with several accounts |", "|---|---|---|", *rows])


def sections() -> str:
    """Return the reference: a section per setting, so that a link can name it."""
    return "\n\n".join(_section(setting) for setting in descriptions(Settings))


def servers() -> str:
    """Return the servers: which versions were run, and which tests failed."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    rows = ["| server | versions of the last run | only run in CI | failed |", "|---|---|---|---|"]
    for product, names in groupby(read_servers(), lambda name: name.partition(" ")[0]):
        run, missing = [], []
        failed: list[str] = []
        for name in names:
            result = results.get(name)
            if result is None:
                missing.append(name.removeprefix(product).strip())
            else:
                run.append(result["version"])
                failed += [f"`{test}` ({name})" for test in result["failed"]]
        cells = (product, *(", ".join(cell) or "none" for cell in (run, missing, failed)))
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


#: The generated parts of each page.
PAGES: Final[Mapping[str, Mapping[str, Callable[[], str]]]] = {
    "docs/configuration.md": {"overview": table, "settings": sections},
    "README.md": {"servers": servers},
}


def with_tables(page: str) -> str:
    """Return a page's text with its generated parts written again.

    Raises:
        ValueError: The page lacks the comments of a part.
    """
    text = (ROOT / page).read_text(encoding="utf-8")
    for name, generate in PAGES[page].items():
        first, last = _BEGIN.format(name), _END.format(name)
        before, begin, rest = text.partition(first)
        _, end, after = rest.partition(last)
        if not (begin and end):
            raise ValueError(f"{page} has no place for the {name}: {first} … {last}")
        text = f"{before}{begin}\n\n{generate()}\n\n{end}{after}"
    return text


RULES: Final = "deploy/prometheus/alerts.yml"
MANIFEST: Final = "deploy/kubernetes/prometheus.yaml"


def with_rules() -> str:
    """Return the manifest with the alert rules, written again at its end."""
    before, begin, _ = (ROOT / MANIFEST).read_text(encoding="utf-8").rpartition("\nspec:\n")
    _, groups, rules = (ROOT / RULES).read_text(encoding="utf-8").partition("groups:\n")
    return f"{before}{begin}{indent(groups + rules, '  ')}"


def write() -> None:
    """Write the files that differ."""
    texts = {page: with_tables(page) for page in PAGES} | {MANIFEST: with_rules()}
    for name, text in texts.items():
        if (ROOT / name).read_text(encoding="utf-8") != text:
            (ROOT / name).write_text(text, encoding="utf-8")


def _names(setting: Description) -> str:
    first, *others = (f"{PREFIX}{name}" for name in setting.variables)
    return ", ".join([f"[`{first}`](#{first.lower()})", *(f"`{name}`" for name in others)])


def _scope(setting: Description) -> str:
    name = setting.variables[0]
    if name == "ACCOUNTS":
        return "–"
    if name in SHARED:
        return "one for all"
    return "each its own" if name in NEVER_SHARED else "own, or the common one"


def _section(setting: Description) -> str:
    first, *others = (f"{PREFIX}{name}" for name in setting.variables)
    # This page is in docs/, but the links of a description begin at the root.
    meaning = f"{setting.meaning[0].upper()}{setting.meaning[1:]}".replace("](docs/", "](")
    text = _WRAPPED.fill(f"{meaning}.")
    lines = [f"### {first}", "", text, "", f"- Default: {setting.default or 'none'}"]
    if setting.unit:
        lines.append(f"- Unit: {setting.unit}")
    if others:
        lines.append(_ITEM.fill(f"- Also: {', '.join(f'`{name}`' for name in others)}"))
    return "\n".join(lines)

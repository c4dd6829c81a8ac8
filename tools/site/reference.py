"""Writes the pages of the API reference: the public names of the modules that users import.

mkdocstrings fills the pages in from signatures and docstrings.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Final

#: The modules in the order in which users need them, each with its names for users. An empty tuple
#: means `__all__`, or all public names that the module defines.
MODULES: Final[Mapping[str, tuple[str, ...]]] = {
    "connect_worker.resources": (),
    "connect_worker.exceptions": (),
    "connect_worker.models": (),
    "connect_worker.testing": (),
    "connect_worker.config": (),
    "connect_worker.rql": (),
    "connect_worker.logger": ("bind_log",),
    "connect_worker.compat": ("install", "is_installed", "uninstall"),
}
#: The pages that show inherited members at each class.
_INHERITED: Final = ("connect_worker.resources",)


def write(folder: Path) -> None:
    """Write a page per module."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in MODULES:
        (folder / f"{name.rpartition('.')[2]}.md").write_text(_page(name), encoding="utf-8")


def missing(site: Path) -> Iterator[str]:
    """Yield the public names that the reference lacks: mkdocstrings may omit a name silently."""
    for name in MODULES:
        page = Path("api") / f"{name.rpartition('.')[2]}.html"
        text = (site / page).read_text(encoding="utf-8")
        lacking = [member for member in members(name) if f'id="{name}.{member}"' not in text]
        yield from (f"{page} lacks {member}" for member in lacking)


def members(name: str) -> list[str]:
    """Return the names of a module that are for its users."""
    module = importlib.import_module(name)
    listed = MODULES[name] or getattr(module, "__all__", None) or _defined(module)
    return [member for member in listed if not member.startswith("_")]


def _defined(module: ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    ]


def _page(name: str) -> str:
    listed = "".join(f"        - {member}\n" for member in members(name))
    inherited = str(name in _INHERITED).lower()
    return (
        f"# {name}\n\n::: {name}\n    options:\n      inherited_members: {inherited}\n"
        f"      members:\n{listed}"
    )

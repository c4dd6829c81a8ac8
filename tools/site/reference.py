"""The pages of the API reference: the public names of the modules that users import.

mkdocstrings fills them in from signatures and docstrings.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Final

#: The modules, in the order of need, and of each the names that are for users: all public ones
#: that it defines, where it says nothing else.
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
#: What a class has from the base that all of its page's classes have is said once there.
_INHERITED: Final = ("connect_worker.resources",)


def write(folder: Path) -> None:
    """Write a page per module."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in MODULES:
        (folder / f"{name.rpartition('.')[2]}.md").write_text(_page(name), encoding="utf-8")


def missing(site: Path) -> Iterator[str]:
    """Tell which public names the reference lacks: mkdocstrings may leave one out silently."""
    for name in MODULES:
        page = Path("api") / f"{name.rpartition('.')[2]}.html"
        text = (site / page).read_text(encoding="utf-8")
        lost = [member for member in members(name) if f'id="{name}.{member}"' not in text]
        yield from (f"{page} lacks {item}" for item in lost)


def members(name: str) -> list[str]:
    """Return the names of a module that are for its users."""
    module = importlib.import_module(name)
    listed = MODULES[name] or getattr(module, "__all__", None) or _defined(module)
    return [item for item in listed if not item.startswith("_")]


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

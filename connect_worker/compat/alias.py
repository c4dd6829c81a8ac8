"""Giving `connect` to this project, and taking it back."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Final

from connect_worker.compat.finder import NoCounterpart
from connect_worker.compat.names import counterparts
from connect_worker.compat.real import real_connect
from connect_worker.exceptions import AliasRefused

_finder: Final = NoCounterpart()
_lock: Final = threading.Lock()


def install() -> None:
    """Make `connect` and the modules below it importable as this project's; again does no harm.

    All of them are put into `sys.modules` at once. A finder that made each when it is asked for
    would leave an empty module, or a module with the other name's `__spec__`, for other threads to
    see.

    Raises:
        AliasRefused: A real `connect` can be imported here, or has been. Nothing is changed.
    """
    with _lock:
        real = real_connect()
        if real is not None:
            raise AliasRefused(
                f"`connect` can't be made a name of connect_worker, for there is a real one: {real}"
            )
        if not is_installed():
            modules = {name: importlib.import_module(ours) for name, ours in counterparts().items()}
            sys.meta_path.insert(0, _finder)
            sys.modules.update(modules)
            for name, package, child in _children(modules):
                # What is there already is the same module, or an object like `logger.logger`.
                vars(package).setdefault(child, modules[name])


def is_installed() -> bool:
    """Whether `connect` means this project here."""
    return _finder in sys.meta_path


def uninstall() -> None:
    """Take the names back. What was imported under them goes on working; again does no harm."""
    with _lock:
        if not is_installed():
            return
        sys.meta_path.remove(_finder)
        modules = _taken_back()
        for name, package, child in _children(modules):
            is_ours = f"{package.__name__}.{child}" in sys.modules
            if not is_ours and vars(package).get(child) is modules[name]:
                delattr(package, child)


def _taken_back() -> dict[str, ModuleType]:
    return {
        name: sys.modules.pop(name)
        for name, ours in counterparts().items()
        if name in sys.modules and sys.modules[name] is sys.modules.get(ours)
    }


def _children(modules: dict[str, ModuleType]) -> Iterator[tuple[str, ModuleType, str]]:
    """Give each name below another one, the module it is below, and its last part."""
    for name in modules:
        parent, _, child = name.rpartition(".")
        if parent in modules:
            yield name, modules[parent], child

"""Names that things had in the SDK's first releases, where code of 2019 still looks for them."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any


def earlier(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module's `__getattr__`, which finds what it had once.

    Args:
        module: The module's name.
        names: By earlier name, where the thing is now, such as ``exceptions.FailRequest``.
    """

    def find(name: str) -> Any:
        if not (now := names.get(name)):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, _, attribute = now.rpartition(".")
        found = getattr(importlib.import_module(f"connect_worker.{home}"), attribute)
        warnings.warn(f"{name} is connect_worker.{now} now", DeprecationWarning, stacklevel=2)
        return found

    return find

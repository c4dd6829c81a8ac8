"""Deprecated names: what the SDK's first releases called things, for code of 2019."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any


def deprecated_names(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module's `__getattr__`, which finds its deprecated names and warns.

    Args:
        module: The module's name.
        names: The current place by deprecated name, such as ``exceptions.FailRequest``.
    """

    def find(name: str) -> Any:
        if not (now := names.get(name)):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, _, attribute = now.rpartition(".")
        value = getattr(importlib.import_module(f"connect_worker.{home}"), attribute)
        warnings.warn(f"{name} is connect_worker.{now} now", DeprecationWarning, stacklevel=2)
        return value

    return find

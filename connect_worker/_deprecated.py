"""Names of the SDK's releases that are no more: what is loaded for them, or why nothing is."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, Final

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})

#: The SDK's marshmallow schemas, and what to use instead.
SCHEMAS: Final[Mapping[str, str]] = dict.fromkeys(
    ("*Schema", "*Scheme", "*SchemeMixin", "AssigneeField", "ExternalIdField", "QuantityField"),
    "load with a model's deserialize_json(), or use its marshmallow_schema(), as "
    "connect_worker.models.Fulfillment.marshmallow_schema()",
)


def deprecated_names(
    module: str, names: Mapping[str, str], gone: Mapping[str, str] = _NOTHING
) -> Callable[[str], Any]:
    """Return a module's `__getattr__`, which finds its deprecated names and warns.

    A name that is gone raises `ImportError`, because `from … import …` would replace the text of an
    `AttributeError` by its own.

    Args:
        module: The module's name.
        names: The current place by deprecated name, such as ``exceptions.FailRequest``.
        gone: What to do instead, by name, or pattern of names, that has no successor here.
    """

    def find(name: str) -> Any:
        if now := names.get(name):
            home, _, attribute = now.rpartition(".")
            value = getattr(importlib.import_module(f"connect_worker.{home}"), attribute)
            warnings.warn(f"{name} is connect_worker.{now} now", DeprecationWarning, stacklevel=2)
            return value
        for pattern, instead in gone.items():
            if fnmatchcase(name, pattern):
                raise ImportError(f"{module} has no {name} of the SDK: {instead}", name=module)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return find

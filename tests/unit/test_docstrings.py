"""Each public name has a docstring with an example, and each example does what it says."""

from __future__ import annotations

import doctest
import importlib
import inspect
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest

#: What users import from; an example may use every public name of them.
MODULES = [
    importlib.import_module(f"connect_worker.{name}")
    for name in ("config", "exceptions", "logger", "models", "resources", "rql", "testing")
]


def public_names(module: ModuleType) -> dict[str, Any]:
    """What the module says it has, or what it defines."""
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    ]
    return {name: getattr(module, name) for name in names}


PUBLIC = {
    f"{module.__name__}.{name}": value
    for module in MODULES
    for name, value in public_names(module).items()
    # The names of types that are unions have no docstring of their own.
    if inspect.isclass(value) or inspect.isfunction(value)
}


@pytest.mark.parametrize("name", PUBLIC)
def test_its_example_does_what_it_says(name: str) -> None:
    value = PUBLIC[name]
    known = {key: item for module in MODULES for key, item in vars(module).items()}
    names = {**known, "UTC": UTC, "datetime": datetime, "__name__": "__main__"}
    text = inspect.getdoc(value) or ""
    test = doctest.DocTestParser().get_doctest(text, names, name, None, None)
    assert test.examples, f"{name} has no example"
    assert not any(doctest.SKIP in example.options for example in test.examples)
    said: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert result.failed == 0, "".join(said)


def test_all_modules_of_users_are_there() -> None:
    assert len(PUBLIC) > 120

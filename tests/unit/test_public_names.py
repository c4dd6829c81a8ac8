"""What `import connect_worker` gives: the names of a processor, each loaded when it is used."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from typing import assert_type

import pytest

import connect_worker
from connect_worker import ActivationTileResponse, FailRequest, Query

HOMES = {
    "config": ["Config"],
    "exceptions": [
        "AcceptUsageFile",
        "CloseUsageFile",
        "DeleteUsageFile",
        "FailRequest",
        "InquireRequest",
        "RejectUsageFile",
        "RetryRequest",
        "SkipRequest",
        "SubmitUsageFile",
    ],
    "models": ["ActivationTemplateResponse", "ActivationTileResponse"],
    "resources": [
        "FulfillmentAutomation",
        "TierConfigAutomation",
        "TierConfigValidationAutomation",
        "UsageAutomation",
        "UsageFileAutomation",
        "ValidationAutomation",
    ],
    "rql": ["Query"],
}


def test_the_public_names_are_these() -> None:
    assert sorted(connect_worker.__all__) == sorted(
        name for names in HOMES.values() for name in names
    )
    assert set(connect_worker.__all__) <= set(dir(connect_worker))


@pytest.mark.parametrize(
    ("home", "name"), [(h, name) for h, names in HOMES.items() for name in names]
)
def test_each_is_the_one_of_its_module(home: str, name: str) -> None:
    module = importlib.import_module(f"connect_worker.{home}")
    assert getattr(connect_worker, name) is getattr(module, name)


def test_type_checkers_know_them() -> None:
    assert_type(Query().equal("status", "pending"), Query)
    assert_type(ActivationTileResponse("Welcome!"), ActivationTileResponse)
    assert_type(FailRequest("no seats left"), FailRequest)


def test_a_name_that_is_not_there_is_refused() -> None:
    with pytest.raises(AttributeError, match="'connect_worker' has no attribute 'FailRequests'"):
        connect_worker.FailRequests  # type: ignore[attr-defined]  # noqa: B018 - that is the point


def loaded_after(statement: str) -> set[str]:
    """The modules that a fresh Python has loaded after a statement."""
    code = f"import sys; before = set(sys.modules); {statement}; import json; "
    code += "print(json.dumps(sorted(set(sys.modules) - before)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_the_import_alone_loads_nothing_else() -> None:
    loaded = loaded_after("import connect_worker")
    assert {name for name in loaded if name.startswith("connect_worker")} == {"connect_worker"}
    assert not loaded & {"celery", "click", "marshmallow", "redis", "requests", "rich"}


def test_the_names_load_nothing_of_workers_and_commands() -> None:
    loaded = loaded_after("from connect_worker import *")
    assert "connect_worker.resources" in loaded
    assert not loaded & {"celery", "click", "kombu", "openpyxl", "redis", "rich", "tasks"}

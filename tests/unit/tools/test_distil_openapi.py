"""The tool that distils the API description."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.openapi_contract import described_operations

TOOL = Path(__file__).parents[3] / "tools" / "distil_openapi.py"


def description() -> dict[str, Any]:
    """A description with every operation, one self-containing type and much documentation."""
    answer = {"$ref": "#/components/schemas/Node"}
    operation = {
        "summary": "not kept",
        "parameters": [
            {"name": "limit", "in": "query", "schema": {"type": "integer"}},
            {"$ref": "#/components/parameters/Id"},
        ],
        "requestBody": {"content": {"application/json": {"schema": answer}}},
        "responses": {
            "200": {"description": "x", "content": {"application/json": {"schema": answer}}},
            "204": {"description": "nothing"},
            "400": {"description": "not kept"},
        },
    }
    paths: dict[str, Any] = {}
    for name in described_operations():
        method, path = name.split(" ")
        paths.setdefault(path, {})[method.lower()] = operation
    node = {
        "type": "object",
        "title": "not kept",
        "required": ["title"],
        "properties": {
            "title": {"type": "string", "nullable": True, "example": "not kept"},
            "children": {"type": "array", "items": answer},
        },
    }
    return {
        "info": {"title": "T", "version": 37.0},
        "paths": paths,
        "components": {
            "schemas": {"Node": node},
            "parameters": {"Id": {"name": "id", "in": "path", "schema": {}}},
        },
    }


@pytest.fixture
def distilled(tmp_path: Path) -> Any:
    source, target = tmp_path / "api.yml", tmp_path / "out" / "contract.json"
    source.write_text(yaml.safe_dump(description()))
    subprocess.run([sys.executable, TOOL, source, target], check=True, capture_output=True)
    return json.loads(target.read_text())


def test_it_keeps_what_decides_and_cuts_recursion(distilled: Any) -> None:
    operation = distilled["operations"]["GET /requests/{id}"]
    schema = {
        "type": "object",
        "required": ["title"],
        "properties": {
            "title": {"type": "string", "nullable": True},
            "children": {"type": "array", "items": {}},
        },
    }
    assert operation == {
        "query": ["limit"],
        "body": {"application/json": schema},
        "success": {"200": {"application/json": schema}, "204": None},
    }


def test_it_reads_every_operation(distilled: Any) -> None:
    assert tuple(distilled["operations"]) == described_operations()
    assert (distilled["title"], distilled["version"]) == ("T", "37.0")

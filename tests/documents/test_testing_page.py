"""The page about testing is true: its test file passes, and its tables name what there is."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from connect_worker import testing
from connect_worker.testing import DryRun
from connect_worker.testing.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.slow
@pytest.mark.acceptance
def test_the_whole_test_file_passes(tmp_path: Path) -> None:
    processors, tests, of_a_record = BLOCKS
    (tmp_path / "processors.py").write_text(processors)
    (tmp_path / "test_processors.py").write_text(tests)
    (tmp_path / "test_record.py").write_text(of_a_record)
    (tmp_path / "tests").mkdir()
    order = tmp_path / "request.json"
    order.write_text(json.dumps(testing.purchase(params={"email": ""}).json))
    words = ["try", "processors.py", "--file", order.name, "--record", "tests/order.json"]
    subprocess.run(
        [sys.executable, "-m", "connect_worker", *words],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 passed" in done.stdout


def test_its_tables_name_what_there_is() -> None:
    for name in re.findall(r"^\| `(\w+)`.* \| a ", PAGE, flags=re.MULTILINE):
        assert callable(getattr(testing, name, None)) or name in {"sandbox", "worker"}
    table = PAGE.partition("| of the result |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`(\w+)`", re.sub(r"(?<= \| ).*", "", table)))
    fields = {field.name for field in dataclasses.fields(DryRun)} - {"decided"}
    assert named == fields | {"outcome", "messages"}
    members = PAGE.partition("| member of `sandbox` |")[2].partition("\n\n")[0]
    methods = re.findall(r"`(\w+)\(", members)
    assert {"add", "entry", "fault"} <= set(methods)
    for name in methods:
        assert callable(getattr(Sandbox, name))

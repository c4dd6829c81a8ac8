"""What the README says of the settings and the models is true."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from environs import Env

from connect_worker import settings

ROOT = Path(__file__).parents[2]


def test_each_setting_is_documented_and_each_documented_one_exists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in os.environ if name.startswith("CONNECT_")]:
        monkeypatch.delenv(name)
    env = Env(prefix="CONNECT_", eager=False)
    settings._read(env)
    known = set(env.dump())
    table = (ROOT / "README.md").read_text().partition("## Settings")[2].partition("\n## ")[0]
    documented = set(re.findall(r"`(CONNECT_\w+)`", table))
    assert documented == known


def test_the_processor_in_the_readme_is_one() -> None:
    readme = (ROOT / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    names: dict[str, object] = {"__name__": "processors"}
    exec(compile(code, "README.md", "exec"), names)
    assert hasattr(names["Purchases"], "process_request")

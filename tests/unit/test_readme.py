"""What the README says of the settings and the models is true."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_each_setting_is_documented_and_each_documented_one_exists() -> None:
    source = (ROOT / "connect_worker" / "settings.py").read_text()
    names = re.findall(r'"(?:CONNECT_)?([A-Z]+(?:_[A-Z]+)+|PRODUCTS|PROCESSORS)"', source)
    known = {f"CONNECT_{name}" for name in names}
    table = (ROOT / "README.md").read_text().partition("## Settings")[2].partition("\n## ")[0]
    documented = set(re.findall(r"`(CONNECT_\w+)`", table))
    assert documented == known


def test_the_processor_in_the_readme_is_one() -> None:
    readme = (ROOT / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    names: dict[str, object] = {"__name__": "processors"}
    exec(compile(code, "README.md", "exec"), names)
    assert hasattr(names["Purchases"], "process_request")

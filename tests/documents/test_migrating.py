"""What the migration guide names is there, and what it says is gone is gone."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from connect_worker.resources import UsageAutomation
from connect_worker.resources.usage import PERIODS

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "migrating.md").read_text(encoding="utf-8")


def headings(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


def test_its_links_lead_somewhere_and_the_readme_leads_to_it() -> None:
    links = re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", GUIDE)
    assert links
    for file, anchor in links:
        path = (ROOT / "docs" / file).resolve() if file else ROOT / "docs" / "migrating.md"
        assert path.is_file()
        assert not anchor or anchor in headings(path)
    assert "(docs/migrating.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_its_settings_are_settings() -> None:
    table = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    named = set(re.findall(r"CONNECT_[A-Z_]+", GUIDE))
    assert named
    assert {name for name in named if f"`{name}`" not in table} == set()


def test_its_periods_are_all_there_are() -> None:
    named = re.findall(r"`(\w+)`", re.findall(r"`period = 'month'` \(([^)]*)\)", GUIDE)[0])
    assert set(named) | {"month"} == set(PERIODS)
    assert named[-1] == UsageAutomation.period


GONE = [
    "from connect.logger import LoggerAdapter",
    "from connect.logger.logger import log_request_data",
    "from connect.models.schemas import FulfillmentSchema",
    "from connect.resource.automation import AutomationResource",
    "from connect.resource.utils import joinurl",
    "from connect.resources.automation_engine import AutomationEngine",
]


def test_its_table_has_what_is_not_carried_over() -> None:
    rows = GUIDE.partition("| not here |")[2].partition("\n\n")[0].splitlines()
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named == {statement.split()[-1] for statement in GONE}


@pytest.mark.parametrize("statement", GONE)
def test_what_is_not_carried_over_is_an_import_error_that_names_it(
    statement: str, tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text(statement)
    done = subprocess.run(
        [sys.executable, "-m", "connect_worker.compat", "script.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.strip().startswith("ImportError: connect_worker.")
    assert f" has no {statement.split()[-1]} of the SDK: " in last

"""A setting is described once, and what pages say of the settings is that."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

import pytest
from environs import Env

from connect_worker.settings import model
from connect_worker.settings.environment import PREFIX, Description, descriptions, doc
from connect_worker.settings.model import NEVER_SHARED, SHARED, Settings
from tasks.celery_support.flower import COLUMNS
from tools.site import tables


def test_the_described_variables_are_those_that_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    env = Env(prefix=PREFIX, eager=False)
    model.read_values(env)
    described = {PREFIX + name for one in descriptions(Settings) for name in one.variables}
    assert described == set(env.dump())


@pytest.mark.parametrize("page", tables.PAGES)
def test_a_page_says_what_is_described(page: str) -> None:
    written = (tables.ROOT / page).read_text(encoding="utf-8")
    assert written == tables.with_tables(page), "run `make tables`"


def test_links_lead_from_the_folder_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass
    class Linked:
        key: str = field(default="", metadata=doc("a key; [how](docs/security.md#secrets)"))

    monkeypatch.setattr(tables, "Settings", Linked)
    assert "| [`CONNECT_KEY`](#connect_key) |" in tables.table()
    assert "### CONNECT_KEY\n\nA key; [how](security.md#secrets)." in tables.sections()


def test_the_overview_says_whose_value_an_account_uses() -> None:
    scopes = dict(
        re.findall(r"^\| \[`CONNECT_(\w+)`\].* \| (.*) \|$", tables.table(), re.MULTILINE)
    )
    # What a setting of one account may be, the module of the accounts decides.
    assert {name for name, scope in scopes.items() if scope == "one for all"} == set(SHARED)
    own = {name for name in NEVER_SHARED if not name.endswith("_FILE") or name == "CONFIG_FILE"}
    assert {name for name, scope in scopes.items() if scope == "each its own"} == own
    assert scopes["ACCOUNTS"] == "–"
    assert scopes["PROCESSORS"] == "own, or the common one"


def test_lines_have_the_width_of_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass
    class Wordy:
        wordy: str = field(default="", metadata=doc(" ".join(["words"] * 100)))
        names: str = field(default="", metadata=doc("a", also=tuple(f"N{n}" for n in range(40))))

    monkeypatch.setattr(tables, "Settings", Wordy)
    text = tables.sections()
    assert max(len(line) for line in text.splitlines()) <= 120
    assert text.lower().count("words") == 100
    assert "\n  `CONNECT_N" in text


def test_a_page_without_a_place_for_them_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "PAGES", {"CHANGELOG.md": {"settings": tables.sections}})
    with pytest.raises(ValueError, match=r"CHANGELOG\.md has no place for the settings"):
        tables.with_tables("CHANGELOG.md")


def test_the_columns_of_flower_are_those_that_it_starts_with() -> None:
    text = (tables.ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert f"| `FLOWER_TASKS_COLUMNS` | `{COLUMNS}` |" in text


@dataclass(frozen=True)
class Example:
    pause_seconds: float = field(default=1.5, metadata=doc("a pause"))
    key: str = field(default="", repr=False, metadata=doc("a key", unset="none"))
    many: tuple[str, ...] = field(default=(), metadata=doc("many", also=("ONE", "OTHER")))
    loud: bool = field(default=False, metadata=doc("a switch"))
    name: str = field(default="x", metadata=doc("a name"))


def test_what_a_field_tells() -> None:
    assert list(descriptions(Example)) == [
        Description(("PAUSE_SECONDS",), "1.5", "seconds", "a pause"),
        Description(("KEY", "KEY_FILE"), "none", "", "a key"),
        Description(("MANY", "ONE", "OTHER"), "", "", "many"),
        Description(("LOUD",), "`false`", "", "a switch"),
        Description(("NAME",), "`x`", "", "a name"),
    ]


def test_a_field_without_a_description_is_refused() -> None:
    @dataclass
    class Silent:
        anything: str = ""

    with pytest.raises(TypeError, match="anything has no description"):
        list(descriptions(Silent))

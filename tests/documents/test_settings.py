"""A setting is described once, and what pages say of the settings is that."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import pytest
from environs import Env

from connect_worker.settings import model
from connect_worker.settings.docs import Description, descriptions, told
from connect_worker.settings.environment import PREFIX
from connect_worker.settings.model import Settings
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
    assert written == tables.with_settings(page), "run `make tables`"


def test_links_lead_to_the_same_from_both_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass
    class Linked:
        key: str = field(default="", metadata=told("a key; [how](docs/security.md#secrets)"))

    monkeypatch.setattr(tables, "Settings", Linked)
    assert "a key; [how](docs/security.md#secrets)" in tables.table()
    assert "A key; [how](security.md#secrets)." in tables.sections()


def test_a_page_without_a_place_for_them_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "PAGES", {"CHANGELOG.md": tables.table})
    with pytest.raises(ValueError, match=r"CHANGELOG\.md has no place for the settings"):
        tables.with_settings("CHANGELOG.md")


def test_the_columns_of_flower_are_those_that_it_starts_with() -> None:
    text = (tables.ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert f"| `FLOWER_TASKS_COLUMNS` | `{COLUMNS}` |" in text


@dataclass(frozen=True)
class Example:
    pause_seconds: float = field(default=1.5, metadata=told("a pause"))
    key: str = field(default="", repr=False, metadata=told("a key", unset="none"))
    many: tuple[str, ...] = field(default=(), metadata=told("many", also=("ONE", "OTHER")))
    loud: bool = field(default=False, metadata=told("a switch"))
    name: str = field(default="x", metadata=told("a name"))


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

    with pytest.raises(TypeError, match="anything is not described"):
        list(descriptions(Silent))

"""The places that the glossary and the page about the architecture name are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.page_blocks import ROOT

GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
#: A file or a folder of the code, and the names in it that follow in brackets.
PLACE = re.compile(r"`([\w/.]+(?:\.py|\.lua|/))`(?:\s+\(([^)]*)\))?")
NAME = re.compile(r"`(\w+)`")


def places(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each place that a text names, and the names that it is said to have."""
    for path, names in PLACE.findall(text):
        yield path, NAME.findall(names)


def found(path: str) -> Path:
    """The file or folder; a path begins at the root or in the package."""
    there = [base / path for base in (ROOT, ROOT / "connect_worker") if (base / path).exists()]
    assert there, f"there is no {path}"
    return there[-1]


def entries() -> dict[str, str]:
    """The text of each word."""
    parts = re.split(r"^### (.*)$", GLOSSARY, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


WITH_CODE = {word: text for word, text in entries().items() if "Code:" in text}


@pytest.mark.parametrize("word", WITH_CODE)
def test_the_code_of_a_word_is_where_the_glossary_says(word: str) -> None:
    text = WITH_CODE[word].partition("Code:")[2].partition("\n## ")[0]
    named = list(places(text))
    assert named
    for path, names in named:
        place = found(path)
        source = place.read_text(encoding="utf-8") if place.is_file() else ""
        for name in names:
            declared = rf"^\s*(?:class |def )?{name}\b\s*[:=(]"
            assert re.search(declared, source, re.MULTILINE), f"{path} has no {name}"


def test_most_words_have_their_code() -> None:
    without = entries().keys() - WITH_CODE.keys()
    states = "Queued Running Retry Snoozed Decided Posting Parked Completed Superseded Discarded"
    assert without == set(states.split()), "say where the code is"


@pytest.mark.parametrize("path", sorted({path for path, _ in places(ARCHITECTURE)}))
def test_a_file_of_the_architecture_exists(path: str) -> None:
    assert found(path).exists()

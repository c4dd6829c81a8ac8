"""The pages become a site, and a site with a problem is refused."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from connect_worker import exceptions, models, resources
from tests.support.page_blocks import ROOT
from tools.site import pages, reference
from tools.site.html_check import find_problems

CONFIGURATION = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
SVG = (ROOT / "docs" / "way-of-a-request.svg").read_text(encoding="utf-8")


def named(navigation: Any) -> list[str]:
    """The pages of the navigation, in its order."""
    if isinstance(navigation, str):
        return [navigation]
    below = navigation.values() if isinstance(navigation, dict) else navigation
    return [page for item in below for page in named(item)]


def test_each_page_is_in_the_navigation_once() -> None:
    paths = {path for _, path in pages.sources() if path.endswith(".md")}
    paths |= {"decisions/index.md"}
    paths |= {f"api/{name.rpartition('.')[2]}.md" for name in reference.MODULES}
    navigation = named(CONFIGURATION["nav"])
    assert len(navigation) == len(set(navigation))
    assert set(navigation) == paths, "name each page in mkdocs.yml"


def test_the_groups_of_the_navigation() -> None:
    groups = [next(iter(group)) for group in CONFIGURATION["nav"]]
    assert groups == ["Start", "Write", "Operate", "Understand", "Reference"]


def test_the_pages_lie_where_the_builder_reads_them() -> None:
    assert ROOT / CONFIGURATION["docs_dir"] == pages.PAGES


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small repository in place of this one."""
    (tmp_path / "docs" / "decisions").mkdir(parents=True)
    (tmp_path / "README.md").write_text("# Here\n")
    (tmp_path / "docs" / "page.md").write_text("# Page\n")
    (tmp_path / "docs" / "decisions" / "001-one.md").write_text("# 001: One\n")
    (tmp_path / "tool.py").write_text("")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(project)
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    return tmp_path


REPOSITORY = "https://github.com/connect-worker/connect-worker/tree/main"


@pytest.mark.parametrize(
    ("page", "link", "turned"),
    [
        ("README.md", "docs/page.md", "page.md"),
        ("README.md", "docs/page.md#part", "page.md#part"),
        ("README.md", "docs/decisions/", "decisions/index.md"),
        ("README.md", "tool.py", f"{REPOSITORY}/tool.py"),
        ("docs/page.md", "../README.md#settings", "index.md#settings"),
        ("docs/page.md", "decisions/001-one.md", "decisions/001-one.md"),
        ("docs/page.md", "#part", "#part"),
        ("docs/page.md", "https://example.com/a.md", "https://example.com/a.md"),
        ("docs/decisions/001-one.md", "../page.md", "../page.md"),
        ("docs/decisions/001-one.md", "../../tool.py", f"{REPOSITORY}/tool.py"),
    ],
)
def test_a_link_leads_to_the_same_on_the_site(
    tree: Path, page: str, link: str, turned: str
) -> None:
    (tree / page).write_text(f"See [it]({link}).\n")
    assert pages.with_site_links(PurePosixPath(page)) == f"See [it]({turned}).\n"


def test_a_link_to_nothing_is_refused_by_name(tree: Path) -> None:
    (tree / "docs" / "page.md").write_text("See [it](not-there.md).\n")
    with pytest.raises(pages.BrokenLinkError, match=r"docs/page\.md has a link to not-there\.md"):
        pages.with_site_links(PurePosixPath("docs/page.md"))


def test_code_is_left_as_it_is(tree: Path) -> None:
    text = "```python\nrows[0](not-there)\n```\n"
    (tree / "docs" / "page.md").write_text(text)
    assert pages.with_site_links(PurePosixPath("docs/page.md")) == text


def test_the_decisions_are_listed(tree: Path) -> None:
    assert "- [001: One](001-one.md)\n" in pages.decisions()


def test_every_page_of_this_tree_can_be_laid_out() -> None:
    for source, _ in pages.sources():
        if source.suffix == ".md":
            assert pages.with_site_links(source)


# ---- the whole of it

GOOD = {
    "index.html": '<a href="a/page.html#part"></a><img src="a/x.png"><a href="#b" id="b"></a>',
    "a/page.html": '<h2 id="part"></h2><a href="../index.html"></a><a href="https://e.org"></a>',
    "a/x.png": "",
    "style.css": "a { background: url(a/x.png) }",
}


def site(folder: Path, **changed: str) -> Path:
    for name, text in {**GOOD, **changed}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_whole_site_has_no_faults(tmp_path: Path) -> None:
    assert list(find_problems(site(tmp_path))) == []


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("index.html", '<a href="no.html">', "index.html: no page for the link no.html"),
        ("index.html", '<a href="a/page.html#no">', "no anchor for the link a/page.html#no"),
        ("index.html", '<a href="#no">', "index.html: no anchor for the link #no"),
        ("index.html", '<img src="no.png">', "index.html fetches no.png, which is not there"),
        ("index.html", '<script src="https://e.org/x.js">', "fetches https://e.org/x.js"),
        ("404.html", '<script src="//e.org/x.js">', "404.html fetches //e.org/x.js"),
        ("index.html", '<link rel="preconnect" href="https://e.org">', "fetches https://e.org"),
        ("style.css", "a { src: url('https://e.org/f.woff') }", "fetches https://e.org/f.woff"),
        ("style.css", '@import "https://e.org/s.css";', "style.css fetches https://e.org/s.css"),
    ],
)
def test_a_fault_is_reported_by_page(tmp_path: Path, name: str, text: str, said: str) -> None:
    assert [line for line in find_problems(site(tmp_path, **{name: text})) if said in line]


def test_no_site_at_all_is_a_fault(tmp_path: Path) -> None:
    assert list(find_problems(tmp_path))


# ---- the reference and the drawing


def test_the_reference_has_what_users_import() -> None:
    assert reference.members("connect_worker.resources") == resources.__all__
    assert reference.members("connect_worker.models") == models.__all__
    errors = set(reference.members("connect_worker.exceptions"))
    assert {"FailRequest", "InquireRequest", "SkipRequest", "ApiError"} <= errors
    assert all(hasattr(exceptions, name) for name in errors)


def test_a_public_name_without_its_place_is_reported(tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()
    for module in reference.MODULES:
        ids = [f'<h2 id="{module}.{name}">' for name in reference.members(module)]
        (tmp_path / "api" / f"{module.rpartition('.')[2]}.html").write_text("".join(ids))
    assert list(reference.missing(tmp_path)) == []
    page = tmp_path / "api" / "exceptions.html"
    page.write_text(page.read_text().replace('id="connect_worker.exceptions.FailRequest"', ""))
    assert list(reference.missing(tmp_path)) == ["api/exceptions.html lacks FailRequest"]


def test_the_drawing_names_files_that_there_are() -> None:
    files = {
        name.strip()
        for line in re.findall(r'class="file"[^>]*>([^<]*)<', SVG)
        for name in line.split(",")
    }
    assert len(files) > 8
    places = (ROOT, ROOT / "connect_worker")
    assert {one for one in files if not any((place / one).is_file() for place in places)} == set()


def test_the_drawing_names_methods_that_the_ledger_has() -> None:
    calls = re.findall(r'class="call-name"[^>]*>([^<]*)<', SVG)
    methods = {name for call in calls for name in re.findall(r"(\w+)\(\)", call)}
    assert len(methods) >= 7
    ports = (ROOT / "connect_worker" / "engine" / "ports.py").read_text(encoding="utf-8")
    assert methods - set(re.findall(r"^    def (\w+)\(", ports, re.MULTILINE)) == set()


def test_the_drawing_has_colors_for_the_dark_and_fetches_nothing() -> None:
    assert "@media (prefers-color-scheme: dark)" in SVG
    assert not re.search(r"(href|src)=|url\((?!#)|@import", SVG)

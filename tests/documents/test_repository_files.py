"""License, change log, locks and workflows agree with the project."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from trove_classifiers import classifiers

from tests.documents.programs import understand
from tests.support.page_blocks import ROOT
from tools.try_servers import read_servers

PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CHANGELOG: Final = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
LOCKS: Final = sorted((ROOT / "requirements").glob("*.txt"))
WORKFLOWS: Final = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
#: Keep a Changelog's sections.
SECTIONS: Final = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
PIN: Final = re.compile(r"^([\w.-]+)==(\S+)( ; .*?)?(?: \\)?$", re.MULTILINE)
CI: Final = "ci.yml"
PAGES: Final = sorted([*ROOT.glob("[A-Z]*.md"), ROOT / "requirements" / "README.md"])


def pins(lock: Path) -> dict[tuple[str, str], str]:
    """The version of each package, by its name and its marker."""
    found = PIN.finditer(lock.read_text(encoding="utf-8"))
    return {(pin[1], pin[3] or ""): pin[2] for pin in found}


def jobs(workflow: Path) -> dict[str, Any]:
    content = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    found: dict[str, Any] = content["jobs"]
    return found


def commands(workflow: Path) -> Iterator[str]:
    """Each command of a workflow; one with a matrix's value comes once for every value."""
    for job in jobs(workflow).values():
        matrix = job.get("strategy", {}).get("matrix", {})
        targets = [*matrix.get("target", []), *(row["target"] for row in matrix.get("include", []))]
        for command in (step["run"] for step in job["steps"] if "run" in step):
            if "${{ matrix.target }}" in command:
                yield from (command.replace("${{ matrix.target }}", name) for name in targets)
            else:
                yield command


def test_the_license_names_the_authors_of_the_project() -> None:
    [author] = PROJECT["authors"]
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert f"the {author['name'].removeprefix('the ')}\n" in text
    assert PROJECT["license-files"] == ["LICENSE"]


def test_the_package_index_knows_each_classifier() -> None:
    assert set(PROJECT["classifiers"]) - classifiers == set()


def test_the_newest_version_of_the_change_log_is_the_projects() -> None:
    headings = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", CHANGELOG, re.MULTILINE)
    unreleased, (version, day), *_ = headings
    assert unreleased == ("Unreleased", "")
    assert version == PROJECT["version"]
    assert day
    assert all(f"\n[{name}]: https://" in CHANGELOG for name, _ in headings)
    assert set(re.findall(r"^### (.+)$", CHANGELOG, re.MULTILINE)) <= SECTIONS


def test_all_locks_hold_the_same_versions() -> None:
    everywhere: dict[tuple[str, str], set[str]] = {}
    for lock in LOCKS:
        for package, version in pins(lock).items():
            everywhere.setdefault(package, set()).add(version)
    assert {package for package, versions in everywhere.items() if len(versions) > 1} == set()


def test_each_lock_holds_what_a_deployment_runs() -> None:
    worker = set(pins(ROOT / "requirements" / "worker.txt"))
    assert worker
    assert {lock.name for lock in LOCKS if not worker <= set(pins(lock))} == set()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_no_package_index(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^-", text, re.MULTILINE), "an option of pip"


def test_the_hooks_run_the_locked_tools() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    programs = {hook["entry"].split()[0] for repo in config["repos"] for hook in repo["hooks"]}
    tools = {program.removeprefix(".venv/bin/") for program in programs}
    assert tools == {"ruff", "codespell"}
    assert tools <= {name for name, _ in pins(ROOT / "requirements" / "dev.txt")}


def test_the_spelling_check_refuses_each_word_of_the_list(tmp_path: Path) -> None:
    entries = (ROOT / "tools" / "words.txt").read_text(encoding="utf-8").splitlines()
    words = [entry.partition("->")[0] for entry in entries]
    assert words == sorted(set(words))
    page = tmp_path / "page.md"
    page.write_text("\n".join(words), encoding="utf-8")
    command = [sys.executable, "-m", "codespell_lib", str(page)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    refused = re.findall(r":\d+: (\S+) ==> ", done.stdout)
    assert refused == words


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.name)
def test_a_workflow_calls_only_make(workflow: Path) -> None:
    found = list(commands(workflow))
    assert found
    assert [command for command in found if not re.fullmatch(r"make [a-z-]+", command)] == []


def test_ci_tests_each_python_of_the_classifiers() -> None:
    prefix = "Programming Language :: Python :: 3."
    supported = [name[len(prefix) - 2 :] for name in PROJECT["classifiers"] if prefix in name]
    matrix = jobs(ROOT / ".github" / "workflows" / CI)["test"]["strategy"]["matrix"]
    assert matrix["python"] == supported


def test_each_server_is_run_every_night() -> None:
    nightly = jobs(ROOT / ".github" / "workflows" / "nightly.yml")
    named = [nightly[job]["strategy"]["matrix"]["server"] for job in ("servers", "brokers")]
    assert [*named[0], *named[1]] == list(read_servers())


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.name)
def test_a_workflow_calls_targets_that_exist(workflow: Path) -> None:
    for command in commands(workflow):
        understand(command)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_targets_that_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for command in re.findall(r"`(make [a-z][^`]*)`", text):
        understand(command)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_links_to_files_that_exist(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s#]+)", page.read_text(encoding="utf-8"))
    paths = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [path for path in paths if not (page.parent / path).exists()] == []

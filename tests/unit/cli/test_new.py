"""The project that `connect-worker new` writes: its own commands pass, and its parts are right."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from connect_worker.cli import main
from connect_worker.cli.devtools import installed_from

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent


def made(folder: Path, *options: str) -> Path:
    result = CliRunner().invoke(main, ["new", "my-vendor", "--directory", str(folder), *options])
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("new") / "my-vendor")


def make(project: Path, *words: str, seconds: float = 240) -> str:
    """Run one of the project's commands; without VENDOR_URL and the like of our environment."""
    foreign = ("CONNECT_", "PYTEST_", "VENDOR_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    done = subprocess.run(
        ["make", *words],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


#: As in the project's own environment, which takes minutes to install.
HERE = (f"BIN={BIN}", "-o", ".venv/.ready")
UNTIL_DONE = "ARGS=--exit-when-done --requests 12 --timeout 120"


@pytest.mark.slow
@pytest.mark.acceptance
def test_its_tests_pass_at_once(project: Path) -> None:
    assert "7 passed" in make(project, "test", *HERE)


@pytest.mark.long
@pytest.mark.acceptance
def test_its_demo_resolves_every_request_once(project: Path) -> None:
    said = make(project, "demo", UNTIL_DONE, *HERE)
    assert "Every request was decided exactly once, the sandbox reports: 10 in" in said


@pytest.mark.long
def test_both_commands_pass_in_an_environment_of_its_own(tmp_path: Path) -> None:
    project = made(tmp_path / "my-vendor")
    assert "7 passed" in make(project, "test", f"PYTHON={sys.executable}", seconds=1200)
    assert "decided exactly once" in make(project, "demo", UNTIL_DONE)


@pytest.mark.long
def test_its_code_is_typed_and_tidy(project: Path) -> None:
    for command in (
        ["mypy", "--strict", "my_vendor", "tests"],
        ["ruff", "check", "--isolated", "--select", "E,F,W,I,UP,B", "--line-length", "100", "."],
        ["ruff", "check", "--isolated", "--select", "D1", "my_vendor"],
        ["ruff", "format", "--isolated", "--check", "--line-length", "100", "."],
    ):
        done = subprocess.run(
            [BIN / command[0], *command[1:]], cwd=project, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_its_settings_are_the_composed_services(project: Path) -> None:
    services = yaml.safe_load((project / "compose.yaml").read_text())["services"]
    assert set(services) == {"redis", "worker", "beat", "flower"}
    named = {line.partition("=")[0] for line in (project / ".env.example").read_text().split("\n")}
    composed = services["worker"]["environment"]
    assert composed["CONNECT_PROCESSORS"] == "my_vendor.processors"
    holders = [name for name, item in services.items() if "KEY" in str(item.get("environment"))]
    assert holders == ["worker"]
    for name, value in composed.items():
        assert name in named or "$" not in value
    assert "${FLOWER_PASSWORD:?" in services["flower"]["environment"]["FLOWER_BASIC_AUTH"]
    assert services["flower"]["ports"] == ["127.0.0.1:5555:5555"]
    assert "noeviction" in services["redis"]["command"]


def test_its_containers_are_confined_as_ours(project: Path) -> None:
    services = yaml.safe_load((project / "compose.yaml").read_text())["services"]
    ours = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert {services[name].get("pull_policy") for name in ("worker", "beat", "flower")} == {"never"}
    for name, service in services.items():
        for limit in ("cap_add", "cap_drop", "init", "logging", "mem_limit", "networks"):
            value = str(ours["services"][name].get(limit))
            expected = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
            assert str(service.get(limit)) == expected, (name, limit)
        for limit in ("pids_limit", "read_only", "restart", "security_opt", "tmpfs"):
            assert service[limit] == ours["services"][name][limit], (name, limit)
    assert services["redis"]["image"] == ours["services"]["redis"]["image"]
    # One service builds the image, and the others use it.
    assert [name for name, service in services.items() if "build" in service] == ["worker"]
    [base] = re.findall("^FROM .*:-(python.+)}", (ROOT / "Dockerfile").read_text(), re.M)
    assert (project / "Dockerfile").read_text().startswith(f"FROM {base}\n")


def test_its_requirements_are_locked(project: Path) -> None:
    for name, lock in (("requirements", "worker"), ("requirements-dev", "testing")):
        text = (project / f"{name}.txt").read_text()
        assert text == (ROOT / f"requirements/{lock}.txt").read_text()
    packages = re.split(r"\n(?=\S)", (project / "requirements.txt").read_text())
    assert len(packages) > 20
    assert all("==" in package and "--hash=sha256:" in package for package in packages)
    # pip checks hashes where it is asked to, for the image and for the tests' environment.
    for name in ("Dockerfile", "Makefile"):
        assert "--require-hashes" in (project / name).read_text()


@pytest.mark.long
def test_its_locks_are_written_again(tmp_path: Path) -> None:
    project = made(tmp_path / "my-vendor")
    with (project / "requirements.in").open("a") as file:
        file.write("markdown-it-py[plugins]\n")
    make(project, "lock", f"PYTHON={sys.executable}", seconds=1200)
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (project / name).read_text()
        assert re.search("^mdit-py-plugins==.*\n +--hash=sha256:", text, re.M)
        assert "connect-worker" not in text


def test_no_place_is_left_unfilled(project: Path) -> None:
    files = [path for path in project.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert len(files) >= 14
    assert not [path for path in files if re.search(r"{{\w+}}", path.read_text(errors="replace"))]
    assert not list(project.rglob("*.tmpl"))


def test_it_depends_on_the_folder_it_was_given(tmp_path: Path) -> None:
    named = made(tmp_path / "named", "--connect-worker", str(tmp_path))
    text = (named / "connect-worker.txt").read_text()
    assert text == f"connect-worker @ {tmp_path.as_uri()}\n"
    assert "-r connect-worker.txt\n" in (named / "requirements.in").read_text()


@pytest.mark.parametrize(
    ("note", "address"),
    [
        ({"url": ROOT.as_uri(), "dir_info": {"editable": True}}, ROOT.as_uri()),
        ({"url": "file:///no/such/folder", "dir_info": {}}, ""),
        (
            {
                "url": "https://git.example/a.git",
                "vcs_info": {"vcs": "git", "commit_id": "ab12", "requested_revision": "main"},
            },
            "git+https://git.example/a.git@ab12",
        ),
        ({"url": "https://x.example/a.whl", "archive_info": {}}, "https://x.example/a.whl"),
        (None, ""),
    ],
)
def test_it_depends_on_what_is_installed(
    note: dict[str, object] | None, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`note` is what pip writes beside the package."""
    info = tmp_path / "connect_worker-1.2.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: connect-worker\nVersion: 1.2.3\n")
    if note is not None:
        (info / "direct_url.json").write_text(json.dumps(note))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert installed_from() == address
    text = (made(tmp_path / "project") / "connect-worker.txt").read_text()
    assert text == (f"connect-worker @ {address}\n" if address else "connect-worker==1.2.3\n")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("My Vendor", "lower-case letters"),
        ("../up", "lower-case letters"),
        ("tasks", "tasks is the name of a module"),
        ("json", "json is the name of a module"),
        ("connect-worker", "connect_worker is the name of a module"),
    ],
)
def test_impossible_names_are_refused(
    name: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["new", name])
    assert result.exit_code == 2
    assert says in result.output
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    result = CliRunner().invoke(main, ["new", "my-vendor", "--directory", str(tmp_path)])
    assert result.exit_code == 1
    assert "is not empty" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

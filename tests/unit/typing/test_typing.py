"""A vendor's module as mypy and pyright see it: strict, and with the installed package."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the vendor's own: nothing of this project's settings is in force there."""
    folder = tmp_path_factory.mktemp("vendor")
    for name in ("vendor.py", "mistakes.py"):
        shutil.copy(HERE / name, folder)
    (folder / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict"}))
    return folder


def mypy(folder: Path, file: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", file]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def pyright(folder: Path, file: str) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "basedpyright"), "--pythonpath", sys.executable, file]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def lines_with_mistakes() -> set[int]:
    lines = (HERE / "mistakes.py").read_text().splitlines()
    return {number for number, line in enumerate(lines, start=1) if "# mistake" in line}


@pytest.mark.parametrize("check", [mypy, pyright])
def test_a_vendors_module_passes_in_strict_mode(check: type, folder: Path) -> None:
    done = check(folder, "vendor.py")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("check", [mypy, pyright])
def test_every_mistake_is_found_and_nothing_else(check: type, folder: Path) -> None:
    done = check(folder, "mistakes.py")
    found = re.findall(r"mistakes\.py:(\d+):[\d:]*(?: -)? error", done.stdout)
    assert {int(number) for number in found} == lines_with_mistakes(), done.stdout
    assert len(lines_with_mistakes()) == 10


def test_what_users_install_has_it_all(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=HERE.parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("*.whl")
    with ZipFile(wheel) as package:
        names = set(package.namelist())
        [entry_points] = [name for name in names if name.endswith("entry_points.txt")]
        assert "[pytest11]\nconnect-worker = connect_worker.pytest_plugin" in package.read(
            entry_points
        ).decode().replace("\r", "")
    assert "connect_worker/py.typed" in names
    assert "connect_worker/cli/template/package/processors.py.tmpl" in names

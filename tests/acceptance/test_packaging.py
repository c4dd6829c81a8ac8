"""The wheel, in an environment of its own, from an empty folder: every command works there.

To save minutes, the environment does not install the dependencies again: it sees the packages of
the environment that runs the tests, but not the clone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from connect_worker.devtools.embedded_redis import embedded_redis, free_port
from tests.support.stack import ROOT

from .test_entry_points import Running

pytestmark = [pytest.mark.acceptance, pytest.mark.long, pytest.mark.packaging]

PROCESSOR = """
from connect_worker import ActivationTileResponse, FulfillmentAutomation

class Purchases(FulfillmentAutomation):
    def process_request(self, request):
        return ActivationTileResponse("Welcome!")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def bin_folder(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    packages = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    # Python searches a folder that is listed here, but reads no `.pth` in it, as the clone's is.
    Path(packages, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    options = ["--no-deps", "--no-index", "--ignore-installed", "--quiet"]
    subprocess.run([*pip, "install", *options, str(wheel)], check=True)
    return python.parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder, which is not in the clone."""
    assert ROOT not in tmp_path.parents
    return tmp_path


def environment() -> dict[str, str]:
    foreign = ("CONNECT_", "FLOWER_", "PYTEST_", "PYTHON", "VENDOR_")
    return {name: text for name, text in os.environ.items() if not name.startswith(foreign)}


def run(*words: str | Path, folder: Path, **settings: str) -> str:
    done = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env={**environment(), **settings},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_has_its_license_and_takes_few_names(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]
    top = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert top == {"celeryconfig.py", "connect_worker", "tasks"}


def test_it_is_the_one_that_runs_here(bin_folder: Path, folder: Path) -> None:
    code = "import celeryconfig, connect_worker, tasks; "
    code += "print(celeryconfig.__file__, connect_worker.__file__, tasks.__file__)"
    for file in run(bin_folder / "python", "-c", code, folder=folder).split():
        assert Path(file).is_relative_to(bin_folder.parent)


def test_the_demo_decides_every_request(bin_folder: Path, folder: Path) -> None:
    demo = (bin_folder / "connect-worker", "demo", "--exit-when-done", "--requests", "12")
    options = ("--timeout", "120", "--flower-port", str(free_port()))
    said = run(*demo, *options, folder=folder)
    assert "Every request was decided exactly once" in " ".join(said.split())
    assert not list(folder.iterdir())


def test_a_new_project_passes_its_tests(bin_folder: Path, folder: Path) -> None:
    run(bin_folder / "connect-worker", "new", "my-vendor", folder=folder)
    project = folder / "my-vendor"
    said = run("make", "test", f"BIN={bin_folder}", "-o", ".venv/.ready", folder=project)
    assert "7 passed" in said


@pytest.fixture
def account(bin_folder: Path, folder: Path) -> Iterator[dict[str, str]]:
    """The settings of a sandbox's account, and a processor."""
    ready = folder / "sandbox.json"
    options = ["--port", "0", "--requests", "8", "--ready-file", str(ready)]
    with embedded_redis() as url:
        sandbox = Running([str(bin_folder / "connect-worker"), "sandbox", *options], folder, url)
        try:
            give_up = time.monotonic() + 60
            while not ready.exists():
                assert sandbox.process.poll() is None, sandbox.log
                assert time.monotonic() < give_up, sandbox.log
                time.sleep(0.1)
            facts = json.loads(ready.read_text())
            (folder / "processors.py").write_text(PROCESSOR)
            yield {
                "CONNECT_API_URL": facts["api_url"],
                "CONNECT_API_KEY": facts["api_key"],
                "CONNECT_REDIS_URL": url,
                "CONNECT_PROCESSORS": "./processors.py",
                "CONNECT_POLL_SECONDS": "1",
            }
        finally:
            sandbox.kill()


def test_worker_beat_and_flower_run_and_doctor_finds_them_well(
    bin_folder: Path, folder: Path, account: dict[str, str]
) -> None:
    program, url = str(bin_folder / "connect-worker"), account["CONNECT_REDIS_URL"]
    commands = {
        "worker": [program, "worker", "-l", "info"],
        "beat": [str(bin_folder / "python"), "-m", "celery", "-A", "connect_worker", "beat"],
        "flower": [program, "flower", f"--port={free_port()}"],
    }
    started = {}
    try:
        for name, command in commands.items():
            (folder / name).mkdir()
            (folder / name / "processors.py").write_text(PROCESSOR)
            started[name] = Running(command, folder / name, url, **account)
        started["worker"].until("job.completed")
        started["flower"].until("Visit me at")
        give_up = time.monotonic() + 60
        while "completed" not in run(
            program, "list", "--state", "completed", "--json", folder=folder, **account
        ):
            assert time.monotonic() < give_up
        said = run(program, "doctor", folder=folder, **account)
        assert {line[:4].strip() for line in said.splitlines() if line[:1].strip()} <= {
            "ok",
            "warn",
        }
        assert "FAIL" not in said
        assert all(running.stop() == 0 for running in started.values())
    finally:
        for running in started.values():
            running.kill()

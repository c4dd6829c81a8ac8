"""What the systemd units promise."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from connect_worker.cli import main

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
WORKER, BEAT = FOLDER / "connect-worker@.service", FOLDER / "connect-beat.service"
BIN = "/opt/connect-worker/.venv/bin/"
ANALYZE = shutil.which("systemd-analyze")


def settings(unit: Path) -> dict[str, str]:
    lines = [line for line in unit.read_text().splitlines() if "=" in line and line[0] != "#"]
    pairs = [line.split("=", 1) for line in lines]
    assert len({name for name, _ in pairs}) == len(pairs)
    return {pair[0]: pair[1] for pair in pairs}


def command(unit: Path) -> list[str]:
    program, *words = shlex.split(settings(unit)["ExecStart"])
    assert program.startswith(BIN)
    return [program.removeprefix(BIN), *words]


def test_a_unit_for_each_part() -> None:
    assert {unit.name for unit in UNITS} == {
        "connect-beat.service",
        "connect-console.service",
        "connect-flower.service",
        "connect-metrics.service",
        "connect-webhook.service",
        "connect-worker@.service",
    }


@pytest.mark.parametrize("part", ["worker", "beat", "flower"])
def test_a_part_is_started_as_in_compose(part: str) -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    compose = [re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", word) for word in services[part]["command"]]
    unit = WORKER if part == "worker" else FOLDER / f"connect-{part}.service"
    # Several workers of one machine need a name each.
    names = ["--hostname", "worker-%i@%%h"] if part == "worker" else []
    assert command(unit) == compose + names


@pytest.mark.parametrize("part", ["console", "metrics", "webhook"])
def test_a_part_is_started_by_a_command_that_there_is(part: str) -> None:
    python, flag, module, name, *options = command(FOLDER / f"connect-{part}.service")
    assert (python, flag, module) == ("python", "-m", "connect_worker")
    found = main.commands[name]
    if isinstance(found, click.Group):
        name, *options = options
        found = found.commands[name]
    assert found.make_context(name, options).params["address"] == "127.0.0.1"


def test_a_worker_that_is_stopped_finishes_and_leaves_nobody_behind() -> None:
    worker = settings(WORKER)
    # With `control-group` its children would get the signal, too, in the middle of their jobs.
    assert worker["KillMode"] == "mixed"
    assert int(worker["TimeoutStopSec"]) >= 120


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_comes_back_and_is_confined(unit: Path) -> None:
    chosen, worker = settings(unit), settings(WORKER)
    assert chosen["Restart"] == "always"
    assert chosen["EnvironmentFile"] == "/etc/connect-worker/environment"
    begins = list(worker).index("NoNewPrivileges")
    hardening = dict(list(worker.items())[begins:-1])
    assert hardening["ProtectSystem"] == "strict"
    assert {name: chosen.get(name) for name in hardening} == hardening


def test_each_setting_of_the_example_is_one_that_exists() -> None:
    names = set(re.findall(r"^(CONNECT_\w+)=", (FOLDER / "environment.example").read_text(), re.M))
    table = (ROOT / "docs/configuration.md").read_text().partition("## All settings")[2]
    assert names
    assert names <= set(re.findall(r"`(CONNECT_\w+)`", table))


@pytest.mark.skipif(ANALYZE is None, reason="no systemd here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_a_unit(unit: Path, tmp_path: Path) -> None:
    assert ANALYZE is not None
    # It looks for the program: this one's environment stands in for the deployment's.
    here = f"{Path(sys.executable).parent}/"
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace(BIN, here))
    ended = subprocess.run(
        [ANALYZE, "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")

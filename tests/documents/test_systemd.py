"""What the systemd units promise."""

from __future__ import annotations

import os
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
ENVIRONMENTS = sorted(FOLDER.glob("*.env"))
UNITS = sorted(FOLDER.glob("*.service"))
WORKER, BEAT = FOLDER / "connect-worker@.service", FOLDER / "connect-beat.service"
BIN = "/opt/connect-worker/.venv/bin/"
ANALYZE = shutil.which("systemd-analyze")


def settings(unit: Path) -> dict[str, str]:
    """The unit's settings; one that stands several times has its values on a line each."""
    found: dict[str, str] = {}
    for line in unit.read_text().splitlines():
        if "=" in line and line[0] != "#":
            name, value = line.split("=", 1)
            found[name] = f"{found[name]}\n{value}" if name in found else value
    return found


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
    begins = list(worker).index("LimitCORE")
    hardening = dict(list(worker.items())[begins:-1])
    assert hardening["LimitCORE"] == "0"
    assert hardening["ProtectSystem"] == "strict"
    assert {name: chosen.get(name) for name in hardening} == hardening


@pytest.mark.parametrize("part", ["worker", "beat", "flower", "console", "webhook"])
def test_a_unit_has_no_more_memory_than_its_container(part: str) -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    container = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", services[part]["mem_limit"])
    chosen = settings(WORKER if part == "worker" else FOLDER / f"connect-{part}.service")
    assert chosen["MemoryMax"].lower() == container
    assert int(chosen["TasksMax"]) <= 512


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_gets_the_settings_of_all_and_its_own_secrets(unit: Path) -> None:
    [part] = re.findall(r"connect-(\w+)", unit.name)
    files = [f"/etc/connect-worker/{name}.env" for name in ("common", part)]
    if part == "beat":
        files.pop()
    chosen = settings(unit)
    assert chosen["EnvironmentFile"].splitlines() == files
    # A file that is missing would be another start that can't succeed.
    assert chosen["AssertPathExists"].splitlines() == files
    # A process reads the environment of others of its user.
    assert (chosen.get("User"), chosen.get("DynamicUser")) == (
        ("connect-worker", None) if part == "worker" else (None, "yes")
    )


def test_only_the_worker_gets_the_key() -> None:
    keys = {
        file.stem: key
        for file in ENVIRONMENTS
        for key in re.findall("^CONNECT_API_KEY=(.*)$", file.read_text(), re.M)
    }
    assert ":" in keys.pop("worker")
    assert set(keys) == {"console", "metrics", "webhook"}
    assert not any(":" in service_user for service_user in keys.values())


#: What each part can't start without or with, and the sentence that says so.
REFUSED = [
    ("webhook", {"CONNECT_API_KEY": "SU-1"}, "CONNECT_WEBHOOK_SECRET not set"),
    ("worker", {"CONNECT_API_KEY": ""}, "CONNECT_API_KEY not set"),
    ("beat", {"CONNECT_SWEEP_SECONDS": "never"}, "CONNECT_SWEEP_SECONDS"),
    ("flower", {"FLOWER_ADDRESS": "0.0.0.0"}, "Flower does not start"),
    ("console", {"CONNECT_CONSOLE_PASSWORD": "short"}, "CONNECT_CONSOLE_PASSWORD"),
    ("metrics", {"CONNECT_API_KEY": ""}, "CONNECT_API_KEY not set"),
]


@pytest.mark.parametrize(("part", "variables", "why"), REFUSED, ids=[part for part, *_ in REFUSED])
def test_a_start_that_can_not_succeed_is_not_repeated(
    part: str, variables: dict[str, str], why: str
) -> None:
    unit = WORKER if part == "worker" else FOLDER / f"connect-{part}.service"
    program, *words = command(unit)
    foreign = ("CONNECT_", "FLOWER_")
    clean = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}
    ended = subprocess.run(
        [Path(sys.executable).parent / program, *words],
        cwd=ROOT,
        env={**clean, "CONNECT_API_URL": "http://127.0.0.1:1/public/v1", **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert str(ended.returncode) in settings(unit)["RestartPreventExitStatus"].split()
    assert why in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_each_setting_of_the_examples_is_one_that_exists() -> None:
    text = "".join(file.read_text() for file in ENVIRONMENTS)
    names = set(re.findall(r"^(CONNECT_\w+)=", text, re.M))
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


@pytest.mark.skipif(ANALYZE is None, reason="no systemd here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_a_unit_well_confined(unit: Path) -> None:
    assert ANALYZE is not None
    # From 0.0 to 10.0: systemd calls a service without any of this 9.6, "unsafe". Here in tenths.
    rated = [ANALYZE, "security", "--offline=true", "--threshold=17", "--no-pager", str(unit)]
    ended = subprocess.run(rated, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr

"""What goes wrong before anything runs is one sentence."""

from __future__ import annotations

import io
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from connect_worker.cli import main
from connect_worker.devtools.demo import DemoOptions, run
from connect_worker.devtools.embedded_redis import find_server
from connect_worker.devtools.stack import find_root


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.mark.parametrize("option", ["--flower-port", "--redis-port", "--sandbox-port"])
def test_a_named_port_that_is_taken_is_refused_in_one_sentence(
    option: str, taken_port: int
) -> None:
    result = CliRunner().invoke(main, ["demo", option, str(taken_port)])

    assert result.exit_code == 1
    assert result.output == (
        f"Error: Another program uses port {taken_port}. Choose another {option}, or leave the "
        "option out to get a free port.\n"
    )


def test_without_a_server_it_says_what_to_install(tmp_path: Path) -> None:
    console = Console(file=io.StringIO())
    nothing = partial(find_server, path=str(tmp_path), wheel=lambda: None)

    with pytest.raises(click.ClickException) as refused:
        run(
            DemoOptions(),
            timeout_seconds=None,
            log_dir=tmp_path,
            console=console,
            find_redis=nothing,
        )

    assert refused.value.exit_code == 1
    assert "install redis-server or valkey-server" in refused.value.message
    assert "\n" not in refused.value.message
    assert not list(tmp_path.iterdir())


def test_outside_the_project_the_modules_are_found_beside_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert (find_root() / "celeryconfig.py").is_file()


def test_help_names_the_options_of_the_demo() -> None:
    said = CliRunner().invoke(main, ["demo", "--help"]).output

    assert "--exit-when-done" in said
    assert "Ctrl-C stops everything" in said


def test_the_sandbox_command_is_the_sandbox() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "connect_worker", "sandbox", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout

    assert "--answer-inquiries" in said

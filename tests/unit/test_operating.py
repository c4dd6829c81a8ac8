"""Each command in docs/operating.md is one that the command line takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from connect_worker.cli import main
from connect_worker.cli.desk import Exit

PAGE = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
LINES = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
    for line in block.splitlines()
]


@pytest.mark.parametrize("line", LINES)
def test_the_command_is_understood(line: str) -> None:
    program, name, *arguments = shlex.split(line, comments=True)
    assert program == "connect-worker"
    # Parses and checks all of it, and runs nothing.
    main.commands[name].make_context(name, arguments)


def test_an_option_that_is_not_there_would_be_noticed() -> None:
    with pytest.raises(click.UsageError):
        main.commands["list"].make_context("list", ["--not-there"])


def test_every_command_and_exit_code_is_told() -> None:
    told = {shlex.split(line, comments=True)[1] for line in LINES} | {"completion"}
    assert told == set(main.commands) - {"demo", "sandbox"}
    codes = {int(code) for code in re.findall(r"^\| (\d) \|", PAGE, flags=re.MULTILINE)}
    assert codes == {code.value for code in Exit}

"""docs/operating.md tells every command and exit code; tests/documents checks the commands."""

from __future__ import annotations

import re

from documents.blocks import ROOT, blocks
from documents.shell import commands

from connect_worker.cli import main
from connect_worker.cli.desk import Exit


def test_every_command_and_exit_code_is_told() -> None:
    page = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    typed = [
        command.words
        for block in blocks("docs/operating.md")
        if block.language == "sh"
        for command in commands(block.text)
    ]
    told = {words[1] for words in typed if words[0] == "connect-worker"} | {"completion"}
    assert told == set(main.commands) - {"demo", "sandbox"}
    codes = {int(code) for code in re.findall(r"^\| (\d) \|", page, flags=re.MULTILINE)}
    assert codes == {code.value for code in Exit}

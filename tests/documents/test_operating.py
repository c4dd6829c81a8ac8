"""The pages tell every command and exit code; tests/documents checks the commands."""

from __future__ import annotations

import re

from connect_worker.cli import main
from connect_worker.cli.context import Exit
from tests.documents.shell import commands
from tests.support.page_blocks import ROOT, blocks

#: For those who write processors, documented in docs/testing.md.
OF_WRITERS = {"new", "dev", "try", "replay"}
#: Celery's own commands, which docs/quickstart.md starts.
OF_CELERY = {"worker", "beat", "flower"}


def commands_in(page: str) -> set[str]:
    typed = [
        command.words
        for block in blocks(page)
        if block.language == "sh"
        for command in commands(block.text)
    ]
    return {words[1] for words in typed if words[0] == "connect-worker"}


def test_every_command_and_exit_code_is_reported() -> None:
    page = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    documented = commands_in("docs/operating.md") | {"completion"}
    assert documented == set(main.commands) - {"demo", "sandbox"} - OF_WRITERS - OF_CELERY
    quickstart = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    assert set(re.findall(r"connect-worker (\w+)", quickstart)) >= OF_CELERY
    assert commands_in("docs/testing.md") == OF_WRITERS
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", page, flags=re.MULTILINE)}
    assert codes == {code.value for code in Exit}

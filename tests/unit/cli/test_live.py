"""`status --watch` at a real terminal, `poll` without a broker, and completion."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from connect_worker.cli import main
from connect_worker.cli.context import Exit
from tests.support.ledger_factories import running

from .conftest import OperatorShell


def read_until(terminal: int, word: str) -> str:
    """Read what a program draws; the end of the program is the end of the terminal."""
    said = ""
    while word not in said:
        assert select.select([terminal], [], [], 60)[0], f"nothing more was drawn after:\n{said}"
        said += os.read(terminal, 65536).decode(errors="replace")
    return said


def test_watch_draws_what_changes_until_ctrl_c(operator_shell: OperatorShell) -> None:
    terminal, far = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "connect_worker", "status", "--watch", "--no-workers"],
        stdin=far,
        stdout=far,
        env={**os.environ, "COLUMNS": "100", "LINES": "40", "TERM": "xterm"},
        start_new_session=True,
    )
    os.close(far)
    try:
        first = read_until(terminal, "Ctrl-C ends this.")
        assert "fulfillment" in first
        assert "parked" not in first
        operator_shell.ledger.park(running(operator_shell.ledger), "broken")
        read_until(terminal, "1 fulfillment request is parked")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == Exit.DONE
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


@pytest.mark.parametrize("words", [["--watch"], ["--watch", "--json"], ["--watch", "--check"]])
def test_watch_is_for_a_terminal(operator_shell: OperatorShell, words: list[str]) -> None:
    result = operator_shell.run("status", *words)
    assert result.exit_code == Exit.USAGE
    assert "--watch is for a terminal" in result.stderr


def test_poll_without_a_broker_says_so(operator_shell: OperatorShell) -> None:
    operator_shell.set(CONNECT_BROKER_URL="redis://127.0.0.1:9/0")
    done = operator_shell.run_alone("poll", "fulfillment", "--json")
    assert done.returncode == Exit.NO_ANSWER
    assert done.stderr.startswith("Error: The broker can't be reached: check CONNECT_BROKER_URL")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_of_each_shell_asks_the_command(shell: str) -> None:
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0
    assert f"_CONNECT_WORKER_COMPLETE={shell}_complete" in result.output


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("connect-worker re", {"redis-acl", "replay", "rerun", "repost", "resume"}),
        ("connect-worker list --state pa", {"parked"}),
        ("connect-worker pause u", {"usage", "usage-file"}),
        ("connect-worker list --kind t", {"tier-config"}),
    ],
)
def test_words_are_completed(line: str, expected: set[str]) -> None:
    words = line.split()
    environment = {
        **os.environ,
        "_CONNECT_WORKER_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    program = "from connect_worker.cli import main; main(prog_name='connect-worker')"
    said = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    ).stdout
    assert {line.partition(",")[2] for line in said.splitlines()} == expected

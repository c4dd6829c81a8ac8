"""`connect-worker dev` as a person uses it: write, look at the log, write again, Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from connect_worker.devtools.dev import FileChanges
from connect_worker.testing import purchase
from connect_worker.testing.sandbox import Sandbox

PROCESSOR = """\
from connect_worker.models import ActivationTileResponse
from connect_worker.resources import FulfillmentAutomation
class Mine(FulfillmentAutomation):
    def process_request(self, request):
        self.logger.info("says {}")
        return ActivationTileResponse("{}")
"""


class Desk:
    """A folder with one processor, and a terminal in which `dev` runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "terminal.txt"
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, text: str) -> None:
        (self.folder / "mine.py").write_text(text)

    def dev(self, *options: str, **variables: str) -> None:
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "connect_worker", "dev", *options],
                cwd=self.folder,
                env={
                    **{k: v for k, v in os.environ.items() if not k.startswith("CONNECT_")},
                    **variables,
                },
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def await_text(self, text: str, *, seconds: float = 60) -> None:
        give_up = time.monotonic() + seconds
        while text not in self.log.read_text():
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < give_up, f"no {text!r} in:\n{self.log.read_text()}"
            time.sleep(0.1)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=60)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    if desk.process is not None and desk.process.poll() is None:
        desk.process.kill()
        desk.process.wait()


@pytest.mark.long
@pytest.mark.acceptance
def test_a_change_is_taken_up_and_a_broken_one_survived(desk: Desk) -> None:
    desk.write(PROCESSOR.format("one", "one"))
    desk.dev("mine.py", "--requests", "4")
    desk.await_text("says one")
    text = desk.log.read_text()
    assert " worker │ " in text
    assert "sandbox │ Connect sandbox ready" in text
    # Routine is left out, and kinds without a processor have no requests.
    assert "Task poll" not in text
    assert "kind=tier-config seen" not in text

    desk.write("no python (")
    desk.await_text("mine.py changed: restarting the worker")
    desk.await_text("the worker ended; it restarts when a file changes")
    assert "SyntaxError" in desk.log.read_text()

    desk.write(PROCESSOR.format("two", "two"))
    report = desk.log.read_text().partition("report of the sandbox: ")[2].split()[0]
    desk.await_text("ready.", seconds=60)
    more = report.replace("/report", "/requests")
    subprocess.run(["curl", "-sf", "-X", "POST", more, "-d", '{"kind": "fulfillment"}'], check=True)
    desk.await_text("says two")
    assert desk.stop() == 0
    assert "    dev │ stopping" in desk.log.read_text()
    assert subprocess.run(["curl", "-s", report], capture_output=True).returncode != 0


@pytest.mark.long
@pytest.mark.acceptance
def test_an_account_of_the_environment_is_used_when_asked_for(desk: Desk, sandbox: Sandbox) -> None:
    desk.write(PROCESSOR.format("hello", "hello"))
    name = sandbox.add(purchase())
    # A ledger of somebody's that must not be touched, and a `.env` with the account.
    (desk.folder / ".env").write_text(f"CONNECT_API_KEY={sandbox.api_key}\n")
    desk.dev(
        "mine.py",
        "--own-account",
        CONNECT_API_URL=sandbox.api_url,
        CONNECT_REDIS_URL="redis://127.0.0.1:1/0",
        CONNECT_POLL_SECONDS="1",
    )
    entry = sandbox.wait_for(name, "approved", seconds=60)
    assert entry["accepted"][0]["body"] == {"activation_tile": "hello"}
    assert desk.stop() == 0
    assert sandbox.api_key not in desk.log.read_text()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["no_such_module"], "no_such_module can't be imported"),
        (["mine.py", "--own-account"], "CONNECT_API_URL"),
    ],
)
def test_what_cannot_work_is_reported_at_once(desk: Desk, options: list[str], says: str) -> None:
    desk.write(PROCESSOR.format("x", "x"))
    desk.dev(*options)
    assert desk.process is not None
    assert desk.process.wait(timeout=60) == 1
    assert says in desk.log.read_text()
    assert "Traceback" not in desk.log.read_text()


def test_changes_are_those_of_python_files_where_people_work(tmp_path: Path) -> None:
    for folder in ("sub", ".venv", "__pycache__"):
        (tmp_path / folder).mkdir()
    written = tmp_path / "a.py"
    written.write_text("1")
    changes = FileChanges([tmp_path])
    assert changes.new() == []
    os.utime(written, ns=(1, 1))
    (tmp_path / "sub" / "b.py").write_text("1")
    for name in (".venv/c.py", "__pycache__/d.py", "notes.txt", ".e.py"):
        (tmp_path / name).write_text("1")
    assert changes.new() == [written, tmp_path / "sub" / "b.py"]
    written.unlink()
    assert changes.new() == [written]
    assert changes.new() == []

